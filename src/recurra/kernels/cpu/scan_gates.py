"""The activations of scans and their slopes, and the gates of each cell."""

from __future__ import annotations

from typing import Any

from recurra.kernels.cpu.activations import relu, sigmoid, tanh
from recurra.kernels.cpu.compiled import inlined
from recurra.kernels.cpu.scan_layout import LINEAR_SIGMOID, RELU, TANH
from recurra.kernels.cpu.simd import broadcast, select_positive

__all__ = ["activated", "slope"]


@inlined
def activated(activation: int, x: Any) -> Any:
    """The activation of ``x``."""
    if activation == TANH:
        return tanh(x)
    if activation == RELU:
        return relu(x)
    if activation == LINEAR_SIGMOID:  # of the positive part and of the negative one, each 0 or x
        above = relu(x)
        return above + sigmoid(x - above)
    return x


@inlined
def slope(activation: int, x: Any, value: Any) -> Any:
    """The derivative of the activation at ``x``, where its value is ``value``."""
    one = broadcast(1.0)
    if activation == TANH:
        return one - value * value
    if activation == RELU:
        return select_positive(x, one)
    if activation == LINEAR_SIGMOID:
        below = broadcast(0.0) - x
        return select_positive(below, value * (one - value)) + (one - select_positive(below, one))
    return one
