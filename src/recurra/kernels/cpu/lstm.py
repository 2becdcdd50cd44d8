"""LSTM (Hochreiter & Schmidhuber 1997; Gers et al. 2000): the operations between the products of a step.

``i, f, o = sigmoid(...)``, ``g = tanh(...)``, ``c' = f c + i g``, ``h' = o tanh(c')``.
"""

from __future__ import annotations

from typing import Any

from recurra.kernels.cpu.activations import LOG2_E, logistic_of_four, tanh, tanh_of_four
from recurra.kernels.cpu.compiled import inlined, inner
from recurra.kernels.cpu.layout import Floats
from recurra.kernels.cpu.rows import fetch
from recurra.kernels.cpu.simd import LANES, broadcast, fma, load, store, store_aligned, store_first

__all__ = ["activate", "differentiate"]


@inlined
def gates(i: Any, f: Any, a: Any, o: Any) -> Any:
    """The gates from their sums."""
    scale = broadcast(-LOG2_E)
    i, f, a, o = logistic_of_four(i * scale, f * scale, a * broadcast(-2.0 * LOG2_E), o * scale)
    return i, f, fma(broadcast(2.0), a, broadcast(-1.0)), o


@inlined
def multiply_by_tanh(h: Floats, c: Floats, ldh: int, n: int, H: int) -> None:
    """``h = h tanh(c)`` of ``n`` rows: after the loop over the gates, so that no step waits for the other."""
    for r in range(n):
        j = 0
        while j + 3 * LANES < H:
            q = r * ldh + j
            t = tanh_of_four(load(c, q), load(c, q + LANES), load(c, q + 2 * LANES), load(c, q + 3 * LANES))
            store(h, q, load(h, q) * t[0])
            store(h, q + LANES, load(h, q + LANES) * t[1])
            store(h, q + 2 * LANES, load(h, q + 2 * LANES) * t[2])
            store(h, q + 3 * LANES, load(h, q + 3 * LANES) * t[3])
            j += 4 * LANES
        while j < H:
            store(h, r * ldh + j, load(h, r * ldh + j) * tanh(load(c, r * ldh + j)))
            j += LANES


@inner
def activate(
    G: Floats, g: int, ldg: int, h: Floats, c: Floats, ldh: int, tape: Floats, at: int, n: int, H: int,
    save: bool, past_cache: bool,
) -> None:  # fmt: skip
    """Computes the new states of ``n`` rows.

    Args:
        G: rows of ``ldg`` from ``g``: the sums ``i, f, g, o`` of ``H`` each.
        g: start in ``G``.
        ldg: row length of ``G``.
        h: rows of ``ldh``: out, the state.
        c: rows of ``ldh``: in and out, the cell.
        ldh: row length of ``h`` and ``c``.
        tape: out, if saved: rows from ``at`` of ``i, f, g, o`` and the cell before, ``ldh`` each.
        at: start in ``tape``.
        n: rows.
        H: hidden units.
        save: whether a gradient may be computed.
        past_cache: whether the tape is too long for the cache.
    """
    for r in range(n):
        for j in range(0, H, LANES):
            p, q = g + r * ldg + j, r * ldh + j
            i, f, a, o = gates(load(G, p), load(G, p + H), load(G, p + 2 * H), load(G, p + 3 * H))
            before = load(c, q)
            store(c, q, fma(f, before, i * a))
            store(h, q, o)
            if save:
                to = at + 5 * r * ldh + j
                store_aligned(tape, to, i, past_cache)
                store_aligned(tape, to + ldh, f, past_cache)
                store_aligned(tape, to + 2 * ldh, a, past_cache)
                store_aligned(tape, to + 3 * ldh, o, past_cache)
                store_aligned(tape, to + 4 * ldh, before, past_cache)
    multiply_by_tanh(h, c, ldh, n, H)


@inner
def differentiate(
    D: Floats, d: int, ldg: int, dh: Floats, dc: Floats, ldh: int, tape: Floats, at: int, former: int, n: int,
    H: int,
) -> None:  # fmt: skip
    """Computes the gradients of the sums of ``n`` rows from those of their new states.

    Args:
        D: rows of ``ldg`` from ``d``: out, the gradients of the sums ``i, f, g, o``.
        d: start in ``D``.
        ldg: row length of ``D``.
        dh: rows of ``ldh``: the gradient of the state.
        dc: rows of ``ldh``: in and out, the gradient of the cell.
        ldh: row length of ``dh`` and ``dc``.
        tape: rows from ``at`` as ``activate`` wrote them.
        at: start in ``tape``.
        former: start in ``tape`` of the rows of the step before, which are fetched in the background.
        n: rows.
        H: hidden units.
    """
    one = broadcast(1.0)
    for r in range(n):
        fetch(tape, former + 5 * r * ldh, 5 * ldh)
        for j in range(0, H, LANES):
            p, q, to = at + 5 * r * ldh + j, r * ldh + j, d + r * ldg + j
            i, f = load(tape, p), load(tape, p + ldh)
            a, o = load(tape, p + 2 * ldh), load(tape, p + 3 * ldh)
            before = load(tape, p + 4 * ldh)
            t = tanh(fma(f, before, i * a))
            dh_o = load(dh, q) * o
            dcell = fma(dh_o, one - t * t, load(dc, q))
            store(dc, q, dcell * f)
            left = H - j
            store_first(D, to, dcell * a * i * (one - i), left)
            store_first(D, to + H, dcell * before * f * (one - f), left)
            store_first(D, to + 2 * H, dcell * i * (one - a * a), left)
            store_first(D, to + 3 * H, dh_o * t * (one - o), left)
