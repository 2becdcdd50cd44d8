"""The rows of inputs whose products a scan needs: distinct tokens, or the steps that are not padding."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from recurra.kernels.cpu.distinct import distinct_tokens
from recurra.kernels.cpu.layout import Integers
from recurra.kernels.cpu.views import check_index, span
from recurra.kernels.terms import Lookup

__all__ = ["distinct", "rows_of", "steps_of"]


def distinct(x: Lookup, lengths: Tensor | None) -> tuple[Tensor, Integers]:
    """The distinct tokens of a batch, and which of them each step is.

    Args:
        x: the tokens ``(T, B)`` and their table.
        lengths: ``(B,)`` steps of each row; None where all have ``T``.

    Returns:
        Tokens ``(n,)``, in the order of their first appearance, and places ``(B, T)`` flat, -1 at padding.

    Raises:
        IndexError: a token is outside the table.
    """
    T, B = x.index.shape
    check_index(x.index, len(x.table))
    steps = np.full(B, T) if lengths is None else lengths.numpy()
    dt, db = x.index.stride()
    found = distinct_tokens(span(x.index), dt, db, steps, T, len(x.table))
    return torch.from_numpy(found.rows), found.numbers


def steps_of(x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Integers]:
    """The inputs of all steps that are not padding.

    Args:
        x: ``(T, B, E)``
        lengths: ``(B,)`` steps of each row; None where all have ``T``.

    Returns:
        Inputs ``(n, E)``, and the place ``(B, T)`` of each step among them, flat, -1 at padding.
    """
    T, B, E = x.shape
    batch_first = x.transpose(0, 1).is_contiguous()
    every = x.transpose(0, 1).reshape(B * T, E) if batch_first else x.reshape(T * B, E)
    steps = np.arange(B * T).reshape(B, T) if batch_first else np.arange(T * B).reshape(T, B).T
    if lengths is None:
        return every, np.ascontiguousarray(steps).reshape(-1)
    valid = np.arange(T) < lengths.numpy()[:, None]
    places = np.where(valid, np.cumsum(valid).reshape(B, T) - 1, -1)
    return rows_of(every, torch.from_numpy(steps[valid])), places.reshape(-1)


def rows_of(table: Tensor, rows: Tensor) -> Tensor:
    """``table[rows]`` for rows that differ, with a gradient to the table."""
    chosen: Tensor = _Rows.apply(table, rows)  # type: ignore[no-untyped-call]
    return chosen


class _Rows(torch.autograd.Function):
    """Some rows of a table, each once: the gradient is a copy, where that of an index adds row by row."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.count = len(table)
        return table.index_select(0, rows)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        whole = gradient.new_zeros(ctx.count, gradient.shape[1])
        return whole.index_copy(0, rows, gradient), None
