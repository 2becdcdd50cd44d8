"""A table of cells, from a file of any tabular format or from Python columns."""

from __future__ import annotations

import datetime
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from recurra.config import DataConfig
from recurra.errors import ConfigError, DataError
from recurra.io.cache import cache_folder, cached_columns, content_key
from recurra.io.columns import Arrays, text_of, to_bytes
from recurra.io.files import FileLines, Lines, check_encoding, look, require_text
from recurra.io.formats import Skipped, Source
from recurra.io.formats.delimited import CSV, TSV, cells, find_dialect, parse_sample
from recurra.io.formats.headers import name_columns
from recurra.io.formats.parquet import PARQUET, named_once
from recurra.io.formats.reading import refuser
from recurra.io.formats.spec import Request, Start
from recurra.io.formats.spreadsheet import SPREADSHEET, Sheet, cell_text, read_sheet
from recurra.tasks.forecasting.series.numbers import BLOCK, Numbers, blocks_of, numbers_of
from recurra.tasks.reporter import Tick

__all__ = ["Table", "from_columns", "read_lines", "read_table"]

_SAMPLE_LINES = 1_000
_CHUNK_ROWS = 8_192
_LARGE = 100_000
"""Rows from which on what is computed of the columns of a file is kept in the cache, not in memory."""
_WIDE = 256
"""Columns up to which it is: a mapped one takes a file descriptor, of which a process has some 1,000."""
_NUMBER = re.compile(r"\s*[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?\s*")  # a header has no numbers


@dataclass(frozen=True)
class Table:
    """Columns of equal length by name, with cells as in the file.

    Attributes:
        where: name of the file, for messages.
        columns: Arrow arrays of text, numbers or times.
        numbers: number of each row in the file, from 1, of shape (N,), int64.
        decimal_comma: whether 3,5 is a number.
        notes: messages for the user about rows that were left out.
        key: of the contents of the file, whose cells then are mapped from the cache; "" in memory.
    """

    where: str
    columns: dict[str, pa.ChunkedArray]
    numbers: NDArray[np.int64]
    decimal_comma: bool = False
    notes: list[str] = field(default_factory=list)
    key: str = ""

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def is_large(self) -> bool:
        """Whether arrays of the table are mapped from the cache instead of held in memory."""
        return bool(self.key) and len(self) >= _LARGE and len(self.columns) <= _WIDE

    def numbers_in(self, name: str, tick: Tick = lambda rows: None) -> Numbers:
        """Returns the numbers of a column; those of a large table are computed once, into the cache."""
        column = self.columns[name]
        if not self.is_large:
            return numbers_of(column, self.decimal_comma, tick)

        def build() -> Iterator[Arrays]:
            begin = present = 0
            for block in blocks_of(column, tick):
                found = numbers_of(block, self.decimal_comma)
                yield {"values": found.values, "strange": found.strange + begin}
                begin, present = begin + len(block), present + found.present
            yield {"present": np.array([present])}

        def read(arrays: dict[str, NDArray[Any]]) -> Numbers:
            return Numbers(arrays["values"], int(arrays["present"][0]), arrays["strange"])

        key = content_key([], self.key, "numbers", name)
        return cached_columns(cache_folder(), key, build, read)

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


