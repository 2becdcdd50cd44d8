"""Headers as people and programs write them: partly empty, repeated, uneven, after a line ``sep=;``."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.config import DataConfig
from recurra.errors import DataError
from recurra.io.detect import detect
from recurra.io.formats import Source, read
from recurra.io.formats.headers import has_header, name_columns

AUTO = DataConfig()
LONG = [f"the plot of film {i} was dull and the actors too" for i in range(40)]


def put(path: Path, *rows: str) -> Path:
    path.write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return path


def rows_of(source: Source) -> list[tuple[str, tuple[str, ...]]]:
    return [pair for part in read(source) for pair in zip(part.texts, part.labels or [], strict=True)]


def test_names_that_are_partly_empty_are_a_header(tmp_path: Path) -> None:
    rows = [f"{'spam' if i % 3 else 'ham'},{text},,," for i, text in enumerate(LONG)]
    rows[7] = "ham,the start of a text,and its rest,,"  # as in the file of SMS messages
    source = detect(put(tmp_path / "a.csv", "v1,v2,,,", *rows), AUTO)
    assert (source.header, source.columns) == (True, ("v1", "v2", "2", "3", "4"))
    assert (source.text, source.label) == (("v2",), "v1")
    assert source.notes == ("3 columns have no name and are called 2, 3, 4",)
    assert len(rows_of(source)) == 40
    assert {label for _, label in rows_of(source)} == {("ham",), ("spam",)}


def test_short_texts_under_such_names(tmp_path: Path) -> None:
    rows = [f"{'spam' if i % 3 else 'ham'},good {i},,," for i in range(40)]
    source = detect(put(tmp_path / "a.csv", "v1,v2,,,", *rows), AUTO)
    assert (source.header, source.text, source.label) == (True, ("v2",), "v1")


@pytest.mark.parametrize("header", ["text,text,label", "label,text,text", "text,label,label", "text,x,,"])
def test_a_header_with_a_repeated_name_is_no_row(tmp_path: Path, header: str) -> None:
    columns = header.split(",")
    rows = [",".join(f"{c}{i % 2}" if c == "label" else LONG[i] for c in columns) for i in range(40)]
    label = "label" if columns.count("label") == 1 else str(len(columns) - 1)
    source = detect(put(tmp_path / "a.csv", header, *rows), DataConfig(label=label))
    assert (source.header, len(source.columns)) == (True, len(columns))
    assert len(rows_of(source)) == 40


def test_a_repeated_name_does_not_hide_the_other_columns(tmp_path: Path) -> None:
    rows = [f"{text},{i % 2},a,b" for i, text in enumerate(LONG)]
    source = detect(put(tmp_path / "a.csv", "text,label,note,note", *rows), AUTO)
    assert (source.text, source.label) == (("text",), "label")
    assert source.columns == ("text", "label", "2", "3")
    assert source.notes == ("the header names 'note' 2 times: these columns are called 2, 3",)
    with pytest.raises(DataError, match="there is no column 'note'; there are text, label, 2, 3"):
        detect(tmp_path / "a.csv", DataConfig(group="note"))


def test_the_column_of_row_numbers_of_a_data_frame(tmp_path: Path) -> None:
    rows = [f"{i},{'pos' if i % 2 else 'neg'},{text}" for i, text in enumerate(LONG)]
    source = detect(put(tmp_path / "a.csv", ",verdict,opinion", *rows), AUTO)
    assert (source.header, source.text, source.label) == (True, ("opinion",), "verdict")


@pytest.mark.parametrize(
    "rows",
    [
        ["spam,good,,", "ham,bad,,", "spam,fine,,", "ham,good,,"],
        ["good,good,0", "bad,fine,1", "good,bad,0"],
        ["a b c,a b c", "d e,f g", "a b c,h i"],
        [f"x{i},{text},," for i, text in enumerate(LONG)],
        ["rare,oops", *(f"{'a' if i % 2 else 'b'},good {i}" for i in range(40))],
        ["2024,a long text without a header,,", *(f"{i},{text},," for i, text in enumerate(LONG))],
        [",a text,pos", *(f"{i},{text},neg" for i, text in enumerate(LONG))],
    ],
)
def test_a_first_row_of_values_stays_a_row(tmp_path: Path, rows: list[str]) -> None:
    assert not has_header([row.split(",") for row in rows])
    source = detect(put(tmp_path / "a.csv", *rows), DataConfig(text=["1"], label="0", skip_bad_rows=True))
    assert (source.header, len(source.columns)) == (False, rows[0].count(",") + 1)


@pytest.mark.parametrize(("header", "row"), [("text,label", "{},{},"), ("text,label,", "{},{}")])
def test_a_separator_at_the_end_of_some_lines(tmp_path: Path, header: str, row: str) -> None:
    rows = [row.format(text, i % 2) for i, text in enumerate(LONG)]
    source = detect(put(tmp_path / "a.csv", header, *rows), AUTO)
    assert rows_of(source) == [(text, (str(i % 2),)) for i, text in enumerate(LONG)]
    with pytest.raises(DataError, match="row 41: the row has 4 fields"):
        rows_of(detect(put(tmp_path / "b.csv", header, *rows, "a,0,1,2"), AUTO))
    with pytest.raises(DataError, match="row 41: the row has 1 fields"):
        rows_of(detect(put(tmp_path / "b.csv", header, *rows, "a"), AUTO))


@pytest.mark.parametrize("first", ["sep=;", '"sep=;"', "\ufeffSEP=;"])
@pytest.mark.parametrize("name", ["a.csv", "a.txt"])
def test_a_first_line_that_names_the_separator(tmp_path: Path, first: str, name: str) -> None:
    rows = [f"{text}, or so;{'pos' if i % 2 else 'neg'}" for i, text in enumerate(LONG)]
    source = detect(put(tmp_path / name, first, "text;label", *rows), AUTO)
    assert (source.delimiter, source.header, source.columns) == (";", True, ("text", "label"))
    assert rows_of(source)[0] == (f"{LONG[0]}, or so", ("neg",))
    with pytest.raises(DataError, match="row 41: the row has 1 fields"):
        rows_of(detect(put(tmp_path / name, first, "text;label", *rows, "x"), AUTO))


def test_a_text_that_begins_with_sep_is_a_row(tmp_path: Path) -> None:
    source = detect(put(tmp_path / "a.csv", "sep=;,0", "b,1"), AUTO)
    assert rows_of(source) == [("sep=;", ("0",)), ("b", ("1",))]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(["", " ", "a", "b", "0", "1", "1_", "text"]), min_size=1, max_size=6))
def test_every_column_gets_one_name(first: list[str]) -> None:
    names, notes = name_columns(first)
    assert len(names) == len(set(names)) == len(first)
    assert all(names)
    own = [cell for cell in first if cell.strip() and first.count(cell) == 1]
    assert set(own) <= set(names)
    assert bool(notes) == (len(own) < len(first))
