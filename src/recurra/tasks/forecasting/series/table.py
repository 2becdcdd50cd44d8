"""A table of cells as it was found: from a CSV or TSV (gzipped too), a Parquet file, or Python's columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recurra.config import DataConfig
from recurra.errors import DataError
from recurra.io.files import FileLines, Lines, check_encoding, look, not_text
from recurra.io.formats.delimited import TSV, find_dialect, parse, parse_sample
from recurra.io.formats.parquet import PARQUET

__all__ = [
    "SENTINELS",
    "Numbers",
    "Table",
    "counts_rows",
    "far_outside",
    "from_columns",
    "numbers_of",
    "read_lines",
    "read_table",
    "sentinels_of",
    "words_of",
]

_SAMPLE_LINES = 1_000
_CHUNK_ROWS = 8_192
_NUMBER = re.compile(r"\s*[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?\s*")  # names of columns are none
_MISSING = ["", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "?", "missing"]
_NUMERAL = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_COMMA = r"^[+-]?\d+,\d+$"

SENTINELS = tuple(sign * size for size in (999.0, 999.9, 9999.0, 9999.9, 99999.0) for sign in (-1, 1))
"""Numbers that instruments write for a value they do not have."""


@dataclass(frozen=True)
class Table:
    """Columns of equal length by name, cells as they stand in the file.

    Attributes:
        where: the file, for messages.
        columns: Arrow arrays of text, numbers or times.
        numbers: ``(N,)`` int64, which row of the file each is, from 1.
        decimal_comma: whether 3,5 is a number here.
        notes: what was left out, for the user.
    """

    where: str
    columns: dict[str, pa.ChunkedArray]
    numbers: NDArray[np.int64]
    decimal_comma: bool = False
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def names(self) -> list[str]:
        """The columns in the order of the file."""
        return list(self.columns)


def read_table(path: Path, data: DataConfig) -> Table:
    """The cells of a file; its delimiter, its quotes and its header are found where ``data`` leaves them.

    Raises:
        DataError: the file is missing, empty, binary, damaged, or has a row with too many or too few fields
            (left out under ``data.skip_bad_rows``).
        ConfigError: there is no such encoding.
    """
    path = Path(path)
    check_encoding(data.encoding)
    if path.is_dir():
        raise DataError("is a folder, not a table", where=path, hint="give one CSV file")
    head = look(path)
    if head.data.startswith(PARQUET.magic):
        return _read_parquet(path)
    binary = not_text(head.data, data.encoding)
    if binary is not None:
        raise DataError(binary[0], where=path, hint=binary[1])

    def lines(forgiving: bool) -> FileLines:
        return FileLines(path, head.gzip, data.encoding, forgiving)

    sample = list(islice(lines(True), _SAMPLE_LINES + 1))
    tabs = data.format == TSV.name or path.name.lower().removesuffix(".gz").endswith(TSV.suffixes)
    return _read_cells(str(path), sample, lines(data.skip_bad_rows), data, tabs)


def read_lines(raw: bytes, where: str, data: DataConfig) -> Table:
    """The cells of a table that came as bytes, as from standard input; errors are those of `read_table`."""
    check_encoding(data.encoding)
    binary = not_text(raw, data.encoding)
    if binary is not None:
        raise DataError(binary[0], where=where, hint=binary[1])
    if not raw.strip():
        raise DataError("there are no rows", where=where)

    def lines(forgiving: bool) -> Lines:
        return Lines(iter(raw.splitlines(keepends=True)), where, data.encoding, forgiving)

    return _read_cells(
        where, list(islice(lines(True), _SAMPLE_LINES + 1)), lines(data.skip_bad_rows), data, False
    )


def from_columns(columns: Mapping[str, Sequence[Any] | NDArray[Any]], where: str = "the table") -> Table:
    """A table of Python's columns: numbers, times or texts by name.

    Raises:
        DataError: there is no column, a column has more than one dimension or another length, or holds
            what is neither number, time nor text.

    Example:
        >>> from_columns({"a": [1.0, 2.0], "b": ["x", None]}).names
        ['a', 'b']
    """
    found: dict[str, pa.ChunkedArray] = {}
    for name, values in columns.items():
        try:
            found[str(name)] = pa.chunked_array([pa.array(values, from_pandas=True)])
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
            raise DataError(f"column {name!r} can't be used ({error})", where=where) from error
    lengths = {name: len(column) for name, column in found.items()}
    if not lengths:
        raise DataError("there are no columns", where=where)
    if len(set(lengths.values())) > 1:
        raise DataError(f"columns differ in length: {lengths}", where=where)
    return Table(where, found, np.arange(1, next(iter(lengths.values())) + 1))


def _read_parquet(path: Path) -> Table:
    try:
        found = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"is not a whole Parquet file ({error})", where=path) from error
    columns = {name: found.column(name) for name in found.column_names}
    return Table(str(path), columns, np.arange(1, found.num_rows + 1))


def _read_cells(where: str, sample: list[str], lines: Lines, data: DataConfig, tabs: bool) -> Table:
    complete = len(sample) <= _SAMPLE_LINES
    sample = sample[:_SAMPLE_LINES]
    dialect = find_dialect(sample, complete, "\t" if tabs else ",", data.delimiter)
    rows = parse_sample(sample, complete, dialect.delimiter, dialect.quoted)
    if not rows:
        raise DataError("there are no rows", where=where)
    header = not any(_NUMBER.fullmatch(cell) for cell in rows[0]) if data.header is None else data.header
    names = [cell.strip() for cell in rows[0]] if header else [str(i) for i in range(len(rows[0]))]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"the header names {twice!r} twice", where=where)
    if header:
        lines.row = 0
    chunks: list[list[pa.Array]] = [[] for _ in names]
    numbers: list[int] = []
    left_out: list[str] = []
    for block in _blocks(
        _whole_rows(lines, dialect.delimiter, dialect.quoted, names, header, data, left_out)
    ):
        numbers += [number for number, _ in block]
        for chunk, cells in zip(chunks, zip(*(fields for _, fields in block), strict=True), strict=True):
            chunk.append(pa.array(cells, pa.string()))
    if not numbers:
        raise DataError("there is a header and no row", where=where, hint="give a file with rows")
    so_many = "1 broken row is" if len(left_out) == 1 else f"{len(left_out):,} broken rows are"
    notes = [f"{so_many} left out, the first: {left_out[0]}"] if left_out else []
    columns = {name: pa.chunked_array(chunk) for name, chunk in zip(names, chunks, strict=True)}
    return Table(where, columns, np.array(numbers), dialect.delimiter != ",", notes)


def _whole_rows(
    lines: Lines,
    delimiter: str,
    quoted: bool,
    names: list[str],
    header: bool,
    data: DataConfig,
    left_out: list[str],
) -> Iterator[tuple[int, list[str]]]:
    """Row numbers and fields; what is wrong with a row that may be left out goes to ``left_out``."""
    for fields in parse(lines, delimiter, quoted):
        number = lines.row
        if number == 0:
            continue  # the header
        if isinstance(fields, DataError):
            fault = fields
        elif len(fields) != len(names):
            first = "the header" if header else "the first row"
            fault = DataError(
                f"the row has {len(fields)} fields, {first} has {len(names)}",
                where=lines.where,
                row=number,
                hint="fix the row, or pass --skip-bad-rows",
            )
        else:
            yield number, fields
            continue
        if not data.skip_bad_rows:
            raise fault
        left_out.append(str(fault))


def _blocks(rows: Iterator[tuple[int, list[str]]]) -> Iterator[list[tuple[int, list[str]]]]:
    """Rows in lists of some thousands: a cell is a Python object only as long as its list lives."""
    while block := list(islice(rows, _CHUNK_ROWS)):
        yield block


@dataclass(frozen=True)
class Numbers:
    """A column as numbers.

    Attributes:
        values: ``(N,)`` float64, NaN where a cell is missing or no number.
        present: how many cells hold something.
        strange: how many of these hold no number.
        first: the position of the first such cell, None without.
    """

    values: NDArray[np.float64]
    present: int
    strange: int = 0
    first: int | None = None


def numbers_of(column: pa.ChunkedArray, decimal_comma: bool = False) -> Numbers:
    """A column's numbers; empty cells, NA, NaN, null, ``-`` and ``?`` are missing ones.

    Args:
        column: text, numbers or truth values.
        decimal_comma: read 3,5 as 3.5.

    Example:
        >>> found = numbers_of(pa.chunked_array([["1", " 2.5", "NA", "", "x"]]))
        >>> found.values.tolist(), found.present, found.strange, found.first
        ([1.0, 2.5, nan, nan, nan], 3, 1, 4)
    """
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        values = _floats(pc.cast(column, pa.float64()))
        infinite = np.isinf(values)
        values[infinite] = np.nan
        bad = np.flatnonzero(infinite)
        return Numbers(values, int(np.isfinite(values).sum()) + len(bad), len(bad), _first(bad))
    if not _is_text(kind):  # a time, a list, bytes
        return Numbers(np.full(len(column), np.nan), len(column), len(column), 0 if len(column) else None)
    cells = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
    missing = pc.fill_null(pc.is_in(pc.utf8_lower(cells), pa.array(_MISSING)), True)
    missing = pc.or_(missing, pc.is_null(cells))
    if decimal_comma:
        swapped = pc.replace_substring(cells, ",", ".")
        cells = pc.if_else(pc.match_substring_regex(cells, _COMMA), swapped, cells)
    fits = pc.fill_null(pc.match_substring_regex(cells, _NUMERAL), False)
    values = _floats(pc.cast(pc.if_else(fits, cells, pa.scalar(None, pa.string())), pa.float64()))
    infinite = np.isinf(values)  # 1e999
    values[infinite] = np.nan
    gone = np.asarray(missing)
    bad = np.flatnonzero((~np.asarray(fits) & ~gone) | infinite)
    return Numbers(values, int((~gone).sum()), len(bad), _first(bad))


def words_of(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """``(N,)`` the words of a category, None where a cell is missing."""
    cells = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
    missing = pc.is_in(pc.utf8_lower(cells), pa.array(_MISSING))
    found = pc.if_else(missing, pa.scalar(None, pa.string()), cells)
    return np.array(found.to_pylist(), dtype=object)


def sentinels_of(values: NDArray[np.float64]) -> tuple[list[float], float, float]:
    """Which of `SENTINELS` stand for missing in ``values``, and the range of the other values.

    One does if it lies further outside the others' range than three times that range is wide: so 999 is a
    pressure in hPa, and -9999 is no wind speed.

    Example:
        >>> sentinels_of(np.array([1.0, 3.0, -9999.0, 2.0]))
        ([-9999.0], 1.0, 3.0)
        >>> sentinels_of(np.array([990.0, 999.0, 1020.0]))[0]
        []
    """
    known = values[np.isfinite(values)]
    suspects = np.isin(known, SENTINELS)
    others = known[~suspects]
    if not len(others):
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
        return [], low, high
    low, high = float(others.min()), float(others.max())
    found = [float(one) for one in np.unique(known[suspects]) if far_outside(float(one), low, high)]
    kept = known[~np.isin(known, found)]
    return found, float(kept.min()), float(kept.max())


def far_outside(value: float, low: float, high: float) -> bool:
    """Whether ``value`` lies further outside a range than three times that range is wide."""
    reach = 3 * (high - low)
    return value < low - reach or value > high + reach


def counts_rows(values: NDArray[np.float64]) -> bool:
    """Whether a column only numbers the rows: each value is the one before and the same step more.

    Example:
        >>> counts_rows(np.array([1.0, 2.0, 3.0])), counts_rows(np.array([1.0, 1.0, 1.0]))
        (True, False)
    """
    steps = np.diff(values)
    return len(steps) > 1 and bool(steps[0] != 0) and bool((steps == steps[0]).all())


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind))


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    # A copy: Arrow's own memory can't be written.
    return np.array(pc.fill_null(column, np.nan).to_numpy(), np.float64)


def _first(places: NDArray[np.intp]) -> int | None:
    return int(places[0]) if len(places) else None
