"""Pooling over time and linear outputs, a row at a time: a row gets the same bits in every batch.

The library's sums over time and its products have another order for other numbers of steps and rows.
"""

from __future__ import annotations

from recurra.kernels.cpu.compiled import compiled
from recurra.kernels.cpu.layout import Floats, Integers
from recurra.kernels.cpu.simd import LANES, broadcast, fma, load_first, maximum, store_first, sum_of

__all__ = ["linear", "pool"]


@compiled
def pool(
    states: Floats, lengths: Integers, B: int, T: int, F: int, mean: int, largest: int, ld: int, to: Floats
) -> None:  # fmt: skip
    """Writes the mean and the largest value of each feature over the true steps; zeros for no steps.

    Args:
        states: ``(B, T, F)``.
        lengths: of the rows, from 0 to ``T``.
        B: rows.
        T: steps.
        F: features.
        mean: place of the means in a row of ``to``; -1 if they are not wanted.
        largest: place of the largest values, likewise.
        ld: length of a row of ``to``.
        to: the result.
    """
    zero = broadcast(0.0)
    for b in range(B):
        steps = lengths[b]
        share = broadcast(float(max(steps, 1)))
        for j in range(0, F, LANES):
            left, at = F - j, b * T * F + j
            total = zero
            most = load_first(states, at, left) if steps else zero
            for t in range(steps):
                value = load_first(states, at + t * F, left)
                total = total + value
                most = maximum(most, value)
            if mean >= 0:
                store_first(to, b * ld + mean + j, total / share, left)
            if largest >= 0:
                store_first(to, b * ld + largest + j, most, left)


@compiled
def linear(x: Floats, weight: Floats, bias: Floats, B: int, F: int, C: int, to: Floats) -> None:
    """Writes ``to (B, C) = x (B, F) weight' + bias`` for ``weight (C, F)``."""
    for b in range(B):
        for c in range(C):
            total = broadcast(0.0)
            for k in range(0, F, LANES):
                total = fma(load_first(weight, c * F + k, F - k), load_first(x, b * F + k, F - k), total)
            to[b * C + c] = bias[c] + sum_of(total)
