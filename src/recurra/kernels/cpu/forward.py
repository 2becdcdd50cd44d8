"""The forward pass of a shard through one layer.

The input's product is computed for a chunk of steps at once, the state's for each step; both are still in the
cache when they are used. Rows are left out of the steps past their length, so padding is never computed.
"""

from __future__ import annotations

from recurra.kernels.cpu import gru, lstm, simple_rnn
from recurra.kernels.cpu.bf16 import product
from recurra.kernels.cpu.compiled import compiled, inner
from recurra.kernels.cpu.layout import GRU, KEPT, LSTM, PAST_CACHE, Floats, Input, Layer, Outputs, Rows, Work
from recurra.kernels.cpu.products import multiply
from recurra.kernels.cpu.rows import (
    copy,
    enter,
    gather,
    load_state,
    repeat,
    store_state,
    write_outputs,
    zero_padding,
)
from recurra.kernels.cpu.simd import flush_denormals, restore_denormals
from recurra.kernels.cpu.tokens import copy_products

__all__ = ["forward"]


@inner
def chunk_end(layer: Layer, rows: Rows, s: int) -> int:
    """The step after the last one of the chunk that begins with step ``s``."""
    stop = s + 1
    while stop < rows.active.size - 1 and rows.start[stop + 1] - rows.start[s] <= layer.chunk:
        stop += 1
    return stop


@compiled
def forward(
    layer: Layer, rows: Rows, x: Input, W: Floats, bias: Floats, U: Floats, d: Floats, mask: Floats,
    h0: Floats, c0: Floats, outputs: Outputs, hn: Floats, cn: Floats, tape: Floats, work: Work, save: bool,
) -> None:  # fmt: skip
    """Runs all steps of a shard.

    Args:
        layer: the layer's facts.
        rows: the shard's rows.
        x: the input, or the products of distinct tokens in rows of ``ldg``.
        W: packed ``(E + 1, gates * H)``, the input's weights and, as the last term, the bias; in pairs
            without; not read where ``x`` has the products.
        bias: the bias where ``W`` is in pairs.
        U: packed ``(H, gates * H)``, the state's weights.
        d: GRU's bias of the state's product for n, of whole vectors; else empty.
        mask: ``(B, H)`` on the state that enters the product; or empty.
        h0: ``(B, H)`` initial states; empty for zeros.
        c0: LSTM's initial cells; empty for zeros.
        outputs: out, all states.
        hn: out, the last states ``(B, H)``.
        cn: out, LSTM's last cells.
        tape: out, if ``save``: what the gradient needs besides the outputs.
        work: scratch memory.
        save: whether a gradient may be computed.
    """
    mode = flush_denormals()
    cell, H, ldg, ldh = layer.cell, layer.H, layer.ldg, layer.ldh
    steps = rows.active.size - 1
    h, c, G = work.h, work.c, work.second
    entering = work.entering if mask.size else h
    past_cache = tape.size > PAST_CACHE
    load_state(rows, h0, h, H, ldh)
    if cell == LSTM:
        load_state(rows, c0, c, H, ldh)
    enter(rows, h, mask, entering, rows.row.size, H, ldh)
    s = 0
    while s < steps:
        stop = chunk_end(layer, rows, s)
        begin, first = s, rows.start[s]
        count = rows.start[stop] - first
        if layer.distinct:
            copy_products(layer, rows, x, s, stop, G)
        else:
            gather(layer, rows, x, s, stop, work.x, layer.E + 1)
            if layer.bf16:  # the bias is not rounded
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
            write_outputs(layer, rows, begin, stop, work.states, outputs)
    store_state(rows, h, hn, H, ldh)
    if cell == LSTM:
        store_state(rows, c, cn, H, ldh)
    zero_padding(rows, outputs, H)
    restore_denormals(mode)
