"""Answers written as CSV, TSV, JSON lines or Parquet while they are computed, in constant memory."""

from __future__ import annotations

import csv
import gzip
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TextIO, TypeAlias

from recurra.errors import OutputError
from recurra.files import replacing
from recurra.io.formats import format_named
from recurra.tasks.answers import Answers
from recurra.tasks.reporter import Tick

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "ANSWER_FORMATS",
    "BINARY",
    "finite",
    "format_of",
    "write_answers",
    "write_file",
    "write_parquet_answers",
]

BINARY = "parquet"
"""The format of answers that is not text."""
_BATCH = 8_192  # rows of a group of rows of a Parquet file
_TICK = 64
Write: TypeAlias = Callable[[Mapping[str, Any]], object]


def _table(delimiter: str) -> Callable[[Answers, TextIO, bool], Write]:
    def begin(answers: Answers, file: TextIO, safe: bool) -> Write:
        writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
        shown = _no_formula if safe else _as_it_is
        writer.writerow(map(shown, answers.header))
        first = 1 if answers.numbered else 0
        given = slice(first, first + len(answers.columns))

        def write(record: Mapping[str, Any]) -> None:
            cells = answers.row(record)
            row = [f"{cell:.6f}" if isinstance(cell, float) else shown(cell) for cell in cells]
            row[given] = [shown(_as_text(cell)) for cell in cells[given]]
            writer.writerow(row)

        return write

    return begin


def _as_it_is(cell: Any) -> Any:
    return cell


def _no_formula(cell: Any) -> Any:
    """Returns a cell that a spreadsheet does not take for a formula: it begins with an apostrophe.

    Example:
        >>> _no_formula("=1+1"), _no_formula("-5"), _no_formula("good"), _no_formula(7)
        ("'=1+1", '-5', 'good', 7)
    """
    begins = isinstance(cell, str) and cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{cell}" if begins and not _NUMBER.fullmatch(cell) else cell


def _as_text(value: Any) -> str:
    """A cell of the file for a CSV: empty for a null, JSON for a list or an object."""
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=_other)
    return "" if value is None else _other(value)


