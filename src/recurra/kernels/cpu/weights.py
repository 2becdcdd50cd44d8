"""Packs weights from torch's layout into panels, and sums gradients back into torch's layout."""

from __future__ import annotations

from recurra.kernels.cpu.compiled import compiled
from recurra.kernels.cpu.layout import Floats
from recurra.kernels.cpu.products import panel_width
from recurra.kernels.cpu.simd import LANES, load, store

__all__ = ["SQUARE", "pack", "pack_transposed", "sum_into", "sum_transposed"]

SQUARE = 16
"""Side of the squares in which a matrix is transposed: a cache line each."""


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
    to: Floats, parts: Floats, size: int, first: int, ld: int, terms: int, columns: int, begin: int, end: int,
    square: Floats,
) -> None:  # fmt: skip
    """``to (columns, terms)`` from the sum of matrices ``(terms, columns)`` with rows of ``ld``, in order.

    They begin at ``first`` of every ``size`` numbers of ``parts``. Only the columns from ``begin``, a
    multiple of 16, to ``end`` are computed, a square of 16 terms at a time, in ``square (256,)``.
    """
    count = parts.size // size
    for start in range(begin, end, SQUARE):
        width = min(SQUARE, end - start)
        for begun in range(0, terms, SQUARE):
            height = min(SQUARE, terms - begun)
            for k in range(height):
                at = first + (begun + k) * ld + start
                for j in range(0, SQUARE, LANES):
                    total = load(parts, at + j)
                    for part in range(1, count):
                        total = total + load(parts, part * size + at + j)
                    store(square, k * SQUARE + j, total)
            for i in range(width):
                line = (start + i) * terms + begun
                for k in range(height):
                    to[line + k] = square[k * SQUARE + i]


@compiled
def sum_into(to: Floats, parts: Floats, size: int, first: int) -> None:
    """``to`` from the sum of the vectors that begin at ``first`` in each of the parts."""
    for i in range(to.size):
        total = parts[first + i]
        for part in range(1, parts.size // size):
            total += parts[part * size + first + i]
        to[i] = total
