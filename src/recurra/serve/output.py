"""Answers written as CSV or JSON lines, each as soon as it is known."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, TextIO

from recurra.serve.predict import Answer

__all__ = ["Format", "format_of", "write_answers"]

Format = Literal["csv", "jsonl"]


def format_of(path: Path | None) -> Format:
    """JSON lines for ``.jsonl``, ``.ndjson`` and ``.json``; CSV for everything else."""
    return "jsonl" if path is not None and path.suffix in (".jsonl", ".ndjson", ".json") else "csv"


def write_answers(answers: Iterable[Answer], names: tuple[str, ...], file: TextIO, form: Format) -> int:
    """Write each answer as it comes, and return how many there were.

    CSV has the columns ``row,label`` and then one for the probability of each class, named ``p_CLASS``;
    several labels are joined by ``|``. A JSON line has ``row``, ``label`` (a list for multi-label) and
    ``probabilities``.
    """
    count = 0
    if form == "csv":
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", "label", *(f"p_{name}" for name in names)])
        for answer in answers:
            figures = [f"{p:.6f}" for p in answer.probabilities]
            writer.writerow([answer.row, "|".join(answer.labels), *figures])
            file.flush()
            count += 1
        return count
    for answer in answers:
        shown = dict(zip(names, (round(float(p), 6) for p in answer.probabilities), strict=True))
        label = answer.labels[0] if len(answer.labels) == 1 else list(answer.labels)
        line = {"row": answer.row, "label": label, "probabilities": shown}
        file.write(json.dumps(line, ensure_ascii=False) + "\n")
        file.flush()
        count += 1
    return count