def _other(value: Any) -> str:
    """A value that is not of JSON, such as a date, as text."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def finite(value: Any) -> Any:
    """Returns a value with None in place of numbers that JSON does not have."""
    if isinstance(value, dict):
        return {str(name): finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _jsonl(answers: Answers, file: TextIO, safe: bool) -> Write:
    del safe  # no spreadsheet reads JSON lines
    left_out = {"input", *answers.hidden, *(() if answers.numbered else answers.fields[:1])}
    names: dict[str, str] = {}  # of the values, which are the same in most records

    def write(record: Mapping[str, Any]) -> None:
        line = {}
        if answers.numbered:
            line[answers.name_of(answers.fields[0])] = record[answers.fields[0]]
        if answers.columns:
            given = record["input"]
            line |= {name: finite(given[name]) for name in answers.columns if name in given}
        for name, value in record.items():
            if name not in left_out:
                line[names.setdefault(name, answers.name_of(name))] = value
        file.write(json.dumps(line, ensure_ascii=False, default=_other) + "\n")

    return write


_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*([eE][+-]?\d+)?")
_TEXT_FORMATS = {"csv": _table(","), "tsv": _table("\t"), "jsonl": _jsonl}
"""By name: functions that write the beginning of a file and return a function that writes a record."""
ANSWER_FORMATS = (*_TEXT_FORMATS, BINARY)
"""The formats in which answers can be written."""


def format_of(path: Path | None) -> str:
    """The name of the format to which the suffix of ``path`` belongs; CSV for other suffixes and for None."""
    suffix = "" if path is None else Path(path.name.removesuffix(".gz")).suffix.lower()
    return next((name for name in ANSWER_FORMATS if suffix in format_named(name).suffixes), "csv")


def write_answers(
    answers: Answers,
    file: TextIO,
    form: str,
    *,
    safe: bool = False,
    flush: bool = True,
    tick: Tick = lambda answers: None,
) -> int:
    """Writes the answers one by one as text, and returns their number. Other numbers than
    whole ones have six decimals in a CSV, unless the answers have `Answers.cells` that are texts.

    Args:
        answers: the answers, computed as they are written.
        file: the file.
        form: a name in `ANSWER_FORMATS` that is not `BINARY`.
        safe: whether cells of a CSV that a spreadsheet would take for a formula begin with an apostrophe.
        flush: whether each answer is written at once, for a program that reads them from a pipe.
        tick: called now and then with the number of further answers.
    """
    write = _TEXT_FORMATS[form](answers, file, safe)

    def one(record: Mapping[str, Any]) -> None:
        write(record)
        if flush:
            file.flush()

    return _written(answers, one, tick)


def _written(answers: Answers, write: Write, tick: Tick) -> int:
    number = 0
    for number, record in enumerate(answers.records, 1):
        write(record)
        if number % _TICK == 0:
            tick(_TICK)
    tick(number % _TICK)
    return number


def write_file(
    answers: Answers,
    path: Path,
    form: str | None = None,
    *,
    safe: bool = False,
    tick: Tick = lambda answers: None,
    types: Mapping[str, pa.DataType] | None = None,
) -> int:
    """Writes the answers to a file, completely or not at all, and returns their number.

    Args:
        answers: the answers, computed as they are written.
        path: the file; text is compressed if its name ends with ``.gz``.
        form: a name in `ANSWER_FORMATS`; None for that of the suffix.
        safe, tick: as in `write_answers`.
        types: for Parquet, the types of columns of the file that are repeated; the others are detected.

    Raises:
        OutputError: the file can't be written, or a column of a Parquet file has values of several types.
    """
    form = form or format_of(path)
    with replacing(path) as draft:
        if form == BINARY:
            with draft.open("wb") as file:
                return write_parquet_answers(answers, file, tick=tick, types=types, where=path)
        with _text_file(draft, path.suffix == ".gz") as text:
            return write_answers(answers, text, form, safe=safe, flush=False, tick=tick)


def _text_file(path: Path, packed: bool) -> AbstractContextManager[TextIO]:
    if packed:
        return gzip.open(path, "wt", compresslevel=6, encoding="utf-8", newline="")
    return path.open("w", encoding="utf-8", newline="", buffering=1 << 17)


def write_parquet_answers(
    answers: Answers,
    file: IO[bytes],
    *,
    tick: Tick = lambda answers: None,
    types: Mapping[str, pa.DataType] | None = None,
    where: Path | str = "standard output",
) -> int:
    """Writes the answers as Parquet, 8,192 rows at a time; other arguments are those of `write_file`."""
    rows: list[list[Any]] = []
    known = {name: types[name] for name in answers.columns if name in types} if types else {}
    with _parquet(answers.header, file, known, where) as flush:

        def write(record: Mapping[str, Any]) -> None:
            rows.append(answers.row(record, typed=True))
            if len(rows) == _BATCH:
                flush(rows)
                rows.clear()

        count = _written(answers, write, tick)
        flush(rows)
    return count


@contextmanager
def _parquet(
    names: list[str], file: IO[bytes], types: dict[str, pa.DataType], where: Path | str
) -> Iterator[Callable[[list[list[Any]]], None]]:
    """Context of a function that writes rows; types of columns that are not known are those of the first."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    writer: pq.ParquetWriter | None = None
    schema = pa.schema([])

    def column(name: str, values: list[Any]) -> pa.Array:
        kind = types.get(name)
        if kind is None:
            found = pa.array(values)
            kind = pa.string() if pa.types.is_null(found.type) else found.type
        if pa.types.is_string(kind):
            values = [
                value if value is None or isinstance(value, str) else _as_text(value) for value in values
            ]
        types[name] = kind
        return pa.array(values, kind)

    def flush(rows: list[list[Any]]) -> None:
        nonlocal writer, schema
        columns = list(zip(*rows, strict=True)) if rows else [() for _ in names]
        arrays = []
        for name, values in zip(names, columns, strict=True):
            try:
                arrays.append(column(name, list(values)))
            except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
                raise OutputError(
                    f"column {name!r} has values of several types ({str(error).splitlines()[0][:100]})",
                    where=where,
                    hint="write JSON lines (.jsonl), or leave the column out with --keep",
                ) from error
        if writer is None:
            schema = pa.schema([(name, types[name]) for name in names])
            writer = pq.ParquetWriter(file, schema, compression="zstd")
        if rows:
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))

    try:
        yield flush
    finally:
        if writer is not None:
            writer.close()
