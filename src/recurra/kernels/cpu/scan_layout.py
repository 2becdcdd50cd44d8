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
    "IDENTITY",
    "LINEAR_SIGMOID",
    "MIN_GRU",
    "NAMES",
    "RELU",
    "TANH",
    "Carried",
    "Scan",
    "Steps",
    "Sums",
]

MIN_GRU = 0
CODES = {"min_gru": MIN_GRU}
"""The cells that the kernel computes."""
IDENTITY, TANH, RELU, LINEAR_SIGMOID = 0, 1, 2, 3
NAMES = ("identity", "tanh", "relu", "linear_sigmoid")
ACTIVATIONS = dict.fromkeys(CODES, NAMES)
"""The activations that it computes of each cell."""


class Scan(NamedTuple):
    """The facts of one layer in one direction."""

    cell: int
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
    """The sums ``W x + b`` of all places, or their gradients."""

    own: Floats
    """Rows of ``ld``: the sums of a step."""
    ld: int


class Carried(NamedTuple):
    """A state ``(B, H)``, or its gradient, that comes from or goes to another call; flat, empty if absent."""

    c: Floats
    """The state of the scan."""
