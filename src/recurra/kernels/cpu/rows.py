"""Rows on their way between the batch's own order and a shard's: gather, scatter, and what masks do to them.

A row's steps follow each other in memory, so a chunk of steps is moved row by row: that is twice as fast as
step by step.
"""

from __future__ import annotations

from recurra.kernels.cpu.compiled import inlined, inner
from recurra.kernels.cpu.layout import LINE, Floats, Input, Layer, Outputs, Rows
from recurra.kernels.cpu.simd import LANES, load, prefetch, store

__all__ = [
    "add",
    "add_masked",
    "add_rows",
    "copy",
    "enter",
    "fetch",
    "gather",
    "load_state",
    "read_states",
    "repeat",
    "scatter",
    "store_state",
    "write_outputs",
    "zero_padding",
]


@inlined
def copy(to: Floats, start: int, given: Floats, first: int, count: int) -> None:
    """``to[start : start + count] = given[first : first + count]``"""
    whole = count - count % LANES
    for j in range(0, whole, LANES):
        store(to, start + j, load(given, first + j))
    for j in range(whole, count):
        to[start + j] = given[first + j]


@inlined
def fetch(given: Floats, start: int, count: int) -> None:
    """Fetches ``count`` numbers into the cache in the background.

    The processor does so by itself only for data that are read in ascending order: reading the tape backwards
    took the gradient of LSTM 13 us a step, and 5 us where it was in the cache.
    """
    for j in range(0, count, LINE):
        prefetch(given, start + j)


@inner
def repeat(to: Floats, ld: int, given: Floats, count: int, columns: int) -> None:
    """``given (columns,)`` in each of ``count`` rows of ``ld``."""
    for r in range(count):
        copy(to, r * ld, given, 0, columns)


@inner
def gather(layer: Layer, rows: Rows, x: Input, begin: int, stop: int, to: Floats, ldx: int) -> None:
    """Copies the masked inputs of a chunk to rows of ``ldx``, each followed by a one."""
    E = layer.E
    for r in range(rows.row.size):
        b = rows.row[r]
        for s in range(begin, min(stop, rows.length[r])):
            place = (rows.start[s] - rows.start[begin] + r) * ldx
            t = rows.length[r] - 1 - s if layer.reverse else s
            base = t * x.dt + b * x.db
            if x.places.size:
                base = x.places[base] * E
            copy(to, place, x.data, base, E)
            if x.mask.size:
                for e in range(E):
                    to[place + e] *= x.mask[b * E + e]
            to[place + E] = 1.0


@inner
def scatter(layer: Layer, rows: Rows, dx: Input, begin: int, stop: int, values: Floats, ldx: int) -> None:
    """Writes the gradients of a chunk's inputs, or adds them if the input is a table's rows."""
    E = layer.E
    for r in range(rows.row.size):
        b = rows.row[r]
        for s in range(begin, min(stop, rows.length[r])):
            place = (rows.start[s] - rows.start[begin] + r) * ldx
            t = rows.length[r] - 1 - s if layer.reverse else s
            base = t * dx.dt + b * dx.db
            if dx.mask.size:
                for e in range(E):
                    values[place + e] *= dx.mask[b * E + e]
            if dx.places.size:
                base = dx.places[base] * E
                for e in range(E):
                    dx.data[base + e] += values[place + e]
            else:
                copy(dx.data, base, values, place, E)


@inner
def write_outputs(layer: Layer, rows: Rows, begin: int, stop: int, states: Floats, outputs: Outputs) -> None:
    """Copies the new states of a chunk to the outputs."""
    for r in range(rows.row.size):
        for s in range(begin, min(stop, rows.length[r])):
            t = rows.length[r] - 1 - s if layer.reverse else s
            out = t * outputs.dt + rows.row[r] * outputs.db + outputs.first
            copy(outputs.data, out, states, (rows.start[s] - rows.start[begin] + r) * layer.ldh, layer.H)


@inner
def read_states(
    layer: Layer,
    rows: Rows,
    begin: int,
    stop: int,
    h0: Floats,
    outputs: Outputs,
    ago: int,
    to: Floats,
    ld: int,
) -> None:
    """Copies a chunk's states, or their gradients, to rows of ``ld``; with ``ago = 1`` the previous ones."""
    H = layer.H
    for r in range(rows.row.size):
        b = rows.row[r]
        for s in range(begin, min(stop, rows.length[r])):
            place = (rows.start[s] - rows.start[begin] + r) * ld
            if s >= ago:
                t = rows.length[r] - 1 - s + ago if layer.reverse else s - ago
                copy(to, place, outputs.data, t * outputs.dt + b * outputs.db + outputs.first, H)
            elif h0.size:
                copy(to, place, h0, b * H, H)
            else:
                to[place : place + H] = 0.0


@inner
def load_state(rows: Rows, given: Floats, to: Floats, H: int, ldh: int) -> None:
    """Copies the shard's rows of ``given (B, H)``, or zeros if it is empty, to rows of ``ldh``."""
    to[: rows.row.size * ldh] = 0.0
    if given.size:
        for r in range(rows.row.size):
            for j in range(H):
                to[r * ldh + j] = given[rows.row[r] * H + j]


@inner
def store_state(rows: Rows, state: Floats, to: Floats, H: int, ldh: int) -> None:
    """Copies rows of ``ldh`` to the shard's rows of ``to (B, H)``."""
    for r in range(rows.row.size):
        for j in range(H):
            to[rows.row[r] * H + j] = state[r * ldh + j]


@inner
def enter(rows: Rows, h: Floats, mask: Floats, entering: Floats, n: int, H: int, ldh: int) -> None:
    """Copies the masked states of ``n`` rows, which enter the next product, if there is a mask."""
    if mask.size == 0:
        return
    for r in range(n):
        b = rows.row[r]
        for j in range(H):
            entering[r * ldh + j] = h[r * ldh + j] * mask[b * H + j]


@inner
def add_masked(
    rows: Rows, product: Floats, mask: Floats, dh: Floats, n: int, H: int, ldh: int, carried: bool
) -> None:
    """``dh = mask * product``, added to ``dh`` if ``carried``."""
    for r in range(n):
        b = rows.row[r]
        for j in range(H):
            value = product[r * ldh + j] * mask[b * H + j]
            dh[r * ldh + j] = dh[r * ldh + j] + value if carried else value


@inner
def add(to: Floats, given: Floats, first: int, count: int) -> None:
    """``to[:count] += given[first : first + count]`` for ``count`` a multiple of a vector."""
    for j in range(0, count, LANES):
        store(to, j, load(to, j) + load(given, first + j))


@inner
def add_rows(to: Floats, start: int, given: Floats, ld: int, count: int, columns: int) -> None:
    """``to[start : start + columns] +=`` the sum of ``count`` rows of ``ld``."""
    for j in range(0, columns, LANES):
        total = load(to, start + j)
        for r in range(count):
            total = total + load(given, r * ld + j)
        store(to, start + j, total)


@inner
def zero_padding(rows: Rows, outputs: Outputs, columns: int) -> None:
    """Writes zeros past each row's length."""
    if outputs.data.size == 0:
        return
    for r in range(rows.row.size):
        for t in range(rows.length[r], outputs.steps):
            out = t * outputs.dt + rows.row[r] * outputs.db + outputs.first
            outputs.data[out : out + columns] = 0.0
