"""One layer in one or two directions on NumPy arrays: the batch is divided into shards, which threads run.

A shard runs through all its steps without synchronisation. The gradients of the weights are summed over
shards in a fixed order, so that the same number of shards gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from recurra.kernels.cpu import layout, weights
from recurra.kernels.cpu.backward import backward
from recurra.kernels.cpu.distinct import Distinct, distinct_tokens
from recurra.kernels.cpu.forward import forward
from recurra.kernels.cpu.host import host
from recurra.kernels.cpu.layout import Floats, Input, Integers, Layer, Outputs, Rows, Work, nothing
from recurra.kernels.cpu.packing import FEW_ROWS, pack, pack_or_keep, pack_terms
from recurra.kernels.cpu.threads import run_all
from recurra.kernels.cpu.tokens import Side, multiply_gradients, products
from recurra.kernels.cpu.workspace import borrow, borrow_pieces

__all__ = ["Direction", "Gradients", "Job", "run_backward", "run_forward", "tape_size"]

LEAST_WORK = 4e6
"""Operations of the input's products below which counting tokens takes longer than it saves."""
LEAST_SUMS = 200_000
"""Numbers in a gradient of weights from which the threads share the sums over shards."""
FEW_REPEATS = 0.75
"""Share of distinct tokens from which a row for each place is not slower."""


class Direction(NamedTuple):
    """The arrays of one direction; flat, and empty if absent."""

    weight_ih: Floats
    weight_hh: Floats
    bias_ih: Floats
    bias_hh: Floats
    input_mask: Floats
    recurrent_mask: Floats


class Job(NamedTuple):
    """One layer over one batch."""

    cell: int
    use_relu: bool
    bf16: bool
    """Whether products are of bfloat16."""
    reverse: bool
    """Whether the first direction is reversed; a second one always is."""
    T: int
    B: int
    E: int
    H: int
    data: Floats
    places: Integers
    dt: int
    db: int
    lengths: Integers | None
    directions: list[Direction]
    shards: int
    """Parts that the batch is divided into, for each direction."""
    threads: int


class Gradients(NamedTuple):
    """The gradients of one direction's weights, in torch's layout."""

    weight_ih: Floats
    weight_hh: Floats
    bias_ih: Floats
    bias_hh: Floats


def tape_size(cell: int, steps: int, H: int, directions: int) -> int:
    """Size of the tapes of all shards for ``steps`` steps in all rows together."""
    return directions * layout.tape_size(cell, H, steps)


def run_forward(
    job: Job, h0: list[Floats], c0: list[Floats], outputs: Floats, hn: list[Floats], cn: list[Floats],
    tape: Floats, save: bool,
) -> None:  # fmt: skip
    """Runs all shards forwards.

    Args:
        job: the layer and the batch.
        h0: ``(B, H)`` of each direction, or empty.
        c0: likewise, LSTM's cells.
        outputs: out, ``(B, T, D*H)``; empty if neither the states nor a gradient are needed.
        hn: out, the last states ``(B, H)`` of each direction.
        cn: likewise, LSTM's cells.
        tape: out, what the gradient needs besides the outputs.
        save: whether a gradient may be computed.
    """
    D, columns = len(job.directions), layout.GATES[job.cell] * job.H
    tapes = iter(_tapes(job, tape))
    tokens = _distinct(job)
    prepare = pack if save or job.B >= FEW_ROWS else pack_or_keep
    tasks: list[Callable[[], None]] = []
    for d, direction in enumerate(job.directions):
        W, bias, U, last = prepare(job.cell, direction[:4], job.E, job.H, bf16=job.bf16)
        x = Input(job.data, job.places, job.dt, job.db, direction.input_mask)
        if tokens is not None:
            sums = products(job.data, tokens, job.E, W, columns, job.threads)
            x = Input(sums, tokens.numbers, 1, job.T, nothing())
        for rows in _shards(job):
            layer = _layer(job, d, len(rows.row), distinct=tokens is not None)
            masked = direction.recurrent_mask.size > 0
            sizes = layout.work_sizes(layer, len(rows.row), masked=masked, backward=False)
            tasks.append(
                partial(
                    forward, layer, rows, x, W, bias, U, last, direction.recurrent_mask, h0[d], c0[d],
                    Outputs(outputs, D * job.H, job.T * D * job.H, d * job.H, job.T), hn[d], cn[d],
                    next(tapes), Work(*borrow_pieces(sizes)), save,
                ),
            )  # fmt: skip
    run_all(tasks, job.threads)


