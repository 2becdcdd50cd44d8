"""Inputs that are tokens: the products of a distinct token are computed once, not once for each place.

A batch of 64 texts of 219 tokens on average has some 3,000 distinct ones. ``table[distinct] W'`` is computed
before the steps, which copy its rows; backwards, the gradients of the sums are added up for each distinct
token first, and multiplied afterwards. These are the same sums in another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from recurra.kernels.cpu.compiled import compiled, inner
from recurra.kernels.cpu.distinct import Distinct
from recurra.kernels.cpu.layout import Floats, Input, Integers, Layer, Rows, nothing, row_length
from recurra.kernels.cpu.products import multiply, multiply_transposed
from recurra.kernels.cpu.rows import copy
from recurra.kernels.cpu.simd import LANES, load, store
from recurra.kernels.cpu.threads import run_all
from recurra.kernels.cpu.workspace import borrow

__all__ = ["Side", "add_products", "copy_products", "multiply_gradients", "products"]

AT_ONCE = 256
"""Distinct tokens whose products are computed at once: their gates stay in the second cache."""


@inner
def _gather(table: Floats, rows: Integers, begin: int, end: int, E: int, to: Floats, ldx: int) -> None:
    """Copies rows of a table to rows of ``ldx``, each followed by a one, which multiplies the bias."""
    for i in range(begin, end):
        copy(to, (i - begin) * ldx, table, rows[i] * E, E)
        to[(i - begin) * ldx + E] = 1.0


@compiled
def _multiply(
    table: Floats, rows: Integers, begin: int, end: int, E: int, W: Floats, columns: int, to: Floats,
    ldg: int, work: Floats,
) -> None:  # fmt: skip
    for first in range(begin, end, AT_ONCE):
        count = min(AT_ONCE, end - first)
        _gather(table, rows, first, first + count, E, work, E + 1)
        multiply(to, first * ldg, ldg, work, 0, E + 1, count, W, E + 1, columns, True)


def products(table: Floats, tokens: Distinct, E: int, W: Floats, columns: int, threads: int) -> Floats:
    """The products of the distinct tokens, ``(n, columns)`` in rows of ``row_length(columns)``.

    Args:
        table: ``(U, E)``.
        tokens: those of the batch.
        E: input features.
        W: packed ``(E + 1, columns)``, the bias last.
        columns: gates times ``H``.
        threads: threads to use.
    """
    n, ldg = len(tokens.rows), row_length(columns)
    to = borrow(n * ldg + LANES)
    tasks = [
        partial(_multiply, table, tokens.rows, begin, end, E, W, columns, to, ldg, borrow(AT_ONCE * (E + 1)))
        for begin, end in _ranges(n, threads)
    ]
    run_all(tasks, threads)
    return to


@inner
def copy_products(layer: Layer, rows: Rows, x: Input, begin: int, stop: int, G: Floats) -> None:
    """Copies the input's sums of a chunk of steps, ``x.data`` being rows of ``ldg``, to rows of ``ldg``."""
    ldg = layer.ldg
    for r in range(rows.row.size):
        b = rows.row[r]
        for s in range(begin, min(stop, rows.length[r])):
            t = rows.length[r] - 1 - s if layer.reverse else s
            place = (rows.start[s] - rows.start[begin] + r) * ldg
            copy(G, place, x.data, x.places[t * x.dt + b * x.db] * ldg, layer.columns)


@inner
def add_products(layer: Layer, rows: Rows, dx: Input, begin: int, stop: int, D: Floats) -> None:
    """Adds the gradients of a chunk's sums to those of their tokens, both in rows of ``ldg``."""
    ldg = layer.ldg
    for r in range(rows.row.size):
        b = rows.row[r]
        for s in range(begin, min(stop, rows.length[r])):
            t = rows.length[r] - 1 - s if layer.reverse else s
            place = (rows.start[s] - rows.start[begin] + r) * ldg
            base = dx.places[t * dx.dt + b * dx.db] * ldg
            for j in range(0, layer.columns, LANES):
                store(dx.data, base + j, load(dx.data, base + j) + load(D, place + j))


class Side(NamedTuple):
    """One direction's part in the gradients of distinct tokens."""

    sums: list[Floats]
    """Of each shard, ``(n, columns)`` in rows of ``row_length(columns)``."""
    weight: Floats
    """Packed ``(columns, E)``; empty where the gradient of the table is not wanted."""
    gradients: list[Floats]
    """Out, added to, of each shard: ``(E + 1, columns)`` in rows of ``row_length(columns)``."""


@compiled
def _add(to: Floats, given: Floats, begin: int, count: int) -> None:
    for j in range(begin, begin + count, LANES):
        store(to, j, load(to, j) + load(given, j))


@compiled
def _multiply_gradients(
    table: Floats, rows: Integers, begin: int, end: int, E: int, sums: Floats, ldg: int, columns: int,
    WT: Floats, dW: Floats, dtable: Floats, work: Floats, ldx: int,
) -> None:  # fmt: skip
    for first in range(begin, end, AT_ONCE):
        count = min(AT_ONCE, end - first)
        _gather(table, rows, first, first + count, E, work, ldx)
        multiply_transposed(dW, ldg, work, 0, ldx, E + 1, sums, first * ldg, ldg, count, columns)
        if WT.size:
            multiply(work, 0, ldx, sums, first * ldg, ldg, count, WT, columns, E, True)
            for i in range(count):
                base = rows[first + i] * E
                for e in range(E):
                    dtable[base + e] += work[i * ldx + e]


def multiply_gradients(
    table: Floats, tokens: Distinct, E: int, columns: int, sides: Sequence[Side], dtable: Floats | None,
    threads: int,
) -> None:  # fmt: skip
    """Adds up the gradients of all shards for each distinct token, and multiplies them.

    Each shard's part of the weights' gradients gets the products of a range of tokens.

    Args:
        table: ``(U, E)``.
        tokens: those of the batch.
        E: input features.
        columns: gates times ``H``.
        sides: of each direction.
        dtable: ``(U, E)`` out, added to; None if not wanted.
        threads: threads to use.
    """
    ldg, ldx = row_length(columns), row_length(E + 1)

    def run(part: int, begin: int, end: int) -> None:
        work = borrow(AT_ONCE * ldx + LANES)
        for side in sides:
            first, *others = side.sums
            for other in others:
                _add(first, other, begin * ldg, (end - begin) * ldg)
            _multiply_gradients(
                table, tokens.rows, begin, end, E, first, ldg, columns, side.weight, side.gradients[part],
                nothing() if dtable is None else dtable, work, ldx,
            )  # fmt: skip

    ranges = _ranges(len(tokens.rows), len(sides[0].sums))
    run_all([partial(run, part, *pair) for part, pair in enumerate(ranges)], threads)


def _ranges(n: int, parts: int) -> list[tuple[int, int]]:
    cuts = [n * part // parts for part in range(parts + 1)]
    return list(pairwise(cuts))
