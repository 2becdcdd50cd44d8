"""The distinct tokens of a batch, whose products a kernel computes once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from recurra.kernels.cpu.compiled import compiled
from recurra.kernels.cpu.layout import Integers

__all__ = ["Distinct", "distinct_tokens"]


class Distinct(NamedTuple):
    """The distinct tokens of a batch, in the order in which they appear, row by row."""

    rows: Integers
    """``(n,)`` their rows of the table."""
    numbers: Integers
    """``(B, T)`` flat, the number of the token at each place; -1 past a row's length."""


def distinct_tokens(
    places: Integers, dt: int, db: int, lengths: Integers, T: int, table_rows: int
) -> Distinct:
    """Numbers the distinct tokens of a batch.

    Args:
        places: rows of the table; that of step ``t`` in row ``b`` is at ``t * dt + b * db``.
        dt: distance of two steps.
        db: distance of two rows.
        lengths: ``(B,)`` steps of each row.
        T: steps.
        table_rows: number of rows of the table.
    """
    numbers = np.full(len(lengths) * T, -1)
    rows = np.empty(min(len(numbers), table_rows), np.int64)
    count = _number(places, dt, db, lengths, T, np.full(table_rows, -1), rows, numbers)
    return Distinct(rows[:count], numbers)


@compiled
def _number(
    places: Integers, dt: int, db: int, lengths: Integers, T: int, number_of: Integers, rows: Integers,
    numbers: Integers,
) -> int:  # fmt: skip
    count = 0
    for b in range(lengths.size):
        for t in range(lengths[b]):
            place = places[t * dt + b * db]
            number = number_of[place]
            if number < 0:
                number = count
                number_of[place] = number
                rows[number] = place
                count += 1
            numbers[b * T + t] = number
    return count
