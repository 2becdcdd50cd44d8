"""The rows of a file: cells of a table to a text, its labels and its group; rows to chunks."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Any

from recurra.errors import DataError
from recurra.io.files import Lines
from recurra.io.formats.spec import NoLabel, Record, Refuse, Rows, Skipped, Source, format_named

__all__ = ["CHUNK_ROWS", "MISSING", "cells_of", "chunks", "read", "records", "records_of", "refuser"]

CHUNK_ROWS = 1024
_CHUNK_CHARACTERS = 4_000_000
MISSING = object()
"""The cell of a JSON object that lacks the column."""

_LIST_ITEM = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^,\s]+)""")
_SURROGATE = re.compile("[\ud800-\udfff]")


def read(source: Source, skipped: Skipped | None = None, *, keep: bool = False) -> Iterator[Rows]:
    """The rows of a source, chunk by chunk, in constant memory.

    ``skipped`` counts the broken rows that ``source.skip_bad_rows`` leaves out. If ``keep``, rows have their
    cells.

    Raises:
        DataError: a broken row (unless left out), or a file that is cut off or not in its encoding.
    """
    return chunks(records_of(source, refuser(source, skipped), keep=keep))


def records_of(
    source: Source, refuse: Refuse, lines: Lines | None = None, *, keep: bool = False
) -> Iterator[Record]:
    """The rows of a source, from ``lines`` instead of its file if given; if ``keep``, with their cells."""
    format = format_named(source.format)
    if format.records is not None:
        return format.records(source, refuse, lines)
    columns = [*source.text, *(name for name in (source.label, source.group) if name is not None)]
    kept = source.columns if keep else ()
    return records(source, cells_of(source, [*columns, *kept], refuse, lines), refuse, kept)


def cells_of(
    source: Source, columns: Sequence[str], refuse: Refuse, lines: Lines | None = None
) -> Iterator[tuple[int, Sequence[Any]]]:
    """Row numbers and the raw values of ``columns``.

    Raises:
        ValueError: the source's format has no named columns.
    """
    cells = format_named(source.format).cells
    if cells is None:
        raise ValueError(f"files of the format {source.format!r} have no columns")
    return cells(source, columns, refuse, lines)


def refuser(source: Source, skipped: Skipped | None) -> Refuse:
    """A function that raises for a broken row of ``source``, or counts it under ``skip_bad_rows``."""

    def refuse(number: int, what: str | DataError) -> None:
        hint = "fix the row, or pass --skip-bad-rows"
        error = DataError(what, where=source.path, row=number, hint=hint) if isinstance(what, str) else what
        if not source.skip_bad_rows:
            raise error
        if skipped is not None:  # without the hint, which is followed already
            skipped.add(str(DataError(error.what, where=error.where, row=error.row)))

    return refuse


def records(
    source: Source,
    cells: Iterable[tuple[int, Sequence[Any]]],
    refuse: Refuse,
    kept: Sequence[str] = (),
) -> Iterator[Record]:
    """Records from cells: those of the text columns, the label, the group, and the columns to keep."""
    width = len(source.text)
    group_at = width + (source.label is not None)
    kept_from = group_at + (source.group is not None)
    for number, values in cells:
        parts = []
        for column, value in zip(source.text, values, strict=False):
            part = as_text(value)
            if part is None:
                what = "is missing" if value is MISSING else f"is a {type(value).__name__}, not a text"
                refuse(number, f"{column!r} {what}")
                break
            parts.append(part)
        if len(parts) < width:
            continue
        labels = None
        if source.label is not None:
            labels = as_labels(values[width], source.label_separator)
            if labels is None:
                refuse(number, NoLabel(f"there is no label in {source.label!r}"))
                continue
        group = None if source.group is None else as_text(values[group_at]) or ""
        named = dict(zip(kept, values[kept_from:], strict=True)) if kept else None
        yield Record(number, " ".join(parts) if width > 1 else parts[0], labels, group, named)


def chunks(rows: Iterable[Record], flush: Callable[[], bool] | None = None) -> Iterator[Rows]:
    """Records gathered to chunks; a chunk ends early whenever ``flush`` returns True."""
    part: list[Record] = []
    size = 0
    for record in rows:
        part.append(record)
        size += len(record.text)
        if len(part) >= CHUNK_ROWS or size >= _CHUNK_CHARACTERS or (flush is not None and flush()):
            yield _rows(part)
            part, size = [], 0
    if part:
        yield _rows(part)


def _rows(part: list[Record]) -> Rows:
    labels = [r.labels for r in part if r.labels is not None]
    groups = [r.group for r in part if r.group is not None]
    cells = [r.cells for r in part if r.cells is not None]
    numbers, texts = [r.number for r in part], [r.text for r in part]
    return Rows(numbers, texts, labels or None, groups or None, cells or None)


def as_text(value: Any) -> str | None:
    """A cell as text, or None if it is of another type. A null is an empty text."""
    if isinstance(value, str):
        if not value.isascii() and _SURROGATE.search(value):
            # JSON may hold half a surrogate pair, which cannot be encoded.
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return value
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return str(value)
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return None


def as_labels(value: Any, separator: str | None) -> tuple[str, ...] | None:
    """The labels of a cell, or None if it has none or can't be read."""
    if isinstance(value, list | tuple):
        items = [_label(item) for item in value]
        return None if None in items else tuple(dict.fromkeys(i for i in items if i))
    label = _label(value)
    if label is None:
        return None
    if separator is None:
        return (label,) if label else None
    if separator == "json":
        return parse_list(label)
    return tuple(dict.fromkeys(part for piece in label.split(separator) if (part := piece.strip())))


def _label(value: Any) -> str | None:
    """One label as text; "" for an empty cell, None for a value that can't be a label."""
    if isinstance(value, float):
        if value != value:
            return ""
        if value.is_integer():  # many tools write a column of integers with gaps as floats
            return str(int(value))
    if isinstance(value, Decimal):  # databases write 1 as 1.00
        digits = format(value, "f")
        return digits.rstrip("0").removesuffix(".") if "." in digits else digits
    text = as_text(value)
    return None if text is None else text.strip()


@lru_cache(maxsize=4096)
def parse_list(cell: str) -> tuple[str, ...] | None:
    """The labels in ``["a", "b"]``, or in Python's ``['a', 'b']``; None if the cell is not a list.

    Example:
        >>> parse_list('["a", "b"]'), parse_list("['a', 'c d']"), parse_list("a"), parse_list("[]")
        (('a', 'b'), ('a', 'c d'), None, ())
    """
    if not cell:
        return ()
    if not (cell.startswith("[") and cell.endswith("]")):
        return None
    try:
        items = json.loads(cell)
    except (ValueError, RecursionError):
        matches = _LIST_ITEM.findall(cell[1:-1])
        return tuple(dict.fromkeys(a or b or c for a, b, c in matches if a or b or c))
    return as_labels(items, None) if isinstance(items, list) else None