def run_backward(
    job: Job, h0: list[Floats], outputs: list[Outputs], tape: Floats, gradient: list[Outputs],
    dhn: list[Floats], dcn: list[Floats], dx: Floats | None, dh0: list[Floats], dc0: list[Floats],
) -> list[Gradients]:  # fmt: skip
    """Runs all shards backwards.

    Args:
        job: the layer and the batch.
        h0: initial states ``(B, H)`` of each direction, or empty.
        outputs: all states, of each direction.
        tape: as ``run_forward`` wrote it.
        gradient: of all states, for each direction.
        dhn: gradient of the last states of each direction ``(B, H)``, or empty.
        dcn: likewise, LSTM's cells.
        dx: out, the gradient of the input ``(B, T, E)``, or of a table ``(U, E)``; None if not needed.
        dh0: out, the gradient of the initial states ``(B, H)`` of each direction.
        dc0: likewise, LSTM's cells.

    Returns:
        The gradients of each direction's weights.
    """
    E, H = job.E, job.H
    columns = layout.GATES[job.cell] * H
    shards = _shards(job)
    tapes = iter(_tapes(job, tape))
    tokens = _distinct(job)
    ldx = layout.row_length(E + 1)
    targets = _input_gradients(job, dx, len(shards), tokens)
    sums: list[tuple[Floats, int]] = []
    sides: list[Side] = []
    tasks: list[Callable[[], None]] = []
    for d, direction in enumerate(job.directions):
        UT = pack_terms(direction.weight_hh, columns, H, bf16=job.bf16)
        WT = nothing() if dx is None else pack_terms(direction.weight_ih, columns, E, bf16=job.bf16)
        ldg = layout.row_length(columns)
        sizes = ((E + 1) * ldg, H * ldg, layout.row_length(H))
        size = layout.total(sizes)
        every = borrow(size * len(shards))
        sums.append((every, size))
        parts = [layout.cut(every[n * size : (n + 1) * size], sizes) for n in range(len(shards))]
        sides.append(Side(targets[d], WT, [part[0] for part in parts]))
        for n, rows in enumerate(shards):
            layer = _layer(job, d, len(rows.row), distinct=tokens is not None)
            masked = direction.recurrent_mask.size > 0
            needed = layout.work_sizes(layer, len(rows.row), masked=masked, backward=True)
            strides = (job.dt, job.db) if job.places.size else (E, job.T * E)
            to = Input(targets[d][n], job.places, *strides, direction.input_mask)
            if tokens is not None:
                to = Input(targets[d][n], tokens.numbers, 1, job.T, nothing())
            dW, dU, dd = parts[n]
            tasks.append(
                partial(
                    backward, layer, rows,
                    Input(job.data, job.places, job.dt, job.db, direction.input_mask),
                    nothing() if tokens is not None else WT, UT, direction.recurrent_mask, h0[d], outputs[d],
                    next(tapes), gradient[d], dhn[d], dcn[d], to, dW, dU, dd, dh0[d], dc0[d],
                    Work(*borrow_pieces(needed)), ldx,
                ),
            )  # fmt: skip
    run_all(tasks, job.threads)
    if tokens is not None:
        if dx is not None:
            dx[:] = 0.0
        multiply_gradients(job.data, tokens, E, columns, sides, dx, job.threads)
    elif dx is not None:
        _add_up(dx, targets, job.threads)
    return [_gradients(job, every, size) for every, size in sums]


def _layer(job: Job, d: int, rows: int, *, distinct: bool) -> Layer:
    reverse = job.reverse if d == 0 else True
    return layout.layer(job.cell, job.use_relu, reverse, job.E, job.H, rows, job.bf16, distinct)


def _distinct(job: Job) -> Distinct | None:
    """The distinct tokens of the batch; None where a product for each place is needed, or faster."""
    if (
        not job.places.size
        or not job.E
        or job.bf16
        or any(direction.input_mask.size for direction in job.directions)
    ):
        return None
    lengths = np.full(job.B, job.T) if job.lengths is None else job.lengths
    count, table_rows = int(lengths.sum()), job.data.size // job.E
    work = 2.0 * job.B * job.T * job.E * layout.GATES[job.cell] * job.H
    if work < LEAST_WORK or table_rows > 64 * count:
        return None
    found = distinct_tokens(job.places, job.dt, job.db, lengths, job.T, table_rows)
    return found if len(found.rows) < FEW_REPEATS * count else None


