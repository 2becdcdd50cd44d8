"""Answers to rows, written as CSV or JSON lines, each as soon as it is computed."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
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
    """

    fields: list[str]
    records: Iterator[dict[str, Any]]
    cells: Callable[[Mapping[str, Any]], list[Any]] | None = None


def _csv(answers: Answers, file: TextIO) -> Callable[[Mapping[str, Any]], object]:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(answers.fields)

    def write(record: Mapping[str, Any]) -> None:
        cells = answers.cells(record) if answers.cells else [record[name] for name in answers.fields]
        writer.writerow([f"{cell:.6f}" if isinstance(cell, float) else cell for cell in cells])

    return write


def _jsonl(answers: Answers, file: TextIO) -> Callable[[Mapping[str, Any]], object]:
    return lambda record: file.write(json.dumps(record, ensure_ascii=False) + "\n")


ANSWER_FORMATS = {"csv": _csv, "jsonl": _jsonl}
"""By name: functions that write the beginning of a file and return a function that writes a record."""


def format_of(path: Path | None) -> str:
    """The name of the format to which the suffix of ``path`` belongs; CSV for other suffixes and for None."""
    suffix = path.suffix if path is not None else ""
    return next((name for name in ANSWER_FORMATS if suffix in format_named(name).suffixes), "csv")


def write_answers(answers: Answers, file: TextIO, form: str) -> int:
    """Writes the answers one by one, and returns their number. Numbers in a CSV have six decimals."""
    count = 0
    write = ANSWER_FORMATS[form](answers, file)
    for record in answers.records:
        write(record)
        file.flush()
        count += 1
    return count
