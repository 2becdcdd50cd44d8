"""A table of cells, from a file of any tabular format or from Python columns; columns as numbers or words."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Mapping, Sequence
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
from recurra.errors import ConfigError, DataError
from recurra.io.files import FileLines, Lines, check_encoding, look, require_text
from recurra.io.formats import Skipped, Source
from recurra.io.formats.delimited import CSV, TSV, cells, find_dialect, parse_sample
from recurra.io.formats.headers import name_columns
from recurra.io.formats.parquet import PARQUET, named_once
from recurra.io.formats.reading import refuser
from recurra.io.formats.spec import Request, Start
from recurra.io.formats.spreadsheet import SPREADSHEET, Sheet, cell_text, read_sheet

__all__ = [
    "Numbers",
    "Table",
    "compound",
    "counts_rows",
    "from_columns",
    "numbers_of",
    "read_lines",
    "read_table",
    "words_of",
]

_SAMPLE_LINES = 1_000
_CHUNK_ROWS = 8_192
_NUMBER = re.compile(r"\s*[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?\s*")  # a header has no numbers
_MISSING = ["", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "?", "missing"]
_NUMERAL = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_COMMA = r"^[+-]?\d+,\d+$"


@dataclass(frozen=True)
class Table:
    """Columns of equal length by name, with cells as in the file.

    Attributes:
        where: name of the file, for messages.
        columns: Arrow arrays of text, numbers or times.
        numbers: number of each row in the file, from 1, of shape (N,), int64.
        decimal_comma: whether 3,5 is a number.
        notes: messages for the user about rows that were left out.
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

    def error(self, what: str, position: int | None = None, hint: str | None = None) -> DataError:
        """Returns an error of the table, or of the row at ``position``."""
        row = None if position is None else int(self.numbers[position])
        return DataError(what, where=self.where, row=row, hint=hint)

    def no_column(self, setting: str, name: str) -> ConfigError:
        """Returns the error for a setting that names a missing column."""
        return ConfigError(
            f"setting series.{setting} names {name!r}, which is not a column to read",
            hint=f"the columns are {', '.join(self.names)}",
        )

    def not_a_number(self, name: str, position: int) -> DataError:
        """Returns the error for a cell that should be a number."""
        cell = str(self.columns[name][position].as_py())
        short = cell if len(cell) <= 40 else f"{cell[:37]}..."
        hint = "fix the cell or leave it empty, or choose columns with series.inputs"
        return self.error(f"{short!r} in column {name!r} is not a number", position, hint)


def read_table(path: Path, data: DataConfig) -> Table:
    """Returns the cells of a file; delimiter, quotes and header are detected if ``data`` does not set them.

    Raises:
        DataError: the file is missing, empty, binary, damaged, or has a row with too many or too few fields
            (left out under ``data.skip_bad_rows``).
        ConfigError: there is no such encoding.
    """
    path = Path(path)
    check_encoding(data.encoding)
    if path.is_dir():
        raise DataError("is a folder, not a table", where=path, hint="give one CSV file")
    head = look(path, SPREADSHEET.first_bytes)
    start = Start(Source(path, "", gzip=head.gzip), Request())
    if head.data.startswith(SPREADSHEET.first_bytes) and SPREADSHEET.matches(start):
        return _of_sheet(path, read_sheet(path, head.gzip, data.sheet), data)
    if head.data.startswith(PARQUET.first_bytes):
        try:
            with pq.ParquetFile(path) as file:
                arrow = file.read()
        except (pa.ArrowException, OSError) as error:
            raise DataError(f"is not a whole Parquet file ({error})", where=path) from error
        names, notes = named_once(arrow.column_names)
        columns = dict(zip(names, arrow.columns, strict=True))
        return Table(str(path), columns, np.arange(1, arrow.num_rows + 1), notes=list(notes))
    tabs = data.format == TSV.name or path.name.lower().removesuffix(".gz").endswith(TSV.suffixes)

    def lines(forgiving: bool) -> Lines:
        return FileLines(path, head.gzip, data.encoding, forgiving)

    return _read_cells(str(path), head.data, lines, data, "\t" if tabs else ",")


def _of_sheet(path: Path, sheet: Sheet, data: DataConfig) -> Table:
    """The table in a sheet; the cells of a column are numbers or times if all are, otherwise texts."""
    first = [cell_text(cell) for cell in sheet.rows[0]]
    names, notes = name_columns(first)
    header = not any(_NUMBER.fullmatch(cell) for cell in first) if data.header is None else data.header
    rows = sheet.rows[1:] if header else sheet.rows
    if not header:
        names, notes = tuple(str(i) for i in range(len(first))), ()
    if not rows:
        raise DataError("there is a header and no row", where=path, hint="give a sheet with rows")
    arrays = [pa.chunked_array([_of_cells(column)]) for column in zip(*rows, strict=True)]
    columns = dict(zip(names, arrays, strict=True))
    return Table(str(path), columns, np.arange(1, len(rows) + 1), notes=[*sheet.notes, *notes])


