"""Sigmoid and tanh of a vector, to about 1e-7, from one exponential."""

from __future__ import annotations

from typing import Any

from recurra.kernels.cpu.compiled import inlined
from recurra.kernels.cpu.simd import broadcast, clamp, fma, power_of_two, reciprocal, select_positive

__all__ = ["exp2", "relu", "sigmoid", "tanh"]

LOG2_E = 1.4426950408889634
# 1.5 * 2**23 makes the float's last bit a one, 127 is the exponent of 2**0
SHIFT = 12582912.0 + 127.0


@inlined
def exp2(y: Any) -> Any:
    """``2**y`` to a relative error of 1e-7, for ``y`` cut to -126...126.

    ``2**y = 2**n 2**f`` with ``n`` the nearest integer; the polynomial is the minimax one of degree 5 for
    ``2**f`` on -0.5...0.5 (relative error 7.5e-8).
    """
    y = clamp(y, broadcast(-126.0), broadcast(126.0))
    shifted = y + broadcast(SHIFT)
    f = y - (shifted - broadcast(SHIFT))
    p = fma(f, broadcast(0.0013276472632), broadcast(0.00967554134312))
    p = fma(p, f, broadcast(0.0555071327186))
    p = fma(p, f, broadcast(0.240221197237))
    p = fma(p, f, broadcast(0.693146967065))
    p = fma(p, f, broadcast(1.00000007165))
    return p * power_of_two(shifted)


@inlined
def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``"""
    return reciprocal(broadcast(1.0) + exp2(x * broadcast(-LOG2_E)))


@inlined
def tanh(x: Any) -> Any:
    """``2 / (1 + exp(-2 x)) - 1``"""
    r = reciprocal(broadcast(1.0) + exp2(x * broadcast(-2.0 * LOG2_E)))
    return fma(broadcast(2.0), r, broadcast(-1.0))


@inlined
def relu(x: Any) -> Any:
    """``x`` where it is above zero or NaN, else 0."""
    return select_positive(x, x)
