"""Cells of tables are read from files of many kinds; other files are refused."""

from __future__ import annotations

import datetime
import gzip
from decimal import Decimal
from pathlib import Path

import numpy as np
import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recurra.config import DataConfig
from recurra.errors import DataError, RecurraError
from recurra.tasks.forecasting.series.clock import find_clock
from recurra.tasks.forecasting.series.numbers import compound, numbers_of, words_of
from recurra.tasks.forecasting.series.table import (
    from_columns,
    read_lines,
    read_table,
)


def table(path: Path, text: str, **settings: object):  # type: ignore[no-untyped-def]
    path.write_text(text, encoding="utf-8")
    return read_table(path, DataConfig.model_validate(settings))


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_cells_do_not_depend_on_delimiter_and_compression(tmp_path: Path, delimiter: str) -> None:
    text = "\n".join(delimiter.join(cells) for cells in (["a", "b (m/s)"], ["1", "x"], ["2", "NA"])) + "\n"
    plain = table(tmp_path / "plain.csv", text)
    (tmp_path / "packed.csv.gz").write_bytes(gzip.compress(text.encode()))
    packed = read_table(tmp_path / "packed.csv.gz", DataConfig())
    for result in (plain, packed, read_lines(text.encode(), "stdin", DataConfig())):
        assert result.names == ["a", "b (m/s)"]
        assert result.columns["b (m/s)"].to_pylist() == ["x", "NA"]
        assert result.numbers.tolist() == [1, 2]


def test_numbers_are_read_as_python_reads_them() -> None:
    cells = [
        "1",
        "-2.5",
        " 3 ",
        "+4.",
        ".5",
        "1e3",
        "",
        "NA",
        "nan",
        None,
        "-",
        "1e999",
        "1,5",
        "0x10",
        "five",
    ]
    result = numbers_of(pa.chunked_array([pa.array(cells, pa.string())]))
    expected = [float(c) if c in cells[:6] else np.nan for c in cells]  # type: ignore[arg-type]
    np.testing.assert_array_equal(result.values, expected)
    assert (result.present, result.strange.tolist()) == (10, [11, 12, 13, 14])


def test_a_comma_is_a_decimal_point_if_it_is_not_the_delimiter(tmp_path: Path) -> None:
    result = table(tmp_path / "german.csv", "a;b\n1,5;x\n-2,25;y\n")
    assert numbers_of(result.columns["a"], result.decimal_comma).values.tolist() == [1.5, -2.25]


def test_python_columns_and_parquet_keep_their_kinds(tmp_path: Path) -> None:
    columns = {"f": np.array([1.0, np.nan]), "i": [1, 2], "s": ["x", None], "b": [True, False]}
    pq.write_table(pa.table(from_columns(columns).columns), tmp_path / "t.parquet")
    for result in (from_columns(columns), read_table(tmp_path / "t.parquet", DataConfig())):
        np.testing.assert_array_equal(numbers_of(result.columns["f"]).values, [1.0, np.nan])
        assert numbers_of(result.columns["i"]).values.tolist() == [1.0, 2.0]
        assert numbers_of(result.columns["b"]).values.tolist() == [1.0, 0.0]
        assert words_of(result.columns["s"]).tolist() == ["x", None]


def test_decimals_are_numbers_and_compound_cells_are_neither_numbers_nor_words(tmp_path: Path) -> None:
    columns = {
        "money": pa.array([Decimal("1.50"), None, Decimal("-2.00")]),
        "tags": pa.array([[1], [], None]),
        "record": pa.array([{"a": 1}, None, {"a": 2}]),
        "raw": pa.array([b"\xff", b"b", None], pa.binary()),
    }
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    result = read_table(tmp_path / "t.parquet", DataConfig())
    np.testing.assert_array_equal(numbers_of(result.columns["money"]).values, [1.5, np.nan, -2.0])
    what = {name: compound(column) for name, column in result.columns.items()}
    assert what == {"money": None, "tags": "lists", "record": "structs", "raw": "bytes"}
    assert words_of(result.columns["raw"]).tolist() == [None] * 3


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n3\n", "row 2: the row has 1 fields, the header has 2"),
        ("a,b\n1,2\n3,4,5\n", "row 2: the row has 3 fields, the header has 2"),
        ("a,b\n", "a header and no row"),
        ("", "empty"),
        ('a,b\n1,"2\n', "a quote is opened and never closed"),
    ],
)
def test_a_broken_file_is_refused_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(RecurraError, match=words) as refused:
        table(tmp_path / "bad.csv", text, header=True)
    assert "\n" not in str(refused.value)


def test_columns_without_a_name_of_their_own_are_called_by_their_number(tmp_path: Path) -> None:
    result = table(tmp_path / "a.csv", "sep=;\nt;a;a;\n1;2;3;\n4;5;6\n")
    assert result.names == ["t", "1", "2", "3"]
    assert result.columns["2"].to_pylist() == ["3", "6"]
    assert result.notes == [
        "the header names 'a' 2 times: these columns are called 1, 2",
        "1 column has no name and is called 3",
    ]


def test_broken_rows_may_be_left_out_and_are_counted(tmp_path: Path) -> None:
    result = table(tmp_path / "bad.csv", "a,b\n1,2\n3\n5,6\n", skip_bad_rows=True)
    assert result.numbers.tolist() == [1, 3]
    assert result.notes[0].startswith("1 broken row is left out, the first: ")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv.gz", gzip.compress(b"a,b\n1,2\n" * 500)[:40]),
        ("a.csv", b"PK\x03\x04rest"),
        ("a.parquet", b"PAR1x"),
    ],
    ids=["cut gzip", "zip", "cut parquet"],  # the bytes of a gzip change with the time
)
def test_damaged_and_foreign_files_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError):
        read_table(tmp_path / name, DataConfig())


def test_python_columns_that_are_not_a_table_are_refused() -> None:
    for columns in ({}, {"a": [1, 2], "b": [1]}, {"a": [object()]}, {"a": np.zeros((2, 2))}):
        with pytest.raises(DataError):
            from_columns(columns)
    with pytest.raises(DataError, match="folder"):
        read_table(Path(__file__).parent, DataConfig())


def test_a_sheet_has_times_numbers_and_words(tmp_path: Path) -> None:
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    assert sheet is not None
    sheet.append(["day", "y", "wind", "mixed"])
    for day in range(1, 29):
        sheet.append(
            [datetime.datetime(2024, 2, day), None if day == 3 else day / 2, "NW", day if day % 2 else "x"]
        )
    workbook.save(tmp_path / "a.xlsx")
    result = read_table(tmp_path / "a.xlsx", DataConfig())
    assert result.names == ["day", "y", "wind", "mixed"]
    assert find_clock(result, None, None).columns == ("day",)  # type: ignore[union-attr]
    values = numbers_of(result.columns["y"]).values
    np.testing.assert_array_equal(values[:4], [0.5, 1.0, np.nan, 2.0])
    assert words_of(result.columns["wind"]).tolist() == ["NW"] * 28
    assert result.columns["mixed"].to_pylist()[:2] == ["1", "x"]
    (tmp_path / "a.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    with pytest.raises(DataError, match="is a zip archive"):
        read_table(tmp_path / "a.zip", DataConfig())
