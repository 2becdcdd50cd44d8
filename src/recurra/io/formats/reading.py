"""Rows of any format, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from recurra.io.formats import delimited, fasttext, folder, jsonl, parquet, plain, table
from recurra.io.formats.table import Record, Refuse
from recurra.io.source import Rows, Skipped, Source

__all__ = ["cells", "read"]


def read(source: Source, skipped: Skipped | None = None) -> Iterator[Rows]:
    """The rows of a source, chunk by chunk, in constant memory.

    Args:
        source: what `recurra.io.formats.detect` found.
        skipped: counts the broken rows that ``source.skip_bad_rows`` leaves out.

    Raises:
        DataError: a broken row (unless left out), or a file that is cut off or not in its encoding.
    """
    return table.chunks(_records(source, table.refuser(source, skipped)))


def cells(source: Source, columns: Sequence[str], refuse: Refuse) -> Iterator[tuple[int, Sequence[Any]]]:
    """Row numbers and the raw values of ``columns``, for the formats that have columns."""
    if source.format == "parquet":
        return parquet.cells(source, columns, refuse)
    if source.format == "jsonl":
        return jsonl.cells(source, columns, refuse)
    return delimited.cells(source, columns, refuse)


def _records(source: Source, refuse: Refuse) -> Iterator[Record]:
    if source.format == "folder":
        return folder.records(source, refuse)
    if source.format == "fasttext":
        return fasttext.records(source, refuse)
    if source.format == "lines":
        return plain.records(source, refuse)
    return table.records(source, cells(source, table.needed(source), refuse), refuse)
