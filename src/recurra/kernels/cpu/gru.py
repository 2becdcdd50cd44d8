"""GRU with the reset gate after the recurrent product (Cho et al. 2014): the operations between the products.

``r, z = sigmoid(...)``, ``n = act(W x + b + r q)`` with ``q = U h + d``, ``h' = n + z (h - n)``.
"""

from __future__ import annotations

from recurra.kernels.cpu.activations import relu, sigmoid, tanh
from recurra.kernels.cpu.compiled import inner
from recurra.kernels.cpu.layout import Floats
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
    for row in range(n):
        for j in range(0, H, LANES):
            p, s, here = g + row * ldg + j, row * ldg + j, row * ldh + j
            r = sigmoid(load(G, p) + load(Q, s))
            z = sigmoid(load(G, p + H) + load(Q, s + H))
            q = load(Q, s + 2 * H) + load(d, j)
            a = fma(r, q, load(G, p + 2 * H))
            a = relu(a) if use_relu else tanh(a)
            store(h, here, fma(z, load(h, here) - a, a))
            if save:
                to = at + 4 * row * ldh + j
                store_aligned(tape, to, r, past_cache)
                store_aligned(tape, to + ldh, z, past_cache)
                store_aligned(tape, to + 2 * ldh, a, past_cache)
                store_aligned(tape, to + 3 * ldh, q, past_cache)


@inner
def differentiate(
    D: Floats, DQ: Floats, to: int, ldg: int, dd: Floats, dh: Floats, before: Floats, b: int, ldh: int,
    tape: Floats, at: int, n: int, H: int, use_relu: bool,
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
        n: rows.
        H: hidden units.
        use_relu: whether act is relu, else tanh.
    """
    one = broadcast(1.0)
    for row in range(n):
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
