"""A shard's way through one layer, forwards: gather, multiply, activate, hand on.

The input's product is made for a chunk of steps at once, the state's step by step; both stay in the cache
until they are used. A row past its length takes no part in a step, so padding is never computed.
"""

from __future__ import annotations

from recurra.kernels.cpu import gru, lstm, simple_rnn
from recurra.kernels.cpu.compiled import compiled, inlined
from recurra.kernels.cpu.layout import GRU, KEPT, LSTM, PAST_CACHE, Floats, Input, Layer, Outputs, Rows, Work
from recurra.kernels.cpu.products import multiply
from recurra.kernels.cpu.simd import LANES, flush_denormals, load, restore_denormals, store

__all__ = ["copy", "enter", "fetch_state", "forward", "gather", "give_state"]


@compiled
def forward(
    layer: Layer, rows: Rows, x: Input, W: Floats, U: Floats, d: Floats, mask: Floats, h0: Floats,
    c0: Floats, outputs: Outputs, hn: Floats, cn: Floats, tape: Floats, work: Work, save: bool,
) -> None:  # fmt: skip
    """All steps of a shard.

    Args:
        layer: the layer's facts.
        rows: the shard's rows.
        x: the input.
        W: packed ``(E + 1, gates * H)``, the input's weights and, as the last term, the bias.
        U: packed ``(H, gates * H)``, the state's weights.
        d: GRU's bias of the state's product for n, of whole vectors; else empty.
        mask: ``(B, H)`` on the state that enters the product; or empty.
        h0: ``(B, H)`` initial states; empty for zeros.
        c0: LSTM's initial cells; empty for zeros.
        outputs: where all states go.
        hn: ``(B, H)`` where the last states go.
        cn: where LSTM's last cells go.
        tape: what the gradient will need besides the outputs, written if ``save``.
        work: scratch.
        save: whether a gradient will be asked for.
    """
    mode = flush_denormals()
    cell, H, ldg, ldh = layer.cell, layer.H, layer.ldg, layer.ldh
    steps = rows.active.size - 1
    h, c, G = work.h, work.c, work.second
    entering = work.entering if mask.size else h
    past_cache = tape.size > PAST_CACHE
    fetch_state(rows, h0, h, H, ldh)
    if cell == LSTM:
        fetch_state(rows, c0, c, H, ldh)
    enter(rows, h, mask, entering, rows.row.size, H, ldh)
    s = 0
    while s < steps:
        stop = chunk_end(layer, rows, s)
        begin, first = s, rows.start[s]
        gather(layer, rows, x, s, stop, work.x, layer.E + 1)
        multiply(
            G, 0, ldg, work.x, 0, layer.E + 1, rows.start[stop] - first, W, layer.E + 1, layer.columns,
            True,
        )  # fmt: skip
        while s < stop:
            n, g, at = rows.active[s], (rows.start[s] - first) * ldg, rows.start[s] * KEPT[cell] * ldh
            if cell == GRU:
                multiply(work.first, 0, ldg, entering, 0, ldh, n, U, H, layer.columns, True)
                gru.activate(
                    G, g, ldg, work.first, d, h, ldh, tape, at, n, H, layer.rectified, save, past_cache,
                )  # fmt: skip
            else:
                multiply(G, g, ldg, entering, 0, ldh, n, U, H, layer.columns, False)
                if cell == LSTM:
                    lstm.activate(G, g, ldg, h, c, ldh, tape, at, n, H, save, past_cache)
                else:
                    simple_rnn.activate(G, g, ldg, h, ldh, n, H, layer.rectified)
            enter(rows, h, mask, entering, n, H, ldh)
            if outputs.data.size:
                copy(work.states, (rows.start[s] - first) * ldh, h, 0, n * ldh)
            s += 1
        if outputs.data.size:
            show(layer, rows, begin, stop, work.states, outputs)
    give_state(rows, h, hn, H, ldh)
    if cell == LSTM:
        give_state(rows, c, cn, H, ldh)
    blank(rows, outputs, H)
    restore_denormals(mode)


@inlined
def copy(to: Floats, start: int, given: Floats, first: int, count: int) -> None:
    """``to[start : start + count] = given[first : first + count]``"""
    whole = count - count % LANES
    for j in range(0, whole, LANES):
        store(to, start + j, load(given, first + j))
    for j in range(whole, count):
        to[start + j] = given[first + j]


@compiled
def chunk_end(layer: Layer, rows: Rows, s: int) -> int:
    """The step before which the chunk that begins with step ``s`` ends."""
    stop = s + 1
    while stop < rows.active.size - 1 and rows.start[stop + 1] - rows.start[s] <= layer.chunk:
        stop += 1
    return stop


@compiled
def gather(layer: Layer, rows: Rows, x: Input, begin: int, stop: int, to: Floats, ldx: int) -> None:
    """The masked inputs of a chunk, each followed by a one, to rows of ``ldx``.

    Row by row, because a row's steps follow each other in memory: that is twice as fast as step by step.
    """
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


@compiled
def enter(rows: Rows, h: Floats, mask: Floats, entering: Floats, n: int, H: int, ldh: int) -> None:
    """The masked copy of ``n`` rows' states that enters the next product, where there is a mask."""
    if mask.size == 0:
        return
    for r in range(n):
        b = rows.row[r]
        for j in range(H):
            entering[r * ldh + j] = h[r * ldh + j] * mask[b * H + j]


@compiled
def show(layer: Layer, rows: Rows, begin: int, stop: int, states: Floats, outputs: Outputs) -> None:
    """The new states of a chunk to their places among the outputs, row by row."""
    for r in range(rows.row.size):
        for s in range(begin, min(stop, rows.length[r])):
            t = rows.length[r] - 1 - s if layer.reverse else s
            out = t * outputs.dt + rows.row[r] * outputs.db + outputs.first
            copy(outputs.data, out, states, (rows.start[s] - rows.start[begin] + r) * layer.ldh, layer.H)


@compiled
def blank(rows: Rows, outputs: Outputs, H: int) -> None:
    """Zeros past each row's length."""
    if outputs.data.size == 0:
        return
    for r in range(rows.row.size):
        for t in range(rows.length[r], outputs.steps):
            out = t * outputs.dt + rows.row[r] * outputs.db + outputs.first
            outputs.data[out : out + H] = 0.0


@compiled
def fetch_state(rows: Rows, given: Floats, to: Floats, H: int, ldh: int) -> None:
    """The rows' own part of ``given (B, H)``, or zeros where it is empty, to rows of ``ldh``."""
    to[: rows.row.size * ldh] = 0.0
    if given.size:
        for r in range(rows.row.size):
            for j in range(H):
                to[r * ldh + j] = given[rows.row[r] * H + j]


@compiled
def give_state(rows: Rows, state: Floats, to: Floats, H: int, ldh: int) -> None:
    """Rows of ``ldh`` to their places in ``to (B, H)``."""
    for r in range(rows.row.size):
        for j in range(H):
            to[rows.row[r] * H + j] = state[r * ldh + j]
