"""Elman's recurrence (Elman 1990), ``h' = act(...)``: the operations between the products of a step."""

from __future__ import annotations

from recurra.kernels.cpu.activations import relu, tanh, tanh_of_four
from recurra.kernels.cpu.compiled import inner
from recurra.kernels.cpu.layout import Floats
from recurra.kernels.cpu.simd import LANES, broadcast, load, select_positive, store

__all__ = ["activate", "differentiate"]


@inner
def activate(G: Floats, g: int, ldg: int, h: Floats, ldh: int, n: int, H: int, use_relu: bool) -> None:
    """Computes the new states of ``n`` rows.

    Args:
        G: rows of ``ldg`` from ``g``: the sums.
        g: start in ``G``.
        ldg: row length of ``G``.
        h: rows of ``ldh``: out, the state.
        ldh: row length of ``h``.
        n: rows.
        H: hidden units.
        use_relu: whether act is relu, else tanh.
    """
    L = LANES
    for r in range(n):
        p, q, j = g + r * ldg, r * ldh, 0
        while j + 3 * L < H and not use_relu:
            a = tanh_of_four(
                load(G, p + j), load(G, p + j + L), load(G, p + j + 2 * L), load(G, p + j + 3 * L)
            )
            store(h, q + j, a[0])
            store(h, q + j + L, a[1])
            store(h, q + j + 2 * L, a[2])
            store(h, q + j + 3 * L, a[3])
            j += 4 * L
        while j < H:
            sums = load(G, p + j)
            store(h, q + j, relu(sums) if use_relu else tanh(sums))
            j += L


@inner
def differentiate(D: Floats, d: int, ldg: int, dh: Floats, ldh: int, n: int, H: int, use_relu: bool) -> None:
    """Computes the gradients of the sums of ``n`` rows from those of their new states.

    Args:
        D: rows of ``ldg`` from ``d``: in, the new states; out, the gradients of the sums.
        d: start in ``D``.
        ldg: row length of ``D``.
        dh: rows of ``ldh``: the gradient of the new states.
        ldh: row length of ``dh``.
        n: rows.
        H: hidden units.
        use_relu: whether act is relu, else tanh.
    """
    one = broadcast(1.0)
    for r in range(n):
        for j in range(0, H, LANES):
            to = d + r * ldg + j
            a, dnew = load(D, to), load(dh, r * ldh + j)
            store(D, to, select_positive(a, dnew) if use_relu else dnew * (one - a * a))
