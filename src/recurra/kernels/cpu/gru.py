"""GRU with the reset gate after the recurrent product (Cho et al. 2014): the operations between the products.

``r, z = sigmoid(...)``, ``n = act(W x + b + r q)`` with ``q = U h + d``, ``h' = n + z (h - n)``.
"""

from __future__ import annotations

from typing import Any

from recurra.kernels.cpu.activations import relu, sigmoid, sigmoid_of_four, tanh, tanh_of_four
from recurra.kernels.cpu.compiled import inlined, inner
from recurra.kernels.cpu.layout import Floats
from recurra.kernels.cpu.rows import fetch
from recurra.kernels.cpu.simd import (
    LANES,
    broadcast,
    fma,
    load,
    select_positive,
    store,
    store_aligned,
    store_first,
)

__all__ = ["activate", "differentiate"]


@inlined
def added(A: Floats, a: int, B: Floats, b: int) -> Any:
    """The sum of two vectors in memory."""
    return load(A, a) + load(B, b)


@inlined
def finish(
    h: Floats, here: int, tape: Floats, to: int, ldh: int, r: Any, z: Any, a: Any, q: Any, save: bool,
    past_cache: bool,
) -> None:  # fmt: skip
    """Stores the new state of one vector of units, and what the gradient needs."""
    store(h, here, fma(z, load(h, here) - a, a))
    if save:
        store_aligned(tape, to, r, past_cache)
        store_aligned(tape, to + ldh, z, past_cache)
        store_aligned(tape, to + 2 * ldh, a, past_cache)
        store_aligned(tape, to + 3 * ldh, q, past_cache)


@inner
def activate(
    G: Floats, g: int, ldg: int, Q: Floats, d: Floats, h: Floats, ldh: int, tape: Floats, at: int, n: int,
    H: int, use_relu: bool, save: bool, past_cache: bool,
) -> None:  # fmt: skip
    """Computes the new states of ``n`` rows.

    Args:
        G: rows of ``ldg`` from ``g``: the input's sums ``r, z, n`` of ``H`` each, with the biases of both
            sides for r and z.
        g: start in ``G``.
        ldg: row length of ``G`` and ``Q``.
        Q: rows of ``ldg``: the state's products ``r, z, n``.
        d: the bias of ``q``, of whole vectors.
        h: rows of ``ldh``: in and out, the state.
        ldh: row length of ``h``.
        tape: out, if saved: rows from ``at`` of ``r, z, n, q``, ``ldh`` each.
        at: start in ``tape``.
        n: rows.
        H: hidden units.
        use_relu: whether act is relu, else tanh.
        save: whether a gradient may be computed.
        past_cache: whether the tape is too long for the cache.
    """
    L = LANES
    for row in range(n):
        p, s, here, to = g + row * ldg, row * ldg, row * ldh, at + 4 * row * ldh
        j = 0
        while j + 3 * L < H:
            r = sigmoid_of_four(
                added(G, p, Q, s), added(G, p + L, Q, s + L), added(G, p + 2 * L, Q, s + 2 * L),
                added(G, p + 3 * L, Q, s + 3 * L),
            )  # fmt: skip
            z = sigmoid_of_four(
                added(G, p + H, Q, s + H), added(G, p + H + L, Q, s + H + L),
                added(G, p + H + 2 * L, Q, s + H + 2 * L), added(G, p + H + 3 * L, Q, s + H + 3 * L),
            )  # fmt: skip
            x, y = p + 2 * H, s + 2 * H
            q0, q1 = added(Q, y, d, j), added(Q, y + L, d, j + L)
            q2, q3 = added(Q, y + 2 * L, d, j + 2 * L), added(Q, y + 3 * L, d, j + 3 * L)
            a0, a1 = fma(r[0], q0, load(G, x)), fma(r[1], q1, load(G, x + L))
            a2, a3 = fma(r[2], q2, load(G, x + 2 * L)), fma(r[3], q3, load(G, x + 3 * L))
            a = (relu(a0), relu(a1), relu(a2), relu(a3)) if use_relu else tanh_of_four(a0, a1, a2, a3)
            finish(h, here, tape, to, ldh, r[0], z[0], a[0], q0, save, past_cache)
            finish(h, here + L, tape, to + L, ldh, r[1], z[1], a[1], q1, save, past_cache)
            finish(h, here + 2 * L, tape, to + 2 * L, ldh, r[2], z[2], a[2], q2, save, past_cache)
            finish(h, here + 3 * L, tape, to + 3 * L, ldh, r[3], z[3], a[3], q3, save, past_cache)
            p, s, here, to, j = p + 4 * L, s + 4 * L, here + 4 * L, to + 4 * L, j + 4 * L
        while j < H:
            gate_r, gate_z = sigmoid(added(G, p, Q, s)), sigmoid(added(G, p + H, Q, s + H))
            q = added(Q, s + 2 * H, d, j)
            total = fma(gate_r, q, load(G, p + 2 * H))
            new = relu(total) if use_relu else tanh(total)
            finish(h, here, tape, to, ldh, gate_r, gate_z, new, q, save, past_cache)
            p, s, here, to, j = p + L, s + L, here + L, to + L, j + L


@inner
def differentiate(
    D: Floats, DQ: Floats, to: int, ldg: int, dd: Floats, dh: Floats, before: Floats, b: int, ldh: int,
    tape: Floats, at: int, former: int, n: int, H: int, use_relu: bool,
) -> None:  # fmt: skip
    """Computes the gradients of the sums of ``n`` rows from those of their new states.

    Args:
        D: rows of ``ldg`` from ``to``: out, the gradients of the input's sums ``r, z, n``.
        DQ: the same of the state's products.
        to: start in ``D`` and ``DQ``.
        ldg: row length of ``D`` and ``DQ``.
        dd: out, added to: the gradient of the bias of ``q``.
        dh: rows of ``ldh``: in, the gradient of the new state; out, what reaches the old state directly.
        before: rows of ``ldh`` from ``b``: the old state.
        b: start in ``before``.
        ldh: row length of ``dh`` and ``before``.
        tape: rows from ``at`` as ``activate`` wrote them.
        at: start in ``tape``.
        former: start in ``tape`` of the rows of the step before, which are fetched in the background.
        n: rows.
        H: hidden units.
        use_relu: whether act is relu, else tanh.
    """
    one = broadcast(1.0)
    for row in range(n):
        fetch(tape, former + 4 * row * ldh, 4 * ldh)
        for j in range(0, H, LANES):
            p, s, here = at + 4 * row * ldh + j, to + row * ldg + j, row * ldh + j
            r, z, a = load(tape, p), load(tape, p + ldh), load(tape, p + 2 * ldh)
            dnew = load(dh, here)
            da = dnew * (one - z)
            da = select_positive(a, da) if use_relu else da * (one - a * a)
            dq = da * r
            dr = dq * load(tape, p + 3 * ldh) * (one - r)
            dz = dnew * (load(before, b + here) - a) * z * (one - z)
            store(dh, here, dnew * z)
            store(dd, j, load(dd, j) + dq)
            left = H - j
            store_first(D, s, dr, left)
            store_first(D, s + H, dz, left)
            store_first(D, s + 2 * H, da, left)
            store_first(DQ, s, dr, left)
            store_first(DQ, s + H, dz, left)
            store_first(DQ, s + 2 * H, dq, left)
