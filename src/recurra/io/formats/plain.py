"""Texts alone, one a line: input for prediction."""

from __future__ import annotations

from collections.abc import Iterator

from recurra.io.files import FileLines, Lines
from recurra.io.formats.table import Record, Refuse
from recurra.io.source import Source

__all__ = ["records"]


def records(source: Source, refuse: Refuse, lines: Lines | None = None) -> Iterator[Record]:
    """A record a line; a blank line is an empty text, so that answers stand beside their lines."""
    if lines is None:
        lines = FileLines(source.path, source.gzip, source.encoding, source.skip_bad_rows)
    for line in lines:
        fault = lines.take_fault()
        if fault:
            refuse(lines.row, fault)
        else:
            yield Record(lines.row, line.rstrip("\r\n"), None, None)
        lines.row += 1
