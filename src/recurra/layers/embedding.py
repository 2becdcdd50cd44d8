"""Token ids to vectors: a table with Keras's initial values, in which id 0 is padding.

Dimensions: ``B`` batch, ``T`` time, ``V`` vocabulary, ``E`` features of a vector.
"""

from __future__ import annotations

from typing import Any, Literal, Self, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from recurra.errors import ConfigError
from recurra.kernels.dispatch import Lookup, is_transformed
from recurra.layers.inputs import dtype_name

__all__ = ["PADDING", "TOUCHED_FROM", "Embedding", "TrainedRows"]

TrainedRows: TypeAlias = Literal["auto", "all", "touched"]

PADDING = 0
"""The id of padding, whose vector is zero and is not trained."""

TOUCHED_FROM = 5_000_000
"""Table size, in numbers, from which ``rows="auto"`` means ``"touched"``.

For 64 texts of 500 tokens, gradient and Adam take 3.6 ms dense and 4.8 touched in a table of 10,000 x 32,
21.2 and 19.3 in one of 50,000 x 100, 34.7 and 21.0 in one of 100,000 x 100
(docs/decisions/0008-touched-rows.md).
"""


class Embedding(nn.Embedding):
    """A trainable vector for each token id: ``(B, T)`` ids to ``(B, T, E)`` vectors.

    Initial values are Keras's: uniform in (-0.05, 0.05). The vector of id 0 (padding) is zero and is not
    trained.

    Args:
        vocab_size: ``V``; ids run from 0 to V - 1.
        features: ``E``.
        rows: The rows that a gradient has. ``"all"``: a dense tensor of the table's size. ``"touched"``: a
            sparse tensor with the rows of the ids that were looked up; the optimizer must accept sparse
            gradients. ``"auto"``: touched for tables of ``TOUCHED_FROM`` numbers or more.
        device: of the table; torch's default if None.
        dtype: of the table; torch's default if None.

    Raises:
        ConfigError: ``rows`` has another value.

    Example:
        >>> import recurra
        >>> table, layer = Embedding(1000, 8), recurra.LSTM(8, 16)
        >>> tokens = torch.tensor([[5, 999, 7], [3, 0, 0]])
        >>> table(tokens).shape
        torch.Size([2, 3, 8])
        >>> outputs, _ = layer(table.lookup(tokens), torch.tensor([3, 1]))  # the same, without a copy
        >>> outputs.shape
        torch.Size([2, 3, 16])
    """

    def __init__(
        self,
        vocab_size: int,
        features: int,
        *,
        rows: TrainedRows = "all",
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if rows not in ("auto", "all", "touched"):
            raise ConfigError(f"there is no rows {rows!r}", hint="use auto, all, touched")
        touched = rows == "touched" or (rows == "auto" and vocab_size * features >= TOUCHED_FROM)
        super().__init__(
            vocab_size, features, padding_idx=PADDING, sparse=touched, device=device, dtype=dtype
        )

    @classmethod
    def from_pretrained(  # type: ignore[override]  # torch's further options are not those of this class
        cls, embeddings: Tensor, freeze: bool = True, *, rows: TrainedRows = "all"
    ) -> Self:
        """Makes a table with a copy of given vectors, on their device and of their dtype.

        Args:
            embeddings: ``(V, E)`` floating point. Row 0 is padding and becomes zero.
            freeze: Whether the vectors are excluded from training.
            rows: as in the class.

        Raises:
            ValueError: ``embeddings`` is not of two dimensions.

        Example:
            >>> table = Embedding.from_pretrained(torch.ones(3, 2))
            >>> table(torch.tensor([0, 2])).tolist(), table.weight.requires_grad
            ([[0.0, 0.0], [1.0, 1.0]], False)
        """
        if embeddings.dim() != 2:
            raise ValueError(f"embeddings are {tuple(embeddings.shape)}, not (V, E)")
        table = cls(*embeddings.shape, rows=rows, device=embeddings.device, dtype=embeddings.dtype)
        with torch.no_grad():
            table.weight[PADDING + 1 :] = embeddings[PADDING + 1 :]
        table.weight.requires_grad_(not freeze)
        return table

    def reset_parameters(self) -> None:
        """Draws new initial values from torch's generator."""
        nn.init.uniform_(self.weight, -0.05, 0.05)
        with torch.no_grad():
            self.weight[PADDING] = 0

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns the vectors ``(..., E)`` of integer ids of any shape ``(...)``.

        Raises:
            ValueError: the ids are not integers.
            IndexError: an id is outside the table.
        """
        _check_integers(tokens)
        return super().forward(tokens.long())  # torch reads int32 and int64 only

    def lookup(self, tokens: Tensor) -> Lookup:
        """Returns the same vectors as a reference to the table, which a recurrent layer reads without a copy.

        The table is the weight or, if only the touched rows get a gradient, a copy of these tokens' rows.

        Args:
            tokens: ``(B, T)`` integer ids.

        Raises:
            ValueError: the ids are not integers.
            IndexError: an id is outside the table; raised here or when the layer reads the vectors.
        """
        _check_integers(tokens)
        tokens = tokens.long()
        weight: Tensor = self.weight
        if not (torch.is_grad_enabled() and weight.requires_grad):
            return Lookup(weight, tokens)
        if is_transformed():  # follows plain operations only, and has no sparse gradients
            return Lookup(torch.cat([weight[: PADDING + 1].detach(), weight[PADDING + 1 :]]), tokens)
        if not self.sparse:
            return Lookup(_Trained.apply(weight), tokens)  # type: ignore[no-untyped-call]
        touched, index = _touched(tokens, self.num_embeddings)
        return Lookup(_TrainedRows.apply(weight, touched), index)  # type: ignore[no-untyped-call]


class _Trained(torch.autograd.Function):
    """The identity; the row of padding is zero in its gradient."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor) -> Tensor:
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        # It is zero already unless an id inside a text is padding. Then it is copied, since the gradient may
        # be used elsewhere too.
        if gradient.requires_grad or gradient[PADDING].any():
            gradient = gradient.index_fill(0, torch.tensor([PADDING], device=gradient.device), 0)
        return gradient


class _TrainedRows(torch.autograd.Function):
    """Some rows of a weight, ascending; the gradient is a sparse tensor of these rows without padding's."""

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
        # functional.embedding(sparse=True) gives the same, but sorts its rows, which are sorted already:
        # 0.4 ms for 6,000 rows of 100
        sparse = torch.sparse_coo_tensor(
            rows[None, first:], gradient[first:], ctx.shape, is_coalesced=True, check_invariants=False
        )
        return sparse, None


def _touched(ids: Tensor, V: int) -> tuple[Tensor, Tensor]:
    """The distinct ids, ascending, and the place of each id among them."""
    if ids.device.type != "cpu":
        touched, index = torch.unique(ids, return_inverse=True)
        return touched, index
    # Marking the rows in use takes 0.2 ms for 64 x 500 ids of 10,000 rows, 0.9 of 1,000,000; torch.unique,
    # which sorts, takes 1.9 and 3.7.
    flat = ids.reshape(-1)
    marks = torch.zeros(V, dtype=torch.bool, device="cpu").index_fill_(0, flat, True)
    touched = torch.from_numpy(np.flatnonzero(marks.numpy()))
    order = torch.arange(len(touched), device="cpu")
    places = torch.empty(V, dtype=torch.int64, device="cpu").index_copy_(0, touched, order)
    return touched, places.index_select(0, flat).view(ids.shape)


def _check_integers(tokens: Tensor) -> None:
    if tokens.dtype.is_floating_point or tokens.dtype.is_complex or tokens.dtype == torch.bool:
        raise ValueError(f"tokens are {dtype_name(tokens)}, not integers; give tokens.long()")
