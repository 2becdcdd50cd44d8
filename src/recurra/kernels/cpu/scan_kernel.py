"""The scan ``c' = n + a (c - n)`` of a shard's rows, forwards and backwards.

The states of a row stay in the first cache while its steps pass. Nothing is kept for the gradient but the
states: gates are computed again from the sums, which costs less than writing and reading them.

There is a kernel for each cell, compiled when it is first used: with one for all, which had the cell as
an argument, a training step took 1.4 to 2.8 times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from recurra.cells.sru import ALPHA
from recurra.kernels.cpu.compiled import compiled, inlined
from recurra.kernels.cpu.layout import Floats, Outputs
from recurra.kernels.cpu.scan_gates import activated, gates, negated, slope
from recurra.kernels.cpu.scan_layout import GATED, MIN_GRU, QRNN, SRU, Carried, Scan, Steps, Sums
from recurra.kernels.cpu.simd import (
    LANES,
    broadcast,
    flush_denormals,
    fma,
    load,
    load_first,
    restore_denormals,
    store,
    store_first,
)

__all__ = ["backward_of", "forward_of"]


@inlined
def put(to: Floats, at: int, value: Any, left: int, shared: bool) -> None:
    """Stores the first ``left`` numbers, or adds them where steps share a place."""
    if shared:
        value = value + load_first(to, at, left)
    store_first(to, at, value, left)


@inlined
def time_of(scan: Scan, s: int, length: int) -> int:
    """The step of time that is read as step ``s``."""
    return length - 1 - s if scan.reverse else s


@inlined
def load_row(to: Floats, given: Floats, at: int, H: int) -> None:
    """``to[:H] = given[at : at + H]``, or zeros if there is nothing given."""
    for j in range(0, H, LANES):
        store(to, j, load_first(given, at + j, H - j) if given.size else broadcast(0.0))


@inlined
def store_row(to: Floats, at: int, given: Floats, start: int, H: int) -> None:
    """``to[at : at + H] = given[start : start + H]``"""
    for j in range(0, H, LANES):
        store_first(to, at + j, load_first(given, start + j, H - j), H - j)


@inlined
def fill_row(to: Floats, at: int, H: int) -> None:
    """``to[at : at + H] = 0``"""
    for j in range(0, H, LANES):
        store_first(to, at + j, broadcast(0.0), H - j)


@inlined
def place_of(outputs: Outputs, b: int, t: int) -> int:
    """Where the output of a step begins."""
    return t * outputs.dt + b * outputs.db + outputs.first


@cache
def forward_of(cell: int) -> Callable[..., None]:
    """Compiles the forward kernel of a cell, by its code."""

    @compiled
    def forward(
        scan: Scan, steps: Steps, sums: Sums, first: Carried, outputs: Outputs, states: Outputs,
        last: Carried, c: Floats, h: Floats,
    ) -> None:  # fmt: skip
        """Runs all steps of a shard.

        Args:
            scan: the layer's facts.
            steps: the shard's steps.
            sums: of all places.
            first: the initial state.
            outputs: out, all outputs; empty if not needed.
            states: out, all states of the scan where they are not the outputs; empty if not needed.
            last: out, the state after each row's last step.
            c: scratch memory of ``H`` numbers, whole vectors.
            h: likewise.
        """
        mode = flush_denormals()
        H, T, B = scan.H, steps.T, steps.lengths.size
        for r in range(steps.rows.size):
            b = steps.rows[r]
            length = steps.lengths[b]
            load_row(c, first.c, b * H, H)
            load_row(h, first.h, b * H, H)
            before = -1
            for s in range(length):
                t = time_of(scan, s, length)
                place = steps.places[b * T + t]
                at, highway = place * sums.own_ld, place * sums.other_ld
                out, kept = place_of(outputs, b, t), place_of(states, b, t)
                for j in range(0, H, LANES):
                    left = H - j
                    old = load(c, j)
                    a, n, _, gate, _ = gates(cell, scan.activation, H, sums, first, at, before, b, B, j, old)
                    new = fma(a, old - n, n)
                    store(c, j, new)
                    if cell >= GATED:
                        if states.data.size:
                            store_first(states.data, kept + j, new, left)
                        if cell == SRU:
                            carried = broadcast(ALPHA) * load_first(sums.other, highway + j, left)
                            new = fma(gate, activated(scan.activation, new) - carried, carried)
                        else:
                            new = gate * new
                        store(h, j, new)
                    if outputs.data.size:
                        store_first(outputs.data, out + j, new, left)
                before = highway
            store_row(last.c, b * H, c, 0, H)
            if cell >= GATED:
                store_row(last.h, b * H, h, 0, H)
            if cell == QRNN:
                for gate in range(3):
                    to = (gate * B + b) * H
                    if before >= 0:
                        store_row(last.last, to, sums.other, before + gate * H, H)
                    elif first.last.size:
                        store_row(last.last, to, first.last, to, H)
                    else:
                        fill_row(last.last, to, H)
            if outputs.data.size:
                for t in range(length, T):
                    fill_row(outputs.data, place_of(outputs, b, t), H)
        restore_denormals(mode)

    return forward


@cache
def backward_of(cell: int) -> Callable[..., None]:
    """Compiles the backward kernel of a cell, by its code."""

    @compiled
    def backward(
        scan: Scan, steps: Steps, sums: Sums, first: Carried, states: Outputs, gradient: Outputs,
        dlast: Carried, dsums: Sums, dfirst: Carried, dc: Floats,
    ) -> None:  # fmt: skip
        """Computes the gradients of a shard's sums and initial states.

        Args:
            scan: the layer's facts.
            steps: the shard's steps.
            sums: of all places.
            first: the initial state.
            states: all states of the scan.
            gradient: of all outputs; empty if there is none.
            dlast: gradient of the last state.
            dsums: out, the gradient of the sums; zeros before where places are shared. That of the vector is
                added, in two rows of whole vectors.
            dfirst: out, the gradient of the initial state.
            dc: scratch memory of ``H`` numbers, whole vectors.
        """
        mode = flush_denormals()
        H, T, B, one, zero = scan.H, steps.T, steps.lengths.size, broadcast(1.0), broadcast(0.0)
        second = dsums.vector.size // 2
        for r in range(steps.rows.size):
            b = steps.rows[r]
            length = steps.lengths[b]
            load_row(dc, dlast.c, b * H, H)
            if cell >= GATED:
                if length == 0 and dlast.h.size:
                    store_row(dfirst.h, b * H, dlast.h, b * H, H)
                else:
                    fill_row(dfirst.h, b * H, H)
            if cell == QRNN:  # the sums for a step that another call has
                end = 0
                if length > 0:
                    end = steps.places[b * T + time_of(scan, length - 1, length)] * sums.other_ld
                for gate in range(3):
                    for j in range(0, H, LANES):
                        own = (gate * B + b) * H + j
                        value = load_first(dlast.last, own, H - j) if dlast.last.size else zero
                        if length > 0:
                            put(dsums.other, end + gate * H + j, value, H - j, scan.shared)
                        else:
                            store_first(dfirst.last, own, value, H - j)
            for s in range(length - 1, -1, -1):
                t, ago = time_of(scan, s, length), time_of(scan, s - 1, length)
                place = steps.places[b * T + t]
                at, highway = place * sums.own_ld, place * sums.other_ld
                before = steps.places[b * T + ago] * sums.other_ld if s > 0 else -1
                out, past = place_of(gradient, b, t), place_of(states, b, ago)
                for j in range(0, H, LANES):
                    left = H - j
                    old = zero
                    if s > 0:
                        old = load_first(states.data, past + j, left)
                    elif first.c.size:
                        old = load_first(first.c, b * H + j, left)
                    a, n, x, gate, i = gates(cell, scan.activation, H, sums, first, at, before, b, B, j, old)
                    dh = load_first(gradient.data, out + j, left) if gradient.data.size else zero
                    dnew = load(dc, j)
                    if cell < GATED:
                        dnew = dnew + dh
                        dn = dnew * (one - a)
                        da = dn * a * (old - n)
                        dx = dn * slope(scan.activation, x, n)
                        if cell == MIN_GRU:
                            put(dsums.own, at + j, negated(da), left, scan.shared)
                            put(dsums.own, at + H + j, dx, left, scan.shared)
                        else:
                            df, di = da * (one - gate), negated(da) * (one - i)
                            put(dsums.own, at + j, df, left, scan.shared)
                            put(dsums.own, at + H + j, di, left, scan.shared)
                            put(dsums.own, at + 2 * H + j, dx, left, scan.shared)
                        store(dc, j, dnew * a)
                    else:
                        if s == length - 1 and dlast.h.size:
                            dh = dh + load_first(dlast.h, b * H + j, left)
                        new = fma(a, old - n, n)
                        dr = dh * gate * (one - gate)
                        if cell == SRU:
                            value = activated(scan.activation, new)
                            dr = dr * (value - broadcast(ALPHA) * load_first(sums.other, highway + j, left))
                            dcarried = broadcast(ALPHA) * dh * (one - gate)
                            put(dsums.other, highway + j, dcarried, left, scan.shared)
                            dnew = fma(dh * gate, slope(scan.activation, new, value), dnew)
                        else:
                            dr = dr * new
                            dnew = fma(dh, gate, dnew)
                        dx = dnew * (one - a)
                        df = dx * a * (old - n)
                        dold = dnew * a
                        if cell == SRU:
                            dold = fma(df, load_first(sums.vector, j, left), dold)
                            dold = fma(dr, load_first(sums.vector, H + j, left), dold)
                            store(dsums.vector, j, fma(df, old, load(dsums.vector, j)))
                            store(dsums.vector, second + j, fma(dr, old, load(dsums.vector, second + j)))
                        else:
                            dx = dx * slope(scan.activation, x, n)
                        store(dc, j, dold)
                        put(dsums.own, at + j, dx, left, scan.shared)
                        put(dsums.own, at + H + j, df, left, scan.shared)
                        put(dsums.own, at + 2 * H + j, dr, left, scan.shared)
                        if cell == QRNN:
                            if s > 0:
                                put(dsums.other, before + j, dx, left, scan.shared)
                                put(dsums.other, before + H + j, df, left, scan.shared)
                                put(dsums.other, before + 2 * H + j, dr, left, scan.shared)
                            else:
                                store_first(dfirst.last, b * H + j, dx, left)
                                store_first(dfirst.last, (B + b) * H + j, df, left)
                                store_first(dfirst.last, (2 * B + b) * H + j, dr, left)
            store_row(dfirst.c, b * H, dc, 0, H)
        restore_denormals(mode)

    return backward
