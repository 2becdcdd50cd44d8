"""Cells to numbers: which are numbers, which are missing, which are text where a number should stand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = ["SENTINELS", "Numbers", "counts_rows", "far_outside", "numbers_of", "sentinels_of", "words_of"]

_MISSING = ["", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "?", "missing"]
_NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_COMMA = r"^[+-]?\d+,\d+$"

SENTINELS = tuple(sign * size for size in (999.0, 999.9, 9999.0, 9999.9, 99999.0) for sign in (-1, 1))
"""Numbers that instruments write for a value they do not have."""


@dataclass(frozen=True)
class Numbers:
    """A column as numbers.

    Attributes:
        values: ``(N,)`` float64, NaN where a cell is missing or no number.
        present: how many cells hold something.
        strange: how many of these hold no number.
        first: the position of the first such cell, None without.
    """

    values: NDArray[np.float64]
    present: int
    strange: int = 0
    first: int | None = None


def numbers_of(column: pa.ChunkedArray, decimal_comma: bool = False) -> Numbers:
    """A column's numbers; empty cells, NA, NaN, null, ``-`` and ``?`` are missing ones.

    Args:
        column: text, numbers or truth values.
        decimal_comma: read 3,5 as 3.5.

    Example:
        >>> found = numbers_of(pa.chunked_array([["1", " 2.5", "NA", "", "x"]]))
        >>> found.values.tolist(), found.present, found.strange, found.first
        ([1.0, 2.5, nan, nan, nan], 3, 1, 4)
    """
    kind = column.type
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        values = _floats(pc.cast(column, pa.float64()))
        infinite = np.isinf(values)
        values[infinite] = np.nan
        bad = np.flatnonzero(infinite)
        return Numbers(values, int(np.isfinite(values).sum()) + len(bad), len(bad), _first(bad))
    if not _is_text(kind):  # a time, a list, bytes
        return Numbers(np.full(len(column), np.nan), len(column), len(column), 0 if len(column) else None)
    cells = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
    missing = pc.fill_null(pc.is_in(pc.utf8_lower(cells), pa.array(_MISSING)), True)
    missing = pc.or_(missing, pc.is_null(cells))
    if decimal_comma:
        swapped = pc.replace_substring(cells, ",", ".")
        cells = pc.if_else(pc.match_substring_regex(cells, _COMMA), swapped, cells)
    fits = pc.fill_null(pc.match_substring_regex(cells, _NUMBER), False)
    values = _floats(pc.cast(pc.if_else(fits, cells, pa.scalar(None, pa.string())), pa.float64()))
    infinite = np.isinf(values)  # 1e999
    values[infinite] = np.nan
    gone = np.asarray(missing)
    bad = np.flatnonzero((~np.asarray(fits) & ~gone) | infinite)
    return Numbers(values, int((~gone).sum()), len(bad), _first(bad))


def words_of(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """``(N,)`` the words of a category, None where a cell is missing."""
    cells = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
    missing = pc.is_in(pc.utf8_lower(cells), pa.array(_MISSING))
    found = pc.if_else(missing, pa.scalar(None, pa.string()), cells)
    return np.array(found.to_pylist(), dtype=object)


def sentinels_of(values: NDArray[np.float64]) -> tuple[list[float], float, float]:
    """Which of `SENTINELS` stand for missing in ``values``, and the range of the other values.

    One does if it lies further outside the others' range than three times that range is wide: so 999 is a
    pressure in hPa, and -9999 is no wind speed.

    Example:
        >>> sentinels_of(np.array([1.0, 3.0, -9999.0, 2.0]))
        ([-9999.0], 1.0, 3.0)
        >>> sentinels_of(np.array([990.0, 999.0, 1020.0]))[0]
        []
    """
    known = values[np.isfinite(values)]
    suspects = np.isin(known, SENTINELS)
    others = known[~suspects]
    if not len(others):
        low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 0.0)
        return [], low, high
    low, high = float(others.min()), float(others.max())
    found = [float(one) for one in np.unique(known[suspects]) if far_outside(float(one), low, high)]
    kept = known[~np.isin(known, found)]
    return found, float(kept.min()), float(kept.max())


def far_outside(value: float, low: float, high: float) -> bool:
    """Whether ``value`` lies further outside a range than three times that range is wide."""
    reach = 3 * (high - low)
    return value < low - reach or value > high + reach


def counts_rows(values: NDArray[np.float64]) -> bool:
    """Whether a column only numbers the rows: each value is the one before and the same step more.

    Example:
        >>> counts_rows(np.array([1.0, 2.0, 3.0])), counts_rows(np.array([1.0, 1.0, 1.0]))
        (True, False)
    """
    steps = np.diff(values)
    return len(steps) > 1 and bool(steps[0] != 0) and bool((steps == steps[0]).all())


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_null(kind))


def _floats(column: pa.ChunkedArray) -> NDArray[np.float64]:
    # A copy: Arrow's own memory can't be written.
    return np.array(pc.fill_null(column, np.nan).to_numpy(), np.float64)


def _first(places: NDArray[np.intp]) -> int | None:
    return int(places[0]) if len(places) else None
