"""fastText's lines: ``__label__x __label__y the text``."""

from __future__ import annotations

import re
from collections.abc import Iterator

from recurra.io.files import FileLines
from recurra.io.formats.table import Record, Refuse
from recurra.io.source import Source

__all__ = ["PREFIX", "records"]

PREFIX = "__label__"
_LABELS = re.compile(rf"\s*((?:{PREFIX}\S*(?:\s+|$))*)")


def records(source: Source, refuse: Refuse) -> Iterator[Record]:
    """A record a line; blank lines are left out."""
    lines = FileLines(source.path, source.gzip, source.encoding, source.skip_bad_rows)
    for line in lines:
        fault = lines.take_fault()
        if fault:
            refuse(lines.row, fault)
        elif not line.isspace():
            marks = _LABELS.match(line)
            end = marks.end() if marks else 0
            labels = tuple(dict.fromkeys(n for mark in line[:end].split() if (n := mark[len(PREFIX) :])))
            if source.label is not None and not labels:
                refuse(lines.row, f"the line does not begin with {PREFIX}")
            else:
                text = line[end:].rstrip("\r\n")
                yield Record(lines.row, text, labels if source.label is not None else None, None)
        else:
            continue
        lines.row += 1
