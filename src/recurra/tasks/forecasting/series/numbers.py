"""The cells of a column of a series as numbers or as words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recurra.tasks.reporter import Tick

__all__ = ["BLOCK", "Numbers", "blocks_of", "compound", "counts_rows", "numbers_of", "words_of"]

BLOCK = 65_536
"""Rows that are read, converted or encoded at once."""
_MISSING = ["", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "-", "--", "?", "missing"]
_NUMERAL = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_COMMA = r"^[+-]?\d+,\d+$"


@dataclass(frozen=True)
class Numbers:
    """A column as numbers.

    Attributes:
        values: ``(N,)`` float64, NaN if a cell is missing or not a number.
        present: the number of cells that are not missing.
        strange: the positions of those of them that are not numbers, in ascending order.
    """

    values: NDArray[np.float64]
    present: int
    strange: NDArray[np.int64]


def numbers_of(
    column: pa.ChunkedArray, decimal_comma: bool = False, tick: Tick = lambda rows: None
) -> Numbers:
    """Returns the numbers of a column; empty cells, NA, NaN, null, ``-`` and ``?`` are missing.

    Args:
        column: text, numbers or booleans.
        decimal_comma: whether 3,5 is 3.5.
        tick: called with the number of cells that were read.

    Example:
        >>> numbers = numbers_of(pa.chunked_array([["1", " 2.5", "NA", "", "x"]]))
        >>> numbers.values.tolist(), numbers.present, numbers.strange.tolist()
        ([1.0, 2.5, nan, nan, nan], 3, [4])
    """
    parts = [_numbers_of_block(block, decimal_comma) for block in blocks_of(column, tick)]
    values = [part.values for part in parts]
    begins = np.cumsum([0, *map(len, values)])
    strange = [part.strange + begin for part, begin in zip(parts, begins.tolist(), strict=False)]
    present = sum(part.present for part in parts)
    return Numbers(np.concatenate(values), present, np.concatenate(strange))


def blocks_of(column: pa.ChunkedArray, tick: Tick = lambda rows: None) -> Iterator[pa.ChunkedArray]:
    """Yields a column in parts of bounded size, one at least."""
    for first in range(0, max(1, len(column)), BLOCK):
        block = column.slice(first, BLOCK)
        yield block
        tick(len(block))


def _numbers_of_block(column: pa.ChunkedArray, decimal_comma: bool) -> Numbers:
    kind = column.type
    text = kind.value_type if pa.types.is_dictionary(kind) else kind
    if pa.types.is_decimal(kind):
        column, kind = pc.cast(column, pa.float64()), pa.float64()
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        missing, strange = np.asarray(pc.is_null(column, nan_is_null=True)), np.zeros(len(column), bool)
    elif pa.types.is_string(text) or pa.types.is_large_string(text) or pa.types.is_null(text):
        cells = pc.utf8_trim_whitespace(pc.cast(column, pa.string()))
        missing = np.asarray(pc.or_(pc.is_null(cells), pc.is_in(pc.utf8_lower(cells), pa.array(_MISSING))))
        if decimal_comma:
            swapped = pc.replace_substring(cells, ",", ".")
            cells = pc.if_else(pc.match_substring_regex(cells, _COMMA), swapped, cells)
        fits = pc.fill_null(pc.match_substring_regex(cells, _NUMERAL), False)
        column = pc.if_else(fits, cells, pa.scalar(None, pa.string()))
        strange = ~np.asarray(fits) & ~missing
    else:  # a time, a list, bytes
        return Numbers(np.full(len(column), np.nan), len(column), np.arange(len(column)))
    # A copy, since the memory of Arrow is read-only.
    values = np.array(pc.fill_null(pc.cast(column, pa.float64()), np.nan).to_numpy(), np.float64)
    infinite = np.isinf(values)  # such as 1e999
    values[infinite] = np.nan
    return Numbers(values, int((~missing).sum()), np.flatnonzero(strange | infinite))


def compound(column: pa.ChunkedArray) -> str | None:
    """Returns what a column holds if that is neither numbers, words nor times: lists, structs or bytes.

    Example:
        >>> compound(pa.chunked_array([[[1, 2]]])), compound(pa.chunked_array([[1, 2]]))
        ('lists', None)
    """
    kind = column.type
    if pa.types.is_nested(kind):
        return "maps" if pa.types.is_map(kind) else "structs" if pa.types.is_struct(kind) else "lists"
    binary = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
    return "bytes" if binary or pa.types.is_fixed_size_binary(kind) else None


def words_of(column: pa.ChunkedArray) -> NDArray[np.object_]:
    """Returns the words of a category ``(N,)``, None if a cell is missing or `compound`."""
    if compound(column) is not None:
        return np.full(len(column), None, dtype=object)
    known: dict[str | None, str | None] = {}  # a word is one object, however often it occurs
    parts = [np.zeros(0, object)]
    for block in blocks_of(column):
        cells = pc.utf8_trim_whitespace(pc.cast(block, pa.string()))
        missing = pc.is_in(pc.utf8_lower(cells), pa.array(_MISSING))
        words = pc.if_else(missing, pa.scalar(None, pa.string()), cells)
        parts.append(np.array([known.setdefault(word, word) for word in words.to_pylist()], dtype=object))
    return np.concatenate(parts)


def counts_rows(values: NDArray[np.float64]) -> bool:
    """Whether a column numbers the rows: each value is the previous one plus the same step.

    Example:
        >>> counts_rows(np.array([1.0, 2.0, 3.0])), counts_rows(np.array([1.0, 1.0, 1.0]))
        (True, False)
    """
    with np.errstate(over="ignore"):  # a step of 1e308 and more is infinite, and not the same twice
        steps = np.diff(values)
    return len(steps) > 1 and bool(steps[0] != 0) and bool((steps == steps[0]).all())
