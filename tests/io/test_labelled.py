"""Lines of a label and a text are found by their first words; texts and tables are read as before."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from recurra.config import DataConfig
from recurra.errors import DataError
from recurra.io.detect import detect
from recurra.io.formats import Source, read
from recurra.io.stream import read_stream

AUTO = DataConfig()
TEXTS = [
    f"the plot of film {i} was dull, and the actors too" if i % 3 else f"film {i} was fine" for i in range(60)
]


def put(path: Path, *rows: str) -> Path:
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def rows_of(source: Source) -> list[tuple[str, tuple[str, ...]]]:
    return [
        pair
        for part in read(source)
        for pair in zip(part.texts, part.labels or [()] * len(part), strict=True)
    ]


@pytest.mark.parametrize(
    "labels", [["0", "1"], ["-1", "1"], ["pos", "neg"], ["LOC:city", "NUM:date", "ABBR:exp"]]
)
def test_a_label_before_each_text(tmp_path: Path, labels: list[str]) -> None:
    given = [labels[i % len(labels)] for i in range(len(TEXTS))]
    lines = [f"{label} {text}" for label, text in zip(given, TEXTS, strict=True)]
    source = detect(put(tmp_path / "a.txt", *lines, ""), AUTO)
    assert (source.format, set(source.columns)) == ("labelled", set(labels))
    assert source.notes == ("the first word of each line is its label",)
    assert rows_of(source) == [(text, (label,)) for text, label in zip(TEXTS, given, strict=True)]
    # Of a file to predict, the labels are no part of the texts, whether it has them or not.
    for few in (lines[:3], TEXTS[:3]):
        again = detect(put(tmp_path / "b.txt", *few), AUTO, labelled=False, like=source)
        assert rows_of(again) == [(text, ()) for text in TEXTS[:3]]
    assert rows_of(detect(put(tmp_path / "c.txt", *lines[:3]), AUTO, like=source)) == rows_of(source)[:3]
    streamed = read_stream(io.BytesIO("\n".join(TEXTS[:3]).encode()), source, AUTO)
    assert [text for rows in streamed for text in rows.texts] == TEXTS[:3]


def test_many_codes_may_be_rare(tmp_path: Path) -> None:
    codes = [f"{'ABCD'[i % 4]}X:c{i % 7 if i else 99}" for i in range(400)]
    source = detect(
        put(tmp_path / "a.txt", *(f"{code} What is number {i} ?" for i, code in enumerate(codes))), AUTO
    )
    assert [label for _, (label,) in rows_of(source)] == codes


def test_a_line_without_a_text_is_refused_by_its_number(tmp_path: Path) -> None:
    lines = [f"{i % 2} {text}" for i, text in enumerate(TEXTS)]
    with pytest.raises(DataError, match="row 61: the line has one word: a label and a text are expected"):
        rows_of(detect(put(tmp_path / "a.txt", *lines, "1"), DataConfig(format="labelled")))


@pytest.mark.parametrize(
    "lines",
    [
        [f"{word} number {i} on the list ?" for i in range(40) for word in ("What", "Who", "When")],
        [f"2024-01-0{i % 3 + 1} 12:0{i % 10} the server was restarted" for i in range(40)],
        [f"{i}. the item" for i in range(40)],
        [f"{i % 3} 0.{i} 1.5" for i in range(40)],
        ["- an item of the list" for _ in range(40)],
        [f"{'Anna' if i % 2 else 'Otto'}" for i in range(40)],
        [f"{'yes' if i % 2 else 'no'} the answer" for i in range(10)],
        ["the plot is dull", "one film is fine"] * 20,
    ],
)
def test_texts_without_labels_are_not_read_as_labelled(tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(DataError, match=r"no (label|text) column is found"):
        detect(put(tmp_path / "a.txt", *lines), AUTO)
    assert detect(tmp_path / "a.txt", AUTO, labelled=False).format == "lines"


@pytest.mark.parametrize("delimiter", ["\t", ",", ";", "|"])
def test_a_table_is_a_table(tmp_path: Path, delimiter: str) -> None:
    lines = [f"{i % 2}{delimiter}film {i} was fine" for i in range(40)]
    source = detect(put(tmp_path / "a.txt", *lines), AUTO)
    assert (source.columns, source.text, source.label) == (("0", "1"), ("1",), "0")
    text_first = [f"film {i} was fine{delimiter}{i % 2}" for i in range(40)]
    assert detect(put(tmp_path / "b.txt", *text_first), AUTO).columns == ("0", "1")
    spaced = [f"{i % 2} {delimiter} film {i} was fine" for i in range(40)]
    assert detect(put(tmp_path / "c.txt", *spaced), AUTO).columns == ("0", "1")


def test_a_label_of_two_words_in_fasttext_lines_is_noted(tmp_path: Path) -> None:
    names = ("New York", "London", "new york is", "Oslo is")
    lines = [f"__label__{name} word {i} here" for i in range(8) for name in names[:2]]
    (note,) = detect(put(tmp_path / "a.txt", *lines), AUTO).notes
    assert note.startswith(
        "each text of class 'New' begins with 'York': a label can't hold a space; if it is"
    )
    plain = [f"__label__{name} {text}" for name, text in zip(["x", "y"] * 30, TEXTS, strict=True)]
    assert detect(put(tmp_path / "b.txt", *plain), AUTO).notes == ()
    several = [f"__label__x __label__y {text}" for text in TEXTS]
    assert detect(put(tmp_path / "c.txt", *several), AUTO).notes == ()
