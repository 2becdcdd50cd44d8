"""The scan ``c' = n + a (c - n)`` of a shard's rows, forwards and backwards.

The states of a row stay in the first cache while its steps pass. Nothing is kept for the gradient but the
states: gates are computed again from the sums, which costs less than writing and reading them.
"""

from __future__ import annotations

from typing import Any

from recurra.kernels.cpu.activations import sigmoid
from recurra.kernels.cpu.compiled import compiled, inlined
from recurra.kernels.cpu.layout import Floats, Outputs
from recurra.kernels.cpu.scan_gates import activated, slope
from recurra.kernels.cpu.scan_layout import Carried, Scan, Steps, Sums
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

__all__ = ["backward", "forward"]


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
def store_row(to: Floats, at: int, given: Floats, H: int) -> None:
    """``to[at : at + H] = given[:H]``"""
    for j in range(0, H, LANES):
        store_first(to, at + j, load(given, j), H - j)


@compiled
def forward(
    scan: Scan, steps: Steps, sums: Sums, first: Carried, outputs: Outputs, last: Carried, c: Floats
) -> None:
    """Runs all steps of a shard.

    Args:
        scan: the layer's facts.
        steps: the shard's steps.
        sums: of all places.
        first: the initial state.
        outputs: out, all outputs; empty if not needed.
        last: out, the state after each row's last step.
        c: scratch memory of ``H`` numbers, whole vectors.
    """
    mode = flush_denormals()
    H, T = scan.H, steps.T
    for r in range(steps.rows.size):
        b = steps.rows[r]
        length = steps.lengths[b]
        load_row(c, first.c, b * H, H)
        for s in range(length):
            t = time_of(scan, s, length)
            at = steps.places[b * T + t] * sums.ld
            out = t * outputs.dt + b * outputs.db + outputs.first
            for j in range(0, H, LANES):
                left = H - j
                a = sigmoid(broadcast(0.0) - load_first(sums.own, at + j, left))
                n = activated(scan.activation, load_first(sums.own, at + H + j, left))
                new = fma(a, load(c, j) - n, n)
                store(c, j, new)
                if outputs.data.size:
                    store_first(outputs.data, out + j, new, left)
        store_row(last.c, b * H, c, H)
        if outputs.data.size:
            for t in range(length, T):
                out = t * outputs.dt + b * outputs.db + outputs.first
                outputs.data[out : out + H] = 0.0
    restore_denormals(mode)


@compiled
def backward(
    scan: Scan, steps: Steps, sums: Sums, first: Carried, states: Outputs, gradient: Outputs, dlast: Carried,
    dsums: Sums, dfirst: Carried, dc: Floats,
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
        dsums: out, the gradient of the sums; zeros before where places are shared.
        dfirst: out, the gradient of the initial state.
        dc: scratch memory of ``H`` numbers, whole vectors.
    """
    mode = flush_denormals()
    H, T, one = scan.H, steps.T, broadcast(1.0)
    for r in range(steps.rows.size):
        b = steps.rows[r]
        length = steps.lengths[b]
        load_row(dc, dlast.c, b * H, H)
        for s in range(length - 1, -1, -1):
            t = time_of(scan, s, length)
            at = steps.places[b * T + t] * sums.ld
            out = t * gradient.dt + b * gradient.db + gradient.first
            ago = time_of(scan, s - 1, length) * states.dt + b * states.db + states.first
            for j in range(0, H, LANES):
                left = H - j
                if s > 0:
                    before = load_first(states.data, ago + j, left)
                elif first.c.size:
                    before = load_first(first.c, b * H + j, left)
                else:
                    before = broadcast(0.0)
                x = load_first(sums.own, at + H + j, left)
                a = sigmoid(broadcast(0.0) - load_first(sums.own, at + j, left))
                n = activated(scan.activation, x)
                dnew = load(dc, j)
                if gradient.data.size:
                    dnew = dnew + load_first(gradient.data, out + j, left)
                dn = dnew * (one - a)
                put(dsums.own, at + j, dn * a * (n - before), left, scan.shared)
                put(dsums.own, at + H + j, dn * slope(scan.activation, x, n), left, scan.shared)
                store(dc, j, dnew * a)
        store_row(dfirst.c, b * H, dc, H)
        if not scan.shared:
            for t in range(length, T):
                place = steps.places[b * T + t]
                if place >= 0:
                    dsums.own[place * sums.ld : (place + 1) * sums.ld] = 0.0
    restore_denormals(mode)
