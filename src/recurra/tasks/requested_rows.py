"""The rows of a request for predictions: texts, or those of a file or of stdin."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from recurra.config import DataConfig
from recurra.io.detect import detect
from recurra.io.formats import Rows, Skipped, Source, read
from recurra.io.formats.reading import MISSING
from recurra.io.stream import read_stream
from recurra.tasks.answers import kept_columns
from recurra.tasks.base import PredictRequest

__all__ = ["RequestedRows", "rows_of"]


@dataclass(frozen=True)
class RequestedRows:
    """The rows of a request for predictions.

    Attributes:
        chunks: the rows, as they are read; with their cells if there are ``columns``.
        columns: the columns of the file that answers repeat.
        skipped: counts the broken rows that are left out, as they are read.
    """

    chunks: Iterator[Rows]
    columns: tuple[str, ...] = ()
    skipped: Skipped = field(default_factory=Skipped)

    def heads(self, rows: Rows) -> list[dict[str, Any]]:
        """Returns the beginning of each row's record: its number, and under ``input`` its cells."""
        if not self.columns or rows.cells is None:
            return [{"row": number} for number in rows.numbers]
        return [
            {
                "row": number,
                "input": {
                    name: cells[name] for name in self.columns if cells.get(name, MISSING) is not MISSING
                },
            }
            for number, cells in zip(rows.numbers, rows.cells, strict=True)
        ]


def rows_of(request: PredictRequest, like: Source | None, data: DataConfig) -> RequestedRows:
    """Returns the texts of a request, or the rows of its file; those of stdin for None and ``-``.

    Args:
        request: the texts or the file.
        like: the training file, whose columns the file should have.
        data: the settings of the file.

    Raises:
        DataError: the file can't be used.
        ConfigError: the request keeps a column that the file does not have.
    """
    texts = list(request.texts)
    if texts:
        return RequestedRows(iter([Rows(list(range(1, len(texts) + 1)), texts)]))
    skipped = Skipped()
    if request.file is None or str(request.file) == "-":
        chunks = read_stream(sys.stdin.buffer, like, data, skipped, keep=bool(request.keep))
    else:
        source = detect(request.file, data, labelled=False, like=like)
        chunks = read(source, skipped, keep=bool(request.keep))
    first = next(chunks, None)  # the columns of a stream are those of its first row
    if first is None:
        return RequestedRows(iter(()), skipped=skipped)
    columns = kept_columns(tuple(first.cells[0]) if first.cells else (), request.keep)
    return RequestedRows(chain([first], chunks), columns, skipped)
