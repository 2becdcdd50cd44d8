"""Answers to rows, beside the columns of their file, written as CSV or JSON lines as they are computed."""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any, TextIO

from recurra.io.formats import format_named

__all__ = ["ANSWER_FORMATS", "Answers", "format_of", "write_answers"]


@dataclass(frozen=True)
class Answers:
    """Answers as they are computed.

    Attributes:
        fields: the columns of a CSV; the first has the number of the row.
        records: JSON values by name, one record an answer.
        cells: returns the cells of ``fields`` for a record; if None, they are the record's values by name.
        warnings: sentences about the answers. Some are added when all records are computed.
        columns: the columns of the file that are repeated. Each record has their values under ``input``.
    """

    fields: list[str]
    records: Iterator[dict[str, Any]]
    cells: Callable[[Mapping[str, Any]], list[Any]] | None = None
    warnings: list[str] = field(default_factory=list)
    columns: tuple[str, ...] = ()

    @property
    def header(self) -> list[str]:
        """The columns of a CSV: the number of the row, those of the file, and those of the answers.

        If the file has a column of the same name, a column of the answers is called ``predicted_NAME``, and
        that of the number ``row_number``.
        """
        taken = {*self.columns}
        number, *names = self.fields
        return [_free(number, taken, f"{number}_number"), *self.columns,
                *(_free(name, taken, f"predicted_{name}") for name in names)]  # fmt: skip


def _free(name: str, taken: set[str], other: str) -> str:
    """Returns ``name``, or if it is taken ``other``, with a number if that is taken too."""
    names = chain([name, other], (f"{other}_{number}" for number in count(2)))
    return next(name for name in names if name not in taken)


def _csv(answers: Answers, file: TextIO, safe: bool) -> Callable[[Mapping[str, Any]], object]:
    writer = csv.writer(file, lineterminator="\n")
    shown = _no_formula if safe else _as_it_is
    writer.writerow(map(shown, answers.header))

    def write(record: Mapping[str, Any]) -> None:
        cells = answers.cells(record) if answers.cells else [record[name] for name in answers.fields]
        row = [f"{cell:.6f}" if isinstance(cell, float) else shown(cell) for cell in cells]
        if answers.columns:
            given = record["input"]
            row[1:1] = [shown(_as_text(given.get(name))) for name in answers.columns]
        writer.writerow(row)

    return write


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


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _jsonl(answers: Answers, file: TextIO, safe: bool) -> Callable[[Mapping[str, Any]], object]:
    def write(record: Mapping[str, Any]) -> None:
        if answers.columns:
            record = {**record, "input": {name: _finite(value) for name, value in record["input"].items()}}
        file.write(json.dumps(record, ensure_ascii=False, default=_other) + "\n")

    return write


_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*([eE][+-]?\d+)?")
ANSWER_FORMATS = {"csv": _csv, "jsonl": _jsonl}
"""By name: functions that write the beginning of a file and return a function that writes a record."""


def format_of(path: Path | None) -> str:
    """The name of the format to which the suffix of ``path`` belongs; CSV for other suffixes and for None."""
    suffix = path.suffix if path is not None else ""
    return next((name for name in ANSWER_FORMATS if suffix in format_named(name).suffixes), "csv")


def write_answers(
    answers: Answers,
    file: TextIO,
    form: str,
    *,
    safe: bool = False,
    tick: Callable[[int], object] = lambda answers: None,
) -> int:
    """Writes the answers one by one, and returns their number. Other numbers than
    whole ones have six decimals in a CSV, unless the answers have `Answers.cells` that are texts.

    Args:
        answers: the answers, computed as they are written.
        file: the file.
        form: a name in `ANSWER_FORMATS`.
        safe: whether cells of a CSV that a spreadsheet would take for a formula begin with an apostrophe.
        tick: called after each answer, with 1.
    """
    written = 0
    write = ANSWER_FORMATS[form](answers, file, safe)
    for record in answers.records:
        write(record)
        file.flush()
        tick(1)
        written += 1
    return written
