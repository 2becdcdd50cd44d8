"""Separators in an unquoted last column are part of its text; other rows of another width stay broken."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from recurra.config import DataConfig
from recurra.errors import DataError
from recurra.io.detect import detect
from recurra.io.formats import Skipped, Source, read
from recurra.io.stream import read_stream

AUTO = DataConfig()
TEXTS = [f"the plot {i} was dull{', and the actors, too' if i % 3 == 0 else ' for me'}" for i in range(40)]


def put(path: Path, *rows: str) -> Path:
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def texts_of(source: Source, skipped: Skipped | None = None) -> list[str]:
    return [text for part in read(source, skipped) for text in part.texts]


@pytest.mark.parametrize("header", ["id,label,text", None])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_the_last_column_takes_the_rest_of_the_line(
    tmp_path: Path, header: str | None, delimiter: str
) -> None:
    rows = [delimiter.join((f"T{i}", "pos" if i % 2 else "neg", text)) for i, text in enumerate(TEXTS)]
    rows = [row.replace(", ", f"{delimiter} ") for row in rows]
    lines = rows if header is None else [header.replace(",", delimiter), *rows]
    source = detect(put(tmp_path / "a.csv", *lines), AUTO)
    assert (source.rest, source.quoted, len(source.columns)) == (True, False, 3)
    assert source.notes[:1] == ("the last column takes the rest of the line",)
    assert texts_of(source) == [text.replace(", ", f"{delimiter} ") for text in TEXTS]
    # A small file to predict, without labels, is read in the same way.
    few = lines[:5] if header is None else [f"id{delimiter}text", *(f"x{delimiter}{t}" for t in TEXTS[:5])]
    few = [line.replace(", ", f"{delimiter} ") for line in few]
    again = detect(put(tmp_path / "b.csv", *few), AUTO, labelled=False, like=source)
    assert texts_of(again)[:2] == texts_of(source)[:2]


def test_a_stream_is_read_in_the_same_way(tmp_path: Path) -> None:
    rows = [f"{'pos' if i % 2 else 'neg'},{text}" for i, text in enumerate(TEXTS)]
    like = detect(put(tmp_path / "a.csv", "label,text", *rows), AUTO)
    raw = io.BytesIO(("id,text\n" + "".join(f"x,{text}\n" for text in TEXTS[:5])).encode())
    assert [text for part in read_stream(raw, like, AUTO) for text in part.texts] == TEXTS[:5]


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("text,label", "a film, to see again and again,pos"),  # the text comes first
        ("id,label,title,text", "T,pos,A title, in two parts,a text of several words"),  # an earlier column
        ("id,label,text", "T,other,a text of several words, and more"),  # another label
        ("id,label,text", "T,pos,a text of several words,more,2024"),  # no prose: further fields
        ("id,label,text", "T,pos"),  # too few fields
        ("id\tlabel\ttext", "T\tpos\ta text of several words\tmore"),  # no punctuation
    ],
)
def test_a_broken_row_stays_broken(tmp_path: Path, header: str, row: str) -> None:
    delimiter = "\t" if "\t" in header else ","
    values = {"id": "T{0}", "label": "pos", "title": "a title of {0}", "text": "a text about {0} and more"}
    rows = [delimiter.join(values[name] for name in header.split(delimiter)).format(i) for i in range(40)]
    path = put(tmp_path / "a.txt", header, *(r.replace("pos", "neg", i % 2) for i, r in enumerate(rows)), row)
    source = detect(path, AUTO)
    assert not source.rest
    with pytest.raises(DataError, match=r"row 41: the row has \d fields, .*; fix the row, or"):
        texts_of(source)
    skipped = Skipped()
    assert len(texts_of(detect(path, DataConfig(skip_bad_rows=True)), skipped)) == 40
    assert skipped.count == 1
    assert "--skip-bad-rows" not in skipped.examples[0]


def test_quotes_mean_that_rows_are_quoted(tmp_path: Path) -> None:
    rows = [f'{"pos" if i % 2 else "neg"},"{text}"' for i, text in enumerate(TEXTS)]
    source = detect(put(tmp_path / "a.csv", "label,text", *rows), AUTO)
    assert (source.rest, source.quoted) == (False, True)
    assert texts_of(source) == TEXTS