def _of_cells(cells: Sequence[Any]) -> pa.Array:
    known = {type(value) for value in cells if value != ""}
    if known and known <= {int, float}:
        return pa.array([None if value == "" else float(value) for value in cells], pa.float64())
    if known and known <= {datetime.date, datetime.datetime}:
        midnight = datetime.time()
        times = [
            datetime.datetime.combine(value, midnight) if type(value) is datetime.date else value or None
            for value in cells
        ]
        return pa.array(times, pa.timestamp("us"))
    return pa.array([cell_text(value) for value in cells], pa.string())


def read_lines(raw: bytes, where: str, data: DataConfig) -> Table:
    """Returns the cells of a table in bytes, as from standard input; errors are those of `read_table`."""
    if not raw.strip():
        raise DataError("there are no rows", where=where)

    def lines(forgiving: bool) -> Lines:
        return Lines(iter(raw.splitlines(keepends=True)), where, data.encoding, forgiving)

    return _read_cells(where, raw, lines, data, ",")


def from_columns(columns: Mapping[str, Sequence[Any] | NDArray[Any]], where: str = "the table") -> Table:
    """Returns a table of Python columns: numbers, times or texts by name.

    The periods of pandas are the times at which they begin.

    Raises:
        DataError: there is no column, or a column has more than one dimension, another length, or values that
            are neither numbers, times nor texts.

    Example:
        >>> from_columns({"a": [1.0, 2.0], "b": ["x", None]}).names
        ['a', 'b']
    """
    arrays: dict[str, pa.ChunkedArray] = {}
    for name, values in columns.items():
        try:
            arrays[str(name)] = pa.chunked_array([pa.array(_times(values), from_pandas=True)])
        except (pa.ArrowException, TypeError) as error:
            raise DataError(f"column {name!r} can't be used ({error})", where=where) from error
        if pa.types.is_nested(arrays[str(name)].type):
            what = f"column {name!r} holds lists or other compound values"
            raise DataError(what, where=where, hint="leave it out, or give a column for each part")
    lengths = {name: len(column) for name, column in arrays.items()}
    if not lengths:
        raise DataError("there are no columns", where=where)
    if len(set(lengths.values())) > 1:
        raise DataError(f"columns differ in length: {lengths}", where=where)
    return Table(where, arrays, np.arange(1, next(iter(lengths.values())) + 1))


def _times(values: Any) -> Any:
    """A column, or the times at which its periods begin: those of pandas, such as the months of a table."""
    kind = str(getattr(values, "dtype", "object"))
    if (
        isinstance(values, pa.Array)
        or not hasattr(values, "__len__")
        or not (kind == "object" or kind.startswith("period"))
    ):
        return values
    if not any(hasattr(value, "start_time") for value in values):
        return values
    return [getattr(value, "start_time", None) for value in values]


def _read_cells(
    where: str, head: bytes, lines: Callable[[bool], Lines], data: DataConfig, delimiter: str
) -> Table:
    """The table in a file with the first bytes ``head``.

    ``lines`` opens it from the start, forgiving (see `Lines`) or not. Its name suggests ``delimiter``.
    """
    require_text(head, data.encoding, where)
    sample = list(islice(lines(True), _SAMPLE_LINES + 1))
    complete = len(sample) <= _SAMPLE_LINES
    sample = sample[:_SAMPLE_LINES]
    dialect = find_dialect(sample, complete, delimiter, data.delimiter)
    rows = parse_sample(sample, complete, dialect.delimiter, dialect.quoted)
    if not rows:
        raise DataError("there are no rows", where=where)
    header = not any(_NUMBER.fullmatch(cell) for cell in rows[0]) if data.header is None else data.header
    names, notes = name_columns(rows[0])
    if not header:
        names, notes = tuple(str(i) for i in range(len(rows[0]))), ()
    source = Source(
        Path(where),
        CSV.name,
        delimiter=dialect.delimiter,
        header=header,
        columns=names,
        skip_bad_rows=data.skip_bad_rows,
        quoted=dialect.quoted,
    )
    skipped = Skipped()
    chunks: list[list[pa.Array]] = [[] for _ in names]
    numbers: list[int] = []
    records = cells(source, names, refuser(source, skipped), lines(data.skip_bad_rows))
    while block := list(islice(records, _CHUNK_ROWS)):  # few cells at a time are Python objects
        numbers += [number for number, _ in block]
        for chunk, column in zip(chunks, zip(*(fields for _, fields in block), strict=True), strict=True):
            chunk.append(pa.array(column, pa.string()))
    if not numbers:
        raise DataError("there is a header and no row", where=where, hint="give a file with rows")
    broken = "1 broken row is" if skipped.count == 1 else f"{skipped.count:,} broken rows are"
    broken_rows = [f"{broken} left out, the first: {skipped.examples[0]}"] if skipped.count else []
    columns = {name: pa.chunked_array(chunk) for name, chunk in zip(names, chunks, strict=True)}
    return Table(where, columns, np.array(numbers), dialect.delimiter != ",", [*notes, *broken_rows])


