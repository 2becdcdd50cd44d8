"""A shard's way through one layer, forwards: gather, multiply, activate, hand on.

The input's product is made for a chunk of steps at once, the state's step by step; both stay in the cache
until they are used. A row past its length takes no part in a step, so padding is never computed.
"""

from __future__ import annotations

from recurra.kernels.cpu import gru, lstm, simple_rnn
from recurra.kernels.cpu.bf16 import product
from recurra.kernels.cpu.compiled import compiled
from recurra.kernels.cpu.layout import GRU, KEPT, LSTM, PAST_CACHE, Floats, Input, Layer, Outputs, Rows, Work
from recurra.kernels.cpu.products import multiply
from recurra.kernels.cpu.rows import blank, copy, enter, fetch_state, gather, give_state, repeat, show
from recurra.kernels.cpu.simd import flush_denormals, restore_denormals

__all__ = ["forward"]


@compiled
def chunk_end(layer: Layer, rows: Rows, s: int) -> int:
    """The step before which the chunk that begins with step ``s`` ends."""
    stop = s + 1
    while stop < rows.active.size - 1 and rows.start[stop + 1] - rows.start[s] <= layer.chunk:
        stop += 1
    return stop


@compiled
def forward(
    layer: Layer, rows: Rows, x: Input, W: Floats, bias: Floats, U: Floats, d: Floats, mask: Floats,
    h0: Floats, c0: Floats, outputs: Outputs, hn: Floats, cn: Floats, tape: Floats, work: Work, save: bool,
) -> None:  # fmt: skip
    """All steps of a shard.

    Args:
        layer: the layer's facts.
        rows: the shard's rows.
        x: the input.
        W: packed ``(E + 1, gates * H)``, the input's weights and, as the last term, the bias; in pairs
            without.
        bias: the bias where ``W`` is in pairs.
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
        count = rows.start[stop] - first
        if layer.bf16:  # but the bias stays whole
            repeat(G, ldg, bias, count, layer.columns)
            product(G, 0, ldg, work.x, 0, layer.E + 1, count, W, layer.E, layer.columns, False, work.bf16)
        else:
            multiply(G, 0, ldg, work.x, 0, layer.E + 1, count, W, layer.E + 1, layer.columns, True)
        while s < stop:
            n, g, at = rows.active[s], (rows.start[s] - first) * ldg, rows.start[s] * KEPT[cell] * ldh
            if cell == GRU:
                product(work.first, 0, ldg, entering, 0, ldh, n, U, H, layer.columns, True, work.bf16)
                gru.activate(
                    G, g, ldg, work.first, d, h, ldh, tape, at, n, H, layer.use_relu, save, past_cache,
                )  # fmt: skip
            else:
                product(G, g, ldg, entering, 0, ldh, n, U, H, layer.columns, False, work.bf16)
                if cell == LSTM:
                    lstm.activate(G, g, ldg, h, c, ldh, tape, at, n, H, save, past_cache)
                else:
                    simple_rnn.activate(G, g, ldg, h, ldh, n, H, layer.use_relu)
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
