"""The memory layout of a shard of the batch in one layer and direction.

A shard's rows are sorted by length, longest first, so that the rows that are active at a step are its first
``active[step]``. Steps are counted in reading order: from a row's last token backwards if reversed. The tape,
which holds what the gradient needs, has a row for each step of each row and none for padding: step ``s``
begins at row ``start[s]``. All arrays are flat; ``ldg`` and ``ldh`` are the lengths of a row of gates and of
a row of states. The states themselves are not on the tape: they are the layer's output.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recurra.kernels.cpu.host import host

__all__ = ["GRU", "LSTM", "SIMPLE_RNN", "Floats", "Input", "Integers", "Layer", "Outputs", "Rows", "Work"]

Floats: TypeAlias = NDArray[np.float32]
Integers: TypeAlias = NDArray[np.int64]

SIMPLE_RNN, LSTM, GRU = 0, 1, 2
CODES = {"simple_rnn": SIMPLE_RNN, "lstm": LSTM, "gru": GRU}
"""The cells that have a kernel."""
ACTIVATIONS = {"simple_rnn": ("tanh", "relu"), "lstm": ("tanh",), "gru": ("tanh", "relu")}
"""The activations that each kernel computes."""
GATES = (1, 4, 3)
KEPT = (0, 5, 4)
"""Rows of ``H`` on the tape for a step: LSTM i, f, g, o and the previous cell, GRU r, z, n and q."""
PAST_CACHE = 262_144
"""Numbers in a tape that is too large for the cache: 1 MiB."""
LINE = 16
"""Numbers in a cache line."""


def padded(columns: int) -> int:
    """``columns`` rounded up to whole vectors."""
    return -(-columns // host().lanes) * host().lanes


def row_length(columns: int) -> int:
    """``columns`` rounded up to an odd number of cache lines.

    Rows at distances of a power of two share few sets of the cache: with rows of 2,048 numbers the gradient
    of the weights ran at half the speed.
    """
    lines = -(-columns // LINE)
    return (lines + 1 - lines % 2) * LINE


class Layer(NamedTuple):
    """The facts of one layer in one direction."""

    cell: int
    use_relu: bool
    """Whether the activation is relu, else tanh."""
    reverse: bool
    E: int
    H: int
    columns: int
    """Gates times ``H``."""
    ldg: int
    ldh: int
    chunk: int
    """Rows of gates that are computed at once, of as many steps as needed."""
    bf16: bool
    """Whether products are of bfloat16."""
    distinct: bool
    """Whether the input's products are computed outside the steps, for each distinct token."""


@cache
def layer(
    cell: int, use_relu: bool, reverse: bool, E: int, H: int, rows: int, bf16: bool = False,
    distinct: bool = False,
) -> Layer:  # fmt: skip
    """The layer's facts for shards of at most ``rows`` rows."""
    columns = GATES[cell] * H
    ldg = row_length(columns)
    # half a megabyte of gates stays in the second cache; more than 256 rows gain nothing
    chunk = max(rows, min(256, 131_072 // ldg))
    return Layer(cell, use_relu, reverse, E, H, columns, ldg, row_length(H), chunk, bf16, distinct)


class Rows(NamedTuple):
    """The rows of a shard, longest first."""

    row: Integers
    """``(n,)`` the row of the batch."""
    length: Integers
    """``(n,)`` its number of steps."""
    active: Integers
    """``(S + 1,)`` number of active rows at each of ``S`` steps, and 0."""
    start: Integers
    """``(S + 1,)`` the first row of each step among those of all steps, and the end of the last one."""


def rows_of(row: Integers, length: Integers) -> Rows:
    """The rows ``row`` of the batch, already sorted, with their lengths."""
    S = int(length[0]) if len(length) else 0
    ending = np.bincount(length, minlength=S + 1)
    active = np.zeros(S + 1, np.int64)
    active[:S] = len(row) - np.cumsum(ending)[:S]
    start = np.zeros(S + 1, np.int64)
    np.cumsum(active[:S], out=start[1:])
    return Rows(row, length, active, start)


class Input(NamedTuple):
    """The input of a layer: step ``t`` of row ``b`` is the ``E`` numbers from ``t * dt + b * db``.

    If ``places`` is not empty, its number there is the index of a row of ``E`` numbers in the data.
    """

    data: Floats
    places: Integers
    dt: int
    db: int
    mask: Floats
    """``(B, E)`` or empty."""


class Outputs(NamedTuple):
    """All states, or their gradient: step ``t`` of row ``b`` is at ``t * dt + b * db + first``."""

    data: Floats
    """Empty if not needed."""
    dt: int
    db: int
    first: int
    steps: int
    """``T``; steps past a row's length are zero."""


class Work(NamedTuple):
    """Scratch memory of a shard, forwards or backwards."""

    h: Floats
    c: Floats
    entering: Floats
    """The masked state that enters a product; backwards, the states that entered a chunk's products."""
    x: Floats
    """A chunk of inputs, each followed by a one that multiplies the bias."""
    first: Floats
    """Forwards: GRU's products of a step. Backwards: a chunk of gradients of the sums."""
    second: Floats
    """Forwards: a chunk of the input's sums. Backwards: GRU's gradients of the products."""
    states: Floats
    """A chunk of new states; backwards, of their gradients."""
    masked: Floats
    """Backwards: a step's gradient of the masked state."""
    bf16: Floats
    """The factor of a product in pairs of bfloat16; empty where products are of float32."""


def tape_size(cell: int, H: int, steps: int) -> int:
    """Size of a tape of ``steps`` rows; the sizes may be symbolic."""
    return steps * KEPT[cell] * row_length(H)


@cache
def work_sizes(layer: Layer, rows: int, *, masked: bool, backward: bool) -> tuple[int, ...]:
    """Size of each part of a shard's scratch memory; a vector may be read past the last number."""
    slack = host().lanes
    states = rows * layer.ldh + slack
    cells = states if layer.cell == LSTM else 0
    gates = layer.chunk * layer.ldg + slack
    new_states = layer.chunk * layer.ldh + slack
    if backward:
        x = layer.chunk * row_length(layer.E + 1) + slack
        second = gates if layer.cell == GRU else 0
        bf16 = 0
        if layer.bf16:
            pairs = -(-layer.chunk // 32) * 16
            wider = max(row_length(layer.E + 1), layer.ldh)
            bf16 = max(layer.chunk * -(-layer.columns // 32) * 16, pairs * (layer.ldg + 2 * wider))
        return states, cells, new_states, x, gates, second, new_states, states if masked else 0, bf16
    x = layer.chunk * (layer.E + 1) + slack
    product = rows * layer.ldg + slack if layer.cell == GRU else 0
    bf16 = max(layer.chunk * -(-layer.E // 32), rows * -(-layer.H // 32)) * 16 if layer.bf16 else 0
    return states, cells, states if masked else 0, x, product, gates, new_states, 0, bf16


def cut(buffer: Floats, sizes: tuple[int, ...]) -> list[Floats]:
    """Divides a buffer into pieces, each aligned to a cache line."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(buffer[at : at + size])
        at += -(-size // LINE) * LINE
    return pieces


def total(sizes: tuple[int, ...]) -> int:
    """Size of a buffer that ``cut`` can divide into ``sizes``."""
    return sum(-(-size // LINE) * LINE for size in sizes)


_NOTHING: dict[Any, Any] = {kind: np.empty(0, kind) for kind in (np.float32, np.int64)}


def nothing(kind: Any = np.float32) -> Any:
    """An empty array, in place of one that is absent."""
    return _NOTHING[kind]
