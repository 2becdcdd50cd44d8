"""Elman's recurrence (Elman 1990), ``h' = act(...)``: the operations between the products of a step."""

from __future__ import annotations

from recurra.kernels.cpu.activations import relu, tanh
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
    for r in range(n):
        for j in range(0, H, LANES):
            sums = load(G, g + r * ldg + j)
            store(h, r * ldh + j, relu(sums) if use_relu else tanh(sums))


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
