"""Pooling over time and linear outputs, a row at a time: a row gets the same bits in every batch.

The library's sums over time and its products have another order for other numbers of steps and rows.
"""

from __future__ import annotations

from recurra.kernels.cpu.atomic import floats_at, integers_at
from recurra.kernels.cpu.compiled import inner
from recurra.kernels.cpu.simd import LANES, broadcast, fma, load_first, maximum, store_first, sum_of

__all__ = ["linear", "pool"]


@inner
def pool(
    states_at: int, lengths_at: int, B: int, T: int, F: int, mean: int, largest: int, ld: int, to_at: int
) -> None:  # fmt: skip
    """Writes the mean and the largest value of each feature over the true steps; zeros for no steps.

    Args:
        states_at: address of ``(B, T, F)``.
        lengths_at: address of the lengths of the rows, from 0 to ``T``.
        B: rows.
        T: steps.
        F: features.
        mean: place of the means in a row of ``to``; -1 if they are not wanted.
        largest: place of the largest values, likewise.
        ld: length of a row of ``to``.
        to_at: address of the result.
    """
    states, lengths = floats_at(states_at, B * T * F), integers_at(lengths_at, B)
    to = floats_at(to_at, B * ld)
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


@inner
def linear(x_at: int, weight_at: int, bias_at: int, B: int, F: int, C: int, to_at: int) -> None:
    """Writes ``to (B, C) = x (B, F) weight' + bias`` for ``weight (C, F)``, which are given by address."""
    x, weight, bias = floats_at(x_at, B * F), floats_at(weight_at, C * F), floats_at(bias_at, C)
    to = floats_at(to_at, B * C)
    for b in range(B):
        for c in range(C):
            total = broadcast(0.0)
            for k in range(0, F, LANES):
                total = fma(load_first(weight, c * F + k, F - k), load_first(x, b * F + k, F - k), total)
            to[b * C + c] = bias[c] + sum_of(total)
