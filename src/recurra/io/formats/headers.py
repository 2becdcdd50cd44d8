"""The first row of a table: whether it names the columns, and the names of columns that it does not name."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from recurra.io.formats.columns import is_known_name
from recurra.io.formats.spec import Request

__all__ = ["find_columns", "fitted", "has_header", "least_width", "name_columns"]

_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_LONGEST_NAME = 64


def find_columns(
    rows: Sequence[Sequence[str]], width: int, request: Request
) -> tuple[bool, tuple[str, ...], tuple[str, ...]]:
    """Returns whether the first row names the columns, the ``width`` columns, and notes about them."""
    names, notes = name_columns(rows[0])
    header = request.header
    if header is None:
        like = request.like
        text = like.text if like is not None and like.header else request.text
        wanted = {name for name in text if not name.isdigit()}
        header = (bool(wanted) and wanted <= set(names)) or has_header(rows)
    return (True, names, notes) if header else (False, tuple(str(i) for i in range(width)), ())


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns.

    Example:
        >>> has_header([["text", "label"], ["good", "1"]]), has_header([["so bad", "0"], ["good", "1"]])
        (True, False)
    """
    if not rows:
        return False
    first = [cell.strip().lstrip("\ufeff") for cell in rows[0]]
    names = [cell for cell in first if cell]
    width = len(first)
    rest = [row for row in (fitted(list(row), width, width) for row in rows[1:]) if len(row) == width]
    if not names or any(len(cell) > _LONGEST_NAME or _NUMBER.fullmatch(cell) for cell in names):
        return False
    known = any(is_known_name(cell) for cell in first)
    distinct = len(set(first)) == width
    if known and distinct:
        return True
    if width < 2 or not rest:
        return False
    columns = [[cell.strip() for cell in column] for column in zip(*rest, strict=True)]
    pairs = [(name, column) for name, column in zip(first, columns, strict=True) if name]
    if any(name in column for name, column in pairs):
        return False  # a value, since it occurs again
    if not distinct or len(names) < width:
        unnamed = (column for name, column in zip(first, columns, strict=True) if not name)
        if known:
            return True
        if len(set(names)) < 2 or not all(name.isidentifier() for name in names):
            return False
        if not all(_is_blank(column) or _counts(column) for column in unnamed):
            return False
        return any(_is_above(name, column) or _is_above_classes(column) for name, column in pairs)
    return any(_is_above(name, column) for name, column in pairs)


def _is_above(name: str, column: Sequence[str]) -> bool:
    """Whether a cell is a word above numbers, or a short word above long texts."""
    if all(_NUMBER.fullmatch(cell) for cell in column):
        return True
    mean = sum(map(len, column)) / len(column)
    return len(name.split()) <= 2 and len(name) <= 24 and mean > 4 * len(name) and mean > 24


def _is_above_classes(column: Sequence[str]) -> bool:
    """Whether a column has few values, each of them several times; its first cell is none of them."""
    counts = Counter(column)
    return len(column) >= 20 and 10 * len(counts) <= len(column) and min(counts.values()) > 1


def _is_blank(column: Sequence[str]) -> bool:
    return sum(map(bool, column)) <= 0.2 * len(column)


def _counts(column: Sequence[str]) -> bool:
    """Whether the cells are the row numbers that data frames write as a column without a name."""
    return column[:1] in (["0"], ["1"]) and column == [str(i + int(column[0])) for i in range(len(column))]


def fitted(fields: list[str], width: int, least: int) -> list[str]:
    """Returns ``fields`` with ``width`` of them, if those beyond are blank, or there are ``least`` at least.

    A separator at the end of a row adds a blank field.

    Example:
        >>> fitted(["a", "b", " "], 2, 2), fitted(["a", "b"], 3, 2), fitted(["a", "b", "c"], 2, 2)
        (['a', 'b'], ['a', 'b', ''], ['a', 'b', 'c'])
    """
    if len(fields) > width > 1 and not any(field.strip() for field in fields[width:]):
        return fields[:width]
    if least <= len(fields) < width:
        return fields + [""] * (width - len(fields))
    return fields


def name_columns(first: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns a name for each column of a header, and notes about columns that it does not name uniquely.

    A column whose name is empty or repeated is called by its number, from 0, as in a file without header.

    Example:
        >>> name_columns(["", "text", "note", "note"])[0]
        ('0', 'text', '2', '3')
        >>> name_columns(["text", "note", "note"])[1]
        ("the header names 'note' 2 times: these columns are called 1, 2",)
    """
    given = [cell.strip().lstrip("\ufeff") for cell in first]
    counts = Counter(given)
    own = {name for name in counts if name and counts[name] == 1}
    names: list[str] = []
    called: dict[str, list[str]] = {}
    for number, name in enumerate(given):
        if name not in own:
            instead = str(number)
            while instead in own:
                instead += "_"
            called.setdefault(name, []).append(instead)
            name = instead
        names.append(name)
    notes = [
        f"the header names {name!r} {len(numbers)} times: these columns are called {', '.join(numbers)}"
        for name, numbers in called.items()
        if name
    ]
    if unnamed := called.get(""):
        one = len(unnamed) == 1
        has = "1 column has no name and is" if one else f"{len(unnamed)} columns have no name and are"
        notes.append(f"{has} called {', '.join(unnamed)}")
    return tuple(names), tuple(notes)


def least_width(columns: Sequence[str]) -> int:
    """Returns the number of fields that a row must have: columns without a name at the end may be absent.

    Example:
        >>> least_width(("text", "label", "2")), least_width(("0", "1"))
        (2, 2)
    """
    least = len(columns)
    while least and columns[least - 1] == str(least - 1):
        least -= 1
    return least or len(columns)
