"""The cells whose state is a scan ``c' = n + a (c - n)``, and the arrays that their kernel reads and writes.

No product is inside the recurrence: the sums of all steps come from products of the whole input. A step of a
row is at its place among the rows of sums; steps of the same token may share a place.
"""

from __future__ import annotations

from typing import NamedTuple

from recurra.kernels.cpu.layout import Floats, Integers

__all__ = [
    "ACTIVATIONS",
    "CODES",
    "GATED",
    "IDENTITY",
    "LINEAR_SIGMOID",
    "MIN_GRU",
    "MIN_LSTM",
    "NAMES",
    "QRNN",
    "RELU",
    "SRU",
    "TANH",
    "VECTORS",
    "Carried",
    "Scan",
    "Steps",
    "Sums",
]

MIN_GRU, MIN_LSTM, SRU, QRNN1, QRNN = range(5)
CODES = {"min_gru": MIN_GRU, "min_lstm": MIN_LSTM, "sru": SRU, "qrnn1": QRNN1, "qrnn": QRNN}
"""The cells that the kernel computes."""
GATED = SRU
"""From this one on, the output is not the state of the scan, but goes through a gate."""
VECTORS = {"sru": "weight_c"}
"""The parameter that multiplies the state of its own unit, of the cells that have one."""
IDENTITY, TANH, RELU, LINEAR_SIGMOID = range(4)
NAMES = ("identity", "tanh", "relu", "linear_sigmoid")
ACTIVATIONS = dict.fromkeys(CODES, NAMES)
"""The activations that it computes of each cell."""


class Scan(NamedTuple):
    """The facts of one layer in one direction."""

    activation: int
    reverse: bool
    H: int
    shared: bool
    """Whether steps may share a place: their gradients are added up there."""


class Steps(NamedTuple):
    """The steps of a shard of the batch."""

    rows: Integers
    """The rows of the batch that belong to the shard."""
    lengths: Integers
    """``(B,)`` the steps of each row of the batch."""
    places: Integers
    """``(B, T)`` the place of each step; below zero at padding that has none."""
    T: int


class Sums(NamedTuple):
    """What the steps read, of all places, or its gradient."""

    own: Floats
    """Rows of ``own_ld``: the sums ``W x + b`` of a step, ``H`` for each gate."""
    own_ld: int
    other: Floats
    """Rows of ``other_ld``: the highway of SRU, or QRNN's sums for the step after; else empty."""
    other_ld: int
    vector: Floats
    """Weights of the state, ``H`` for each of SRU's two gates; else empty."""


class Carried(NamedTuple):
    """A state, or its gradient, that comes from or goes to another call; flat, empty if absent."""

    h: Floats
    """``(B, H)`` the output, where it is not ``c``."""
    c: Floats
    """``(B, H)`` the state of the scan."""
    last: Floats
    """``(3, B, H)`` QRNN's sums for the next step."""
