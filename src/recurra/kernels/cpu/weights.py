"""Packs weights from torch's layout into panels, and sums gradients back into torch's layout."""

from __future__ import annotations

from recurra.kernels.cpu.compiled import compiled
from recurra.kernels.cpu.layout import Floats
from recurra.kernels.cpu.products import panel_width
from recurra.kernels.cpu.simd import LANES

__all__ = ["pack", "pack_transposed", "sum_into", "sum_transposed"]


@compiled
def pack(to: Floats, matrix: Floats, terms: int, columns: int) -> None:
    """Packs a ``(terms, columns)`` matrix."""
    at, panel = 0, 0
    while panel < columns:
        width = panel_width(columns - panel) * LANES
        count = min(width, columns - panel)
        for k in range(terms):
            for i in range(count):
                to[at + i] = matrix[k * columns + panel + i]
            for i in range(count, width):
                to[at + i] = 0.0
            at += width
        panel += width


@compiled
def pack_transposed(to: Floats, matrix: Floats, terms: int, columns: int, last: Floats) -> None:
    """Packs the transpose of a ``(columns, terms)`` matrix; ``last (columns,)``, if any, is one more term."""
    at, panel = 0, 0
    height = terms + (1 if last.size else 0)
    while panel < columns:
        width = panel_width(columns - panel) * LANES
        # 16 terms at a time: a cache line of each row is read once
        for begin in range(0, terms, 16):
            end = min(terms, begin + 16)
            for i in range(width):
                if panel + i < columns:
                    row = (panel + i) * terms
                    for k in range(begin, end):
                        to[at + k * width + i] = matrix[row + k]
                else:
                    for k in range(begin, end):
                        to[at + k * width + i] = 0.0
        if last.size:
            for i in range(width):
                to[at + terms * width + i] = last[panel + i] if panel + i < columns else 0.0
        at += height * width
        panel += width


@compiled
def sum_transposed(
    to: Floats, parts: Floats, size: int, first: int, ld: int, terms: int, columns: int
) -> None:
    """``to (columns, terms)`` from the sum of matrices ``(terms, columns)`` with rows of ``ld``, in order.

    They begin at ``first`` of every ``size`` numbers of ``parts``.
    """
    count = parts.size // size
    for start in range(0, columns, 16):
        stop = min(columns, start + 16)
        for k in range(terms):
            for i in range(start, stop):
                total = parts[first + k * ld + i]
                for part in range(1, count):
                    total += parts[part * size + first + k * ld + i]
                to[i * terms + k] = total


@compiled
def sum_into(to: Floats, parts: Floats, size: int, first: int) -> None:
    """``to`` from the sum of the vectors that begin at ``first`` in each of the parts."""
    for i in range(to.size):
        total = parts[first + i]
        for part in range(1, parts.size // size):
            total += parts[part * size + first + i]
        to[i] = total