def _shards(job: Job) -> list[Rows]:
    """The rows sorted by length and assigned in turn, so that all shards have about the same work."""
    if job.lengths is None:
        return _even_shards(job.B, job.T, job.shards)
    order = np.argsort(-job.lengths, kind="stable")
    return _divided(order, job.lengths[order], job.shards)


@lru_cache(64)
def _even_shards(B: int, T: int, shards: int) -> list[Rows]:
    return _divided(np.arange(B), np.full(B, T), shards)


def _divided(order: Integers, lengths: Integers, shards: int) -> list[Rows]:
    parts = [slice(n, None, shards) for n in range(shards)]
    return [
        layout.rows_of(np.ascontiguousarray(order[part]), np.ascontiguousarray(lengths[part]))
        for part in parts
    ]


def _tapes(job: Job, tape: Floats) -> list[Floats]:
    """The part of the tape of each direction's shards."""
    found, at = [], 0
    for _ in job.directions:
        for n in range(job.shards):
            rows = len(range(n, job.B, job.shards))
            size = layout.tape_size(job.cell, job.H, rows * job.T)
            found.append(tape[at : at + size])
            at += size
    return found


def _gradients(job: Job, every: Floats, size: int) -> Gradients:
    """The sums of all shards, in torch's layout."""
    E, H = job.E, job.H
    columns = layout.GATES[job.cell] * H
    ldg = layout.row_length(columns)
    starts = ((E + 1) * ldg, (E + 1 + H) * ldg)
    weight_ih, weight_hh = np.empty(columns * E, np.float32), np.empty(columns * H, np.float32)
    threads = job.threads if columns * (E + H) >= LEAST_SUMS else 1
    tasks: list[Callable[[], None]] = []
    squares = np.linspace(0, -(-columns // weights.SQUARE), threads + 1).astype(int)
    for begin, end in pairwise(np.minimum(squares * weights.SQUARE, columns)):
        for to, first, terms in ((weight_ih, 0, E), (weight_hh, starts[0], H)):
            square = np.empty(weights.SQUARE**2, np.float32)
            arguments = (to, every, size, first, ldg, terms, columns, begin, end, square)
            tasks.append(partial(weights.sum_transposed, *arguments))
    run_all(tasks, threads)
    bias_ih, bias_hh = np.empty(columns, np.float32), nothing()
    weights.sum_into(bias_ih, every, size, E * ldg)
    if job.cell == layout.GRU:
        bias_hh = bias_ih.copy()
        weights.sum_into(bias_hh[2 * H :], every, size, starts[1])
    return Gradients(weight_ih, weight_hh, bias_ih, bias_hh)


def _input_gradients(job: Job, dx: Floats | None, shards: int, tokens: Distinct | None) -> list[list[Floats]]:
    """The arrays for the gradient of the input of each direction and shard; the first one is ``dx`` itself.

    Each shard sums a table's gradient in its own array; a row of a dense input belongs to one shard of each
    direction. For distinct tokens they are those of the sums.
    """
    if tokens is not None:
        size = len(tokens.rows) * layout.row_length(layout.GATES[job.cell] * job.H) + host().lanes
        return [[borrow(size) for _ in range(shards)] for _ in job.directions]
    if dx is None:
        return [[nothing()] * shards] * len(job.directions)
    targets = []
    for d in range(len(job.directions)):
        own = dx if d == 0 else borrow(dx.size)
        targets.append([own if n == 0 or not job.places.size else borrow(dx.size) for n in range(shards)])
    return targets


def _add_up(dx: Floats, targets: list[list[Floats]], threads: int) -> None:
    """Adds the other arrays to ``dx``, in order."""
    others = list({id(part): part for parts in targets for part in parts if part is not dx}.values())
    cuts = np.linspace(0, dx.size, threads + 1).astype(int)

    def add(begin: int, end: int) -> None:
        for other in others:
            dx[begin:end] += other[begin:end]

    if others:
        run_all([partial(add, *pair) for pair in pairwise(cuts)], threads)