@dataclass(frozen=True)
class Numbers:
    """A column as numbers.

    Attributes:
        values: ``(N,)`` float64, NaN if a cell is missing or not a number.
        present: the number of cells that are not missing.
        strange: the positions of those of them that are not numbers, in ascending order.
    """

    values: NDArray[np.float64]
    present: int
    strange: NDArray[np.int64]


def numbers_of(column: pa.ChunkedArray, decimal_comma: bool = False) -> Numbers:
    """Returns the numbers of a column; empty cells, NA, NaN, null, ``-`` and ``?`` are missing.

    Args:
        column: text, numbers or booleans.
        decimal_comma: whether 3,5 is 3.5.

    Example:
        >>> numbers = numbers_of(pa.chunked_array([["1", " 2.5", "NA", "", "x"]]))
        >>> numbers.values.tolist(), numbers.present, numbers.strange.tolist()
        ([1.0, 2.5, nan, nan, nan], 3, [4])
    """
    kind = column.type
    text = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_decimal(kind):
        column, kind = pc.cast(column, pa.float64()), pa.float64()
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        missing, strange = np.asarray(pc.is_null(column, nan_is_null=True)), np.zeros(len(column), bool)
    elif pa.types.is_string(text) or pa.types.is_large_string(text) or pa.types.is_null(text):
        cells = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
        missing = np.asarray(pc.or_(pc.is_null(cells), pc.is_in(pc.utf8_lower(cells), pa.array(_MISSING))))
        if decimal_comma:
            swapped = pc.replace_substring(cells, ",", ".")
            cells = pc.if_else(pc.match_substring_regex(cells, _COMMA), swapped, cells)
        fits = pc.fill_null(pc.match_substring_regex(cells, _NUMERAL), False)
        column = pc.if_else(fits, cells, pa.scalar(None, pa.string()))
        strange = ~np.asarray(fits) & ~missing
    else:  # a time, a list, bytes
        return Numbers(np.full(len(column), np.nan), len(column), np.arange(len(column)))
    # A copy, since the memory of Arrow is read-only.
    values = np.array(pc.fill_null(pc.cast(column, pa.float64()), np.nan).to_numpy(), np.float64)
    infinite = np.isinf(values)  # such as 1e999
    values[infinite] = np.nan
    return Numbers(values, int((~missing).sum()), np.flatnonzero(strange | infinite))


def compound(column: pa.ChunkedArray) -> str | None:
    """Returns what a column holds if that is neither numbers, words nor times: lists, structs or bytes.

    Example:
        >>> compound(pa.chunked_array([[[1, 2]]])), compound(pa.chunked_array([[1, 2]]))
        ('lists', None)
    """
    kind = column.type
    if pa.types.is_nested(kind):
        return "maps" if pa.types.is_map(kind) else "structs" if pa.types.is_struct(kind) else "lists"
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    return "bytes" if binary or pa.types.is_fixed_size_binary(kind) else None


def words_of(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """Returns the words of a category ``(N,)``, None if a cell is missing or `compound`."""
    if compound(column) is not None:
        return np.full(len(column), None, dtype=object)
    cells = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
    missing = pc.is_in(pc.utf8_lower(cells), pa.array(_MISSING))
    words = pc.if_else(missing, pa.scalar(None, pa.string()), cells)
    return np.array(words.to_pylist(), dtype=object)


def counts_rows(values: NDArray[np.float64]) -> bool:
    """Whether a column numbers the rows: each value is the previous one plus the same step.

    Example:
        >>> counts_rows(np.array([1.0, 2.0, 3.0])), counts_rows(np.array([1.0, 1.0, 1.0]))
        (True, False)
    """
    with np.errstate(over="ignore"):  # a step of 1e308 and more is infinite, and not the same twice
        steps = np.diff(values)
    return len(steps) > 1 and bool(steps[0] != 0) and bool((steps == steps[0]).all())
