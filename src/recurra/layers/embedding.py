"""Token ids to vectors: a table with Keras's initial values, in which id 0 is padding."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from recurra.kernels.dispatch import Lookup

__all__ = ["PADDING", "TOUCHED_FROM", "Embedding", "TrainedRows"]

TrainedRows: TypeAlias = Literal["auto", "all", "touched"]

PADDING = 0

TOUCHED_FROM = 5_000_000
"""Numbers in a table from which ``rows="auto"`` is ``"touched"``.

For 64 texts of 500 tokens, gradient and Adam take 3.6 ms dense and 4.8 touched in a table of 10,000 x 32,
21.2 and 19.3 in one of 50,000 x 100, 34.7 and 21.0 in one of 100,000 x 100
(docs/decisions/0008-touched-rows.md).
"""


class Embedding(nn.Embedding):
    """``(B, T)`` int64 ids to ``(B, T, E)``: uniform in (-0.05, 0.05), and zeros for padding, never trained.

    Args:
        vocab_size: ``V``, ids run from 0 to V - 1.
        features: ``E``.
        rows: of which rows the table gets a gradient: ``"all"``, in a tensor of the table's size;
            ``"touched"``, those of the ids looked up, in a sparse tensor of no more; ``"auto"``, touched for
            tables of ``TOUCHED_FROM`` numbers or more.
    """

    def __init__(self, vocab_size: int, features: int, *, rows: TrainedRows = "all") -> None:
        large = vocab_size * features >= TOUCHED_FROM
        touched = rows == "touched" or (rows == "auto" and large)
        super().__init__(vocab_size, features, padding_idx=PADDING, sparse=touched)

    def reset_parameters(self) -> None:
        """Keras's initial values, drawn anew from torch's generator."""
        nn.init.uniform_(self.weight, -0.05, 0.05)
        with torch.no_grad():
            self.weight[PADDING] = 0

    def lookup(self, tokens: Tensor) -> Lookup:
        """The same vectors not copied out, for a recurrent layer that reads them from the table itself.

        The table is the weight, or, where it is large and trained, a copy of the rows of these tokens.

        Args:
            tokens: ``(B, T)`` int64 ids.

        Raises:
            IndexError: an id is outside the table (at the latest where the vectors are read).
        """
        weight: Tensor = self.weight
        if not (torch.is_grad_enabled() and weight.requires_grad):
            return Lookup(weight, tokens)
        if not self.sparse:
            return Lookup(_Trained.apply(weight), tokens)  # type: ignore[no-untyped-call]
        touched, index = _touched(tokens, self.num_embeddings)
        return Lookup(_TrainedRows.apply(weight, touched), index)  # type: ignore[no-untyped-call]


class _Trained(torch.autograd.Function):
    """A weight as it is; in its gradient the padding's row is zero."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # It is zero already but where an id inside a text is padding. Then a copy, since the gradient may
        # be looked at elsewhere too.
        if gradient.requires_grad or gradient[PADDING].any():
            gradient = gradient.index_fill(0, torch.tensor([PADDING], device=gradient.device), 0)
        return gradient


class _TrainedRows(torch.autograd.Function):
    """Some rows of a weight, ascending; its gradient is a sparse tensor of these, without the padding's."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, rows: Tensor) -> Tensor:
        ctx.save_for_backward(rows)
        ctx.shape = weight.shape
        return weight.index_select(0, rows)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (rows,) = ctx.saved_tensors
        first = int(len(rows) > 0 and rows[0] == PADDING)
        # functional.embedding(sparse=True) would do as well, but doesn't know that its rows are in order:
        # putting them so costs 0.4 ms for 6,000 rows of 100
        sparse = torch.sparse_coo_tensor(
            rows[None, first:], gradient[first:], ctx.shape, is_coalesced=True, check_invariants=False
        )
        return sparse, None


def _touched(ids: Tensor, V: int) -> tuple[Tensor, Tensor]:
    """The different ids, ascending, and for each id its place among them."""
    if ids.device.type != "cpu":
        touched, index = torch.unique(ids, return_inverse=True)
        return touched, index
    # Marks on the rows in use: 0.2 ms for 64 x 500 ids of 10,000 rows, 0.9 of 1,000,000. torch.unique sorts
    # them, which takes 1.9 and 3.7.
    flat = ids.reshape(-1)
    marks = torch.zeros(V, dtype=torch.bool).index_fill_(0, flat, True)
    touched = torch.from_numpy(np.flatnonzero(marks.numpy()))
    places = torch.empty(V, dtype=torch.int64).index_copy_(0, touched, torch.arange(len(touched)))
    return touched, places.index_select(0, flat).view(ids.shape)
