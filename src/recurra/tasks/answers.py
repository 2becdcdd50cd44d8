"""Answers to rows, written as CSV or JSON lines, each as soon as it is computed."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from recurra.io.formats import format_named

__all__ = ["ANSWER_FORMATS", "Answers", "format_of", "write_answers"]


@dataclass(frozen=True)
class Answers:
    """Answers as they are computed.

    Attributes:
        fields: the columns of a CSV.
        records: JSON values by name, one record an answer.
        cells: returns the cells of ``fields`` for a record; if None, they are the record's values by name.
        warnings: sentences about the answers.
    """

    fields: list[str]
    records: Iterator[dict[str, Any]]
    cells: Callable[[Mapping[str, Any]], list[Any]] | None = None
    warnings: list[str] = field(default_factory=list)


def _csv(answers: Answers, file: TextIO, safe: bool) -> Callable[[Mapping[str, Any]], object]:
    writer = csv.writer(file, lineterminator="\n")
    shown = _no_formula if safe else _as_it_is
    writer.writerow(map(shown, answers.fields))

    def write(record: Mapping[str, Any]) -> None:
        cells = answers.cells(record) if answers.cells else [record[name] for name in answers.fields]
        writer.writerow([f"{cell:.6f}" if isinstance(cell, float) else shown(cell) for cell in cells])

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


def _jsonl(answers: Answers, file: TextIO, safe: bool) -> Callable[[Mapping[str, Any]], object]:
    return lambda record: file.write(json.dumps(record, ensure_ascii=False) + "\n")


_NUMBER = re.compile(r"[+-]?\d+([.,]\d+)*([eE][+-]?\d+)?")
ANSWER_FORMATS = {"csv": _csv, "jsonl": _jsonl}
"""By name: functions that write the beginning of a file and return a function that writes a record."""


def format_of(path: Path | None) -> str:
    """The name of the format to which the suffix of ``path`` belongs; CSV for other suffixes and for None."""
    suffix = path.suffix if path is not None else ""
    return next((name for name in ANSWER_FORMATS if suffix in format_named(name).suffixes), "csv")


def write_answers(answers: Answers, file: TextIO, form: str, *, safe: bool = False) -> int:
    """Writes the answers one by one, and returns their number. Other numbers than
    whole ones have six decimals in a CSV, unless the answers have `Answers.cells` that are texts.

    Args:
        answers: the answers, computed as they are written.
        file: the file.
        form: a name in `ANSWER_FORMATS`.
        safe: whether cells of a CSV that a spreadsheet would take for a formula begin with an apostrophe.
    """
    count = 0
    write = ANSWER_FORMATS[form](answers, file, safe)
    for record in answers.records:
        write(record)
        file.flush()
        count += 1
    return count
