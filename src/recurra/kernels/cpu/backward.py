"""The backward pass of a shard through one layer."""

from __future__ import annotations

from recurra.kernels.cpu import gru, lstm, simple_rnn
from recurra.kernels.cpu.bf16 import product, product_transposed
from recurra.kernels.cpu.compiled import compiled, inner
from recurra.kernels.cpu.layout import GRU, KEPT, LSTM, SIMPLE_RNN, Floats, Input, Layer, Outputs, Rows, Work
from recurra.kernels.cpu.products import multiply_transposed
from recurra.kernels.cpu.rows import (
    add,
    add_masked,
    add_rows,
    enter,
    gather,
    load_state,
    read_states,
    scatter,
    store_state,
    zero_padding,
)
from recurra.kernels.cpu.simd import flush_denormals, restore_denormals
from recurra.kernels.cpu.tokens import add_products

__all__ = ["backward"]


@inner
def chunk_begin(layer: Layer, rows: Rows, stop: int) -> int:
    """The first step of the chunk that ends before step ``stop``."""
    begin = stop - 1
    while begin > 0 and rows.start[stop] - rows.start[begin - 1] <= layer.chunk:
        begin -= 1
    return begin


@compiled
def backward(
    layer: Layer, rows: Rows, x: Input, WT: Floats, UT: Floats, mask: Floats, h0: Floats, outputs: Outputs,
    tape: Floats, gradient: Outputs, dhn: Floats, dcn: Floats, dx: Input, dW: Floats, dU: Floats,
    dd: Floats, dh0: Floats, dc0: Floats, work: Work, ldx: int,
) -> None:  # fmt: skip
    """Computes the gradients of a shard, from its last step to its first.

    Args:
        layer: the layer's facts.
        rows: the shard's rows.
        x: the input.
        WT: packed ``(gates * H, E)``, the input's weights; empty if ``dx`` is not needed.
        UT: packed ``(gates * H, H)``, the state's weights.
        mask: ``(B, H)`` on the state that enters the product; or empty.
        h0: ``(B, H)`` initial states; empty for zeros.
        outputs: all states.
        tape: as ``forward`` wrote it.
        gradient: of all states.
        dhn: ``(B, H)`` gradient of the last states; empty for zeros.
        dcn: gradient of LSTM's last cells; empty for zeros.
        dx: out, the gradient of the input, summed up if it has places; or that of the sums of each distinct
            token, in rows of ``ldg``.
        dW: rows of ``ldg``, out: gradient of the input's weights ``(E + 1, gates * H)``, the bias last; zeros
            for distinct tokens.
        dU: rows of ``ldg``, out: gradient of the state's weights ``(H, gates * H)``.
        dd: out: gradient of GRU's bias of the state's product for n.
        dh0: out, the gradient of the initial states ``(B, H)``.
        dc0: out, the gradient of LSTM's initial cells.
        work: scratch memory.
        ldx: length of a row of ``work.x``.
    """
    mode = flush_denormals()
    dW[:], dU[:], dd[:] = 0.0, 0.0, 0.0
    if dx.places.size:
        dx.data[:] = 0.0
    cell, H, ldg, ldh = layer.cell, layer.H, layer.ldg, layer.ldh
    dh, dc, D = work.h, work.c, work.first
    DQ = work.second if cell == GRU else D
    load_state(rows, dhn, dh, H, ldh)
    if cell == LSTM:
        load_state(rows, dcn, dc, H, ldh)
    stop = rows.active.size - 1
    while stop > 0:
        begin = chunk_begin(layer, rows, stop)
        first = rows.start[begin]
        read_states(layer, rows, begin, stop, h0, outputs, 1, work.entering, ldh)
        if cell == SIMPLE_RNN:
            read_states(layer, rows, begin, stop, h0, outputs, 0, D, ldg)
        if gradient.data.size:
            read_states(layer, rows, begin, stop, h0, gradient, 0, work.states, ldh)
        for s in range(stop - 1, begin - 1, -1):
            n, at = rows.active[s], rows.start[s] * KEPT[cell] * ldh
            to = (rows.start[s] - first) * ldg
            former = rows.start[max(s - 1, 0)] * KEPT[cell] * ldh
            if gradient.data.size:
                add(dh, work.states, (rows.start[s] - first) * ldh, n * ldh)
            if cell == GRU:
                gru.differentiate(
                    D, DQ, to, ldg, dd, dh, work.entering, (rows.start[s] - first) * ldh, ldh, tape, at,
                    former, n, H, layer.use_relu,
                )  # fmt: skip
            elif cell == LSTM:
                lstm.differentiate(D, to, ldg, dh, dc, ldh, tape, at, former, n, H)
            else:
                simple_rnn.differentiate(D, to, ldg, dh, ldh, n, H, layer.use_relu)
            if mask.size:
                product(work.masked, 0, ldh, DQ, to, ldg, n, UT, layer.columns, H, True, work.bf16)
                add_masked(rows, work.masked, mask, dh, n, H, ldh, cell == GRU)
            else:
                product(dh, 0, ldh, DQ, to, ldg, n, UT, layer.columns, H, cell != GRU, work.bf16)
        count = rows.start[stop] - first
        if layer.distinct:
            add_products(layer, rows, dx, begin, stop, D)
        else:
            gather(layer, rows, x, begin, stop, work.x, ldx)
            if layer.bf16:  # the bias is not rounded
                product_transposed(dW, ldg, work.x, 0, ldx, layer.E, D, ldg, count, layer.columns, work.bf16)
                add_rows(dW, layer.E * ldg, D, ldg, count, layer.columns)
            else:
                multiply_transposed(dW, ldg, work.x, 0, ldx, layer.E + 1, D, 0, ldg, count, layer.columns)
        if mask.size:
            for s in range(begin, stop):
                place = work.entering[(rows.start[s] - first) * ldh :]
                enter(rows, place, mask, place, rows.active[s], H, ldh)
        product_transposed(dU, ldg, work.entering, 0, ldh, H, DQ, ldg, count, layer.columns, work.bf16)
        if WT.size:
            product(work.x, 0, ldx, D, 0, ldg, count, WT, layer.columns, layer.E, True, work.bf16)
            scatter(layer, rows, dx, begin, stop, work.x, ldx)
        stop = begin
    store_state(rows, dh, dh0, H, ldh)
    if cell == LSTM:
        store_state(rows, dc, dc0, H, ldh)
    if WT.size and dx.places.size == 0:
        zero_padding(rows, Outputs(dx.data, dx.dt, dx.db, 0, gradient.steps), layer.E)
    restore_denormals(mode)
