"""Cells without a recurrent matrix on the CPU: products of the whole input by torch, then one scan.

The products are those of the cell's own ``prepare``, over the rows that there are: the distinct tokens of a
batch where the input is tokens, else the steps without padding. Their gradients are torch's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from recurra.cells import cell_named
from recurra.cells.spec import Inputs, Ops, Weights, activation_function
from recurra.kernels.cpu import scan_layout
from recurra.kernels.cpu.layout import Integers
from recurra.kernels.cpu.scan_autograd import ScanArguments, scan
from recurra.kernels.cpu.scan_products import product
from recurra.kernels.cpu.scan_rows import distinct, rows_of, steps_of
from recurra.kernels.reference import product_of
from recurra.kernels.terms import Call, Lookup

__all__ = ["run"]


def run(calls: Sequence[Call], *, sequences: bool, shards: int, threads: int) -> tuple[Tensor, Tensor]:
    """Returns outputs ``(T, B, D*H)``, zero past each length, and the last state parts ``(D * parts, B, H)``.

    Args:
        calls: as in ``cpu.run``.
        sequences: likewise.
        shards: parts that the batch is divided into, for each direction.
        threads: threads that run them.
    """
    first = calls[0]
    T, B, _ = first.x.shape
    masked = any(call.input_mask is not None for call in calls)
    shared = isinstance(first.x, Lookup) and not masked
    with torch.autocast("cpu", enabled=False):
        if isinstance(first.x, Lookup) and shared:
            found, places = distinct(first.x, first.lengths)
            rows = [rows_of(first.x.table, found)] * len(calls)
        elif masked:
            rows = []
            for call in calls:
                own, places = steps_of(call.inputs(), first.lengths)
                rows.append(own)
        else:
            own, places = steps_of(first.inputs(), first.lengths)
            rows = [own] * len(calls)
        prepared = [_prepared(call, own) for call, own in zip(calls, rows, strict=True)]
    vector = scan_layout.VECTORS.get(first.cell)
    return scan(
        ScanArguments(
            [part for inputs, _ in prepared for part in inputs],
            [] if vector is None else [weights[vector] for _, weights in prepared],
            [part for call in calls for part in call.initial()] if any(call.state for call in calls) else [],
            places,
            _lengths(first.lengths, T, B),
            first.cell,
            str(first.activation),
            first.reverse,
            sequences,
            shared,
            len(calls),
            len(cell_named(first.cell).state),
            T,
            first.units,
            shards,
            threads,
        )
    )


def _prepared(call: Call, rows: Tensor) -> tuple[Inputs, Weights]:
    """What the steps read, ``(n, N)`` each, of inputs ``(n, E)``; and the weights that they use."""
    rounded = call.precision != "float32"
    ops = Ops(activation_function(call.activation), product_of(call.precision) if rounded else product)
    inputs, weights = cell_named(call.cell).prepare(rows[None], call.weights, ops)
    return tuple(part[0] for part in inputs), weights


def _lengths(lengths: Tensor | None, T: int, B: int) -> Integers:
    return np.full(B, T) if lengths is None else lengths.long().contiguous().numpy()
