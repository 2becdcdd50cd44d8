"""The activations of scans and their slopes, and the gates of each cell: inlined into the kernel."""

from __future__ import annotations

from typing import Any

from recurra.kernels.cpu.activations import relu, sigmoid, tanh
from recurra.kernels.cpu.compiled import inlined
from recurra.kernels.cpu.scan_layout import (
    LINEAR_SIGMOID,
    MIN_GRU,
    MIN_LSTM,
    QRNN,
    RELU,
    SRU,
    TANH,
    Carried,
    Sums,
)
from recurra.kernels.cpu.simd import broadcast, load_first, select_positive

__all__ = ["activated", "gates", "negated", "slope"]


@inlined
def negated(x: Any) -> Any:
    """``-x``"""
    return broadcast(0.0) - x


@inlined
def activated(activation: int, x: Any) -> Any:
    """The activation of ``x``."""
    if activation == TANH:
        return tanh(x)
    if activation == RELU:
        return relu(x)
    if activation == LINEAR_SIGMOID:  # of the positive part and of the negative one, each 0 or x
        return relu(x) + sigmoid(negated(relu(negated(x))))
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
        below = negated(x)
        return select_positive(below, value * (one - value)) + (one - select_positive(below, one))
    return one


@inlined
def shares(f: Any, i: Any) -> tuple[Any, Any]:
    """minLSTM's gates ``sigmoid(f)`` and ``sigmoid(i)``, whose ratio is that of ``exp`` where both are tiny.

    Far below zero only the difference of ``f`` and ``i`` counts: the larger one is raised to -60, so that
    both are numbers of float32.
    """
    largest = f + relu(i - f)
    raised = relu(broadcast(-60.0) - largest)
    return sigmoid(f + raised), sigmoid(i + raised)


@inlined
def gate_sum(
    cell: int, H: int, sums: Sums, first: Carried, gate: int, at: int, before: int, b: int, B: int, j: int
) -> Any:
    """The sum of a gate; for QRNN with what the step before adds, which starts at ``before``, if any."""
    left = H - j
    total = load_first(sums.own, at + gate * H + j, left)
    if cell == QRNN:
        if before >= 0:
            total = total + load_first(sums.other, before + gate * H + j, left)
        elif first.last.size:
            total = total + load_first(first.last, (gate * B + b) * H + j, left)
    return total


@inlined
def gates(
    cell: int, activation: int, H: int, sums: Sums, first: Carried, at: int, before: int, b: int, B: int,
    j: int, c: Any,
) -> tuple[Any, Any, Any, Any, Any]:  # fmt: skip
    """The gates of a step for a vector of units.

    Args:
        cell: code of the cell; a constant of the kernel.
        activation: code of the activation.
        H: hidden units.
        sums: of all places.
        first: the initial state.
        at: start of the step's own sums.
        before: start of the sums that the step before adds; below zero for the first step.
        b: row of the batch.
        B: rows of the batch.
        j: first unit.
        c: the old state.

    Returns:
        The share of the old state that is kept, the candidate, its sum before the activation, and the two
        further gates: the output gate of gated cells and 1, the forget and the input gate of minLSTM.
    """
    one = broadcast(1.0)
    left = H - j
    if cell == MIN_GRU:
        x = load_first(sums.own, at + H + j, left)
        keep = sigmoid(negated(load_first(sums.own, at + j, left)))
        return keep, activated(activation, x), x, one, one
    if cell == MIN_LSTM:
        x = load_first(sums.own, at + 2 * H + j, left)
        f, i = shares(load_first(sums.own, at + j, left), load_first(sums.own, at + H + j, left))
        return f / (f + i), activated(activation, x), x, f, i
    x = gate_sum(cell, H, sums, first, 0, at, before, b, B, j)
    f = gate_sum(cell, H, sums, first, 1, at, before, b, B, j)
    r = gate_sum(cell, H, sums, first, 2, at, before, b, B, j)
    if cell == SRU:
        f = f + load_first(sums.vector, j, left) * c
        r = r + load_first(sums.vector, H + j, left) * c
        return sigmoid(f), x, x, sigmoid(r), one
    return sigmoid(f), activated(activation, x), x, sigmoid(r), one