def read_table(path: Path, data: DataConfig, tick: Tick = lambda rows: None, *, cached: bool = True) -> Table:
    """Returns the cells of a file; delimiter, quotes and header are detected if ``data`` does not set them.

    If ``cached``, they are read once, and mapped from the cache; a file of rows to forecast is read only
    once anyway. ``tick`` is called with the number of rows that were read.

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
    tabs = data.format == TSV.name or path.name.lower().removesuffix(".gz").endswith(TSV.suffixes)

    def lines(forgiving: bool) -> Lines:
        return FileLines(path, head.gzip, data.encoding, forgiving)

    def blocks(facts: _Facts) -> Iterator[pa.RecordBatch]:
        if head.data.startswith(PARQUET.first_bytes):
            return _parquet_blocks(path, facts)
        return _cell_blocks(str(path), head.data, lines, data, "\t" if tabs else ",", facts)

    if not cached:
        facts = _Facts()
        return _collected(str(path), blocks(facts), facts)
    # What has no broken row is read the same way. The notes have the name of the file.
    lenient = json.dumps({**data.model_dump(mode="json"), "skip_bad_rows": True}, sort_keys=True)
    key = content_key([path], "cells", lenient, str(tabs), str(path))
    return _cached_cells(str(path), key, blocks, tick, refuse=not data.skip_bad_rows)


def _cached_cells(
    where: str, key: str, blocks: Callable[[_Facts], Iterator[pa.RecordBatch]], tick: Tick, *, refuse: bool
) -> Table:
    """Returns the table of cells in the cache, after writing them there block by block.

    If ``refuse``, cells of which broken rows were left out are read again, and the reader names the first.

    A column of the cache holds the bytes of an Arrow stream, of which the arrays of the table are parts.
    """

    def build() -> Iterator[Arrays]:
        facts, sink = _Facts(), _Sink()
        writer = None
        for block in blocks(facts):
            writer = pa.ipc.new_stream(pa.PythonFile(sink, "w"), block.schema) if writer is None else writer
            writer.write_batch(block)
            yield {"cells": sink.taken(), "numbers": np.array(facts.taken(block.num_rows), np.int64)}
            tick(block.num_rows)
        if writer is not None:
            writer.close()
            yield {"cells": sink.taken()}
        yield {"facts": to_bytes(json.dumps([facts.names, facts.decimal_comma, facts.notes, facts.broken]))}

    def read(arrays: dict[str, NDArray[Any]]) -> Table:
        names, decimal_comma, notes, broken = json.loads(text_of(arrays["facts"]))
        if broken and refuse:
            raise ValueError("broken rows")
        arrow = pa.ipc.open_stream(pa.py_buffer(arrays["cells"])).read_all()
        columns = dict(zip(names, arrow.columns, strict=True))
        return Table(where, columns, arrays["numbers"], decimal_comma, notes, key)

    return cached_columns(cache_folder(), key, build, read)


@dataclass
class _Facts:
    """What a reader of cells finds out.

    Attributes:
        names: the columns.
        decimal_comma: whether 3,5 is a number.
        notes: messages for the user; complete when all blocks were read.
        broken: the number of rows that were left out; complete when all blocks were read.
        numbers: the numbers of the rows of the last block; None if rows are counted.
        read: the number of rows before the last block.
    """

    names: tuple[str, ...] = ()
    decimal_comma: bool = False
    notes: list[str] = field(default_factory=list)
    broken: int = 0
    numbers: Sequence[int] | None = None
    read: int = 0

    def taken(self, rows: int) -> Sequence[int]:
        """Returns the numbers of the rows of a block."""
        self.read += rows
        return range(self.read - rows + 1, self.read + 1) if self.numbers is None else self.numbers


class _Sink(io.RawIOBase):
    """A file that gives away what was written to it."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        part = bytes(content)
        self._parts.append(part)
        self._size += len(part)
        return len(part)

    def tell(self) -> int:
        return self._size

    def taken(self) -> NDArray[np.uint8]:
        """Returns what was written since the last call."""
        content, self._parts = b"".join(self._parts), []
        return np.frombuffer(content, np.uint8)


def _parquet_blocks(path: Path, facts: _Facts) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file, in one block at least."""
    try:
        with pq.ParquetFile(path) as file:
            names, notes = named_once(file.schema_arrow.names)
            facts.names, facts.notes = tuple(names), list(notes)
            empty = True
            for block in file.iter_batches(BLOCK):
                empty = False
                yield _numbered(block.columns)
            if empty:
                yield _numbered([pa.array([], kind) for kind in file.schema_arrow.types])
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"is not a whole Parquet file ({error})", where=path) from error


def _numbered(columns: Sequence[pa.Array]) -> pa.RecordBatch:
    """Columns named by their position, since names may be repeated."""
    return pa.RecordBatch.from_arrays(list(columns), names=[str(at) for at in range(len(columns))])


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

    facts = _Facts()
    return _collected(where, _cell_blocks(where, raw, lines, data, ",", facts), facts)


def _collected(where: str, blocks: Iterator[pa.RecordBatch], facts: _Facts) -> Table:
    """The table of blocks, in memory."""
    chunks: list[pa.RecordBatch] = []
    numbers: list[int] = []
    for block in blocks:
        chunks.append(block)
        numbers += facts.taken(block.num_rows)
    columns = dict(zip(facts.names, pa.Table.from_batches(chunks).columns, strict=True))
    return Table(where, columns, np.array(numbers, np.int64), facts.decimal_comma, facts.notes)


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


def _cell_blocks(
    where: str, head: bytes, lines: Callable[[bool], Lines], data: DataConfig, delimiter: str, facts: _Facts
) -> Iterator[pa.RecordBatch]:
    """The rows of a file with the first bytes ``head``, in blocks, one at least.

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
    facts.names, facts.decimal_comma, facts.notes = tuple(names), dialect.delimiter != ",", list(notes)
    records = cells(source, names, refuser(source, skipped), lines(data.skip_bad_rows))
    while block := list(islice(records, _CHUNK_ROWS)):  # few cells at a time are Python objects
        facts.numbers = [number for number, _ in block]
        columns = zip(*(fields for _, fields in block), strict=True)
        yield _numbered([pa.array(column, pa.string()) for column in columns])
    if facts.numbers is None:
        raise DataError("there is a header and no row", where=where, hint="give a file with rows")
    facts.broken = skipped.count
    if skipped.count:
        broken = "1 broken row is" if skipped.count == 1 else f"{skipped.count:,} broken rows are"
        facts.notes.append(f"{broken} left out, the first: {skipped.examples[0]}")
