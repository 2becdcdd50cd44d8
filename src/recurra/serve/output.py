"""Answers written as CSV or JSON lines, to a stream or to a file that appears only when it is whole."""

from __future__ import annotations

import csv
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, TextIO

from recurra.errors import OutputError
from recurra.serve.predict import Answer

__all__ = ["Format", "format_of", "whole_file", "write_answers"]

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


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """A text file that takes the name ``path`` only if the block ends without an error.

    Raises:
        OutputError: the place can't be written, or is full.
    """
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.absolute().parent)
    except OSError as error:
        raise OutputError(
            f"can't be written ({error.strerror})", where=path, mend="give another --out"
        ) from error
    try:
        with open(handle, "w", encoding="utf-8", newline="") as file:
            yield file
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        raise OutputError(
            f"can't be written ({error.strerror})", where=path, mend="give another --out"
        ) from error
    finally:
        Path(name).unlink(missing_ok=True)
