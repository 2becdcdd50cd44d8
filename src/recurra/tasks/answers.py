"""The answers of a model, written as CSV or JSON lines, each as soon as it is known."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TextIO

__all__ = ["AnswerFormat", "Answers", "format_of", "write_answers"]

AnswerFormat = Literal["csv", "jsonl"]


@dataclass(frozen=True)
class Answers:
    """Answers as they are found.

    Attributes:
        fields: the columns of a CSV.
        records: JSON values by name, one record per answer.
        cells: returns the cells of ``fields`` for a record; if None, they are taken from it by name.
    """

    fields: list[str]
    records: Iterator[dict[str, Any]]
    cells: Callable[[Mapping[str, Any]], list[Any]] | None = None


def format_of(path: Path | None) -> AnswerFormat:
    """Returns ``jsonl`` for ``.jsonl``, ``.ndjson`` and ``.json``, else ``csv``."""
    return "jsonl" if path is not None and path.suffix in (".jsonl", ".ndjson", ".json") else "csv"


def write_answers(answers: Answers, file: TextIO, form: AnswerFormat) -> int:
    """Writes each answer as it comes and returns their number; a float in a CSV has six decimals."""
    count = 0
    writer = csv.writer(file, lineterminator="\n")
    if form == "csv":
        writer.writerow(answers.fields)
    for record in answers.records:
        if form == "csv":
            cells = answers.cells(record) if answers.cells else [record[name] for name in answers.fields]
            writer.writerow([f"{cell:.6f}" if isinstance(cell, float) else cell for cell in cells])
        else:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
        file.flush()
        count += 1
    return count
