"""How a CSV is written: the delimiter, whether quotes enclose fields, whether there is a header."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from recurra.errors import DataError
from recurra.io.files import Lines
from recurra.io.formats.columns import is_known_name
from recurra.io.formats.delimited import parse

__all__ = ["Dialect", "find_dialect", "has_header", "parse_sample"]

_CANDIDATES = ("\t", ",", ";", "|")
_NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")


@dataclass(frozen=True)
class Dialect:
    """``agreement`` is the share of sample rows with the most frequent number of fields, ``width``."""

    delimiter: str
    quoted: bool
    width: int
    agreement: float


def parse_sample(lines: Sequence[str], complete: bool, delimiter: str, quoted: bool) -> list[list[str]]:
    """The whole rows in the first lines of a file; broken ones and the last, if cut, are left out."""
    return [row for row in _parse(lines, complete, delimiter, quoted) if not isinstance(row, DataError)]


def _parse(lines: Sequence[str], complete: bool, delimiter: str, quoted: bool) -> list[list[str] | DataError]:
    encoded = iter([line.encode("utf-8", "surrogatepass") for line in lines])
    found = list(parse(Lines(encoded, "", "utf-8", True), delimiter, quoted))
    return found if complete or len(found) < 2 else found[:-1]


def find_dialect(
    lines: Sequence[str], complete: bool, preferred: str, delimiter: str | None = None
) -> Dialect:
    """The dialect in which most rows agree on a number of fields above one.

    Args:
        lines: the first lines of the file, ends kept.
        complete: whether that is the whole file.
        preferred: the delimiter that the file's name suggests; it wins a draw.
        delimiter: the only one to consider, where the user gave it.
    """
    order = [delimiter] if delimiter else [preferred, *(c for c in _CANDIDATES if c != preferred)]
    # max keeps the first of equals, so the preferred delimiter wins a draw.
    return max((_try(lines, complete, candidate) for candidate in order), key=_merit)


def _merit(dialect: Dialect) -> float:
    return dialect.agreement if dialect.width > 1 else 0.0


def _try(lines: Sequence[str], complete: bool, delimiter: str) -> Dialect:
    raw = _parse(lines, complete, delimiter, False)
    width, agreement = _widths(raw)
    plain = Dialect(delimiter, False, width, agreement)
    opens = any(field.lstrip(" ").startswith('"') for row in raw if isinstance(row, list) for field in row)
    if not opens:
        # Nothing to tell by. A TSV that never quotes is likely of the GLUE kind, where a quote
        # is a character; a CSV without quotes so far will quote when a field needs it.
        return plain if delimiter == "\t" else Dialect(delimiter, True, width, agreement)
    rows = _parse(lines, complete, delimiter, True)
    width, agreement = _widths(rows)
    quoted = Dialect(delimiter, True, width, agreement)
    if delimiter != "\t":
        return quoted
    return quoted if _merit(quoted) >= _merit(plain) and agreement == 1.0 else plain


def _widths(rows: Sequence[list[str] | DataError]) -> tuple[int, float]:
    """The most frequent number of fields, and the share of rows that have it; broken ones have none."""
    counts = Counter(len(row) for row in rows if not isinstance(row, DataError))
    if not counts:
        return 0, 0.0
    width, count = counts.most_common(1)[0]
    return width, count / len(rows)


def has_header(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row names the columns.

    Example:
        >>> has_header([["text", "label"], ["good", "1"]]), has_header([["so bad", "0"], ["good", "1"]])
        (True, False)
    """
    if not rows:
        return False
    first = [cell.strip().lstrip("\ufeff") for cell in rows[0]]
    rest = [row for row in rows[1:] if len(row) == len(first)]
    if len(set(first)) < len(first) or any(len(cell) > 64 for cell in first):
        return False
    if any(_NUMBER.fullmatch(cell) for cell in first):
        return False
    if any(is_known_name(cell) for cell in first):
        return True
    if len(first) < 2 or not rest or not all(first):
        return False
    for i, name in enumerate(first):
        column = [row[i].strip() for row in rest]
        if name in column:
            return False  # a value, as it comes again
    for i, name in enumerate(first):
        column = [row[i] for row in rest]
        if all(_NUMBER.fullmatch(cell) for cell in column):
            return True  # a word above numbers
        mean = sum(map(len, column)) / len(column)
        if len(name.split()) <= 2 and len(name) <= 24 and mean > 4 * len(name) and mean > 24:
            return True  # a short word above long texts
    return False
