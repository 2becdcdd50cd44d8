"""Pooling: all states of a sequence to one vector, without the padded steps.

Without gradients, means and maxima of a row have the same bits in every batch.

Dimensions: ``B`` batch, ``T`` time, ``F`` features.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor, nn

from recurra.kernels.dispatch import (
    can_compute_rows,
    has_no_values,
    is_recorded,
    is_transformed,
    pool_rows,
)

__all__ = ["AttentionPooling", "JoinedPooling", "MaxPooling", "MeanPooling", "valid_positions"]


def valid_positions(lengths: Tensor, T: int) -> Tensor:
    """Returns whether a step lies within its row's length, ``(B, T, 1)`` bool.

    Args:
        lengths: ``(B,)`` integers.
        T: steps of the batch.

    Example:
        >>> valid_positions(torch.tensor([2, 0]), 3)[:, :, 0]
        tensor([[ True,  True, False],
                [False, False, False]])
    """
    return (torch.arange(T, device=lengths.device) < lengths[:, None])[:, :, None]


def _divided(states: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the steps that all rows have, the others, and which of these are valid.

    Batches are of texts of similar length: most steps need no copy for the mask. Where the lengths can't be
    looked at without waiting or leaving a graph, all are others.
    """
    valid = valid_positions(lengths, states.shape[1])
    known = lengths.is_cpu and not is_recorded()
    known = known and len(lengths) > 0 and not has_no_values(lengths) and not is_transformed()
    least = min(int(lengths.min()), states.shape[1]) if known else 0
    return states[:, :least], states[:, least:], valid[:, least:]


class MeanPooling(nn.Module):
    """The mean over the true steps; zeros for a row without steps.

    Example:
        >>> states = torch.tensor([[[1.0], [3.0], [99.0]]])
        >>> MeanPooling()(states, torch.tensor([2]))
        tensor([[2.]])
    """

    kind: Final = "mean"

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Returns ``(B, F)`` means of ``(B, T, F)`` states and ``lengths`` ``(B,)`` from 0 to ``T``."""
        if can_compute_rows(states):
            return pool_rows(states, lengths, [self.kind])
        whole, rest, valid = _divided(states, lengths)
        total = rest.masked_fill(~valid, 0).sum(1)
        if whole.shape[1]:
            total = whole.sum(1) + total
        return total / lengths.clamp(min=1)[:, None]


class MaxPooling(nn.Module):
    """The largest value of each feature over the true steps; zeros for a row without steps.

    Example:
        >>> states = torch.tensor([[[1.0], [3.0], [99.0]]])
        >>> MaxPooling()(states, torch.tensor([2]))
        tensor([[3.]])
    """

    kind: Final = "max"

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Returns ``(B, F)`` maxima of ``(B, T, F)`` states and ``lengths`` ``(B,)`` from 0 to ``T``."""
        if can_compute_rows(states):
            return pool_rows(states, lengths, [self.kind])
        whole, rest, valid = _divided(states, lengths)
        parts = [whole] if whole.shape[1] else []
        if rest.shape[1]:
            parts.append(rest.masked_fill(~valid, -torch.inf))
        # max finds the places too, for the gradient, and takes several times as long
        found = [part.max(1).values if part.requires_grad else part.amax(1) for part in parts]
        largest = found[0] if len(found) == 1 else torch.maximum(*found)
        return largest.masked_fill((lengths == 0)[:, None], 0)


class AttentionPooling(nn.Module):
    """A mean weighted by ``softmax(v . tanh(W h + b))`` (Yang et al. 2016); zeros for a row without steps.

    Args:
        features: ``F``.
        device: of the parameters; torch's default if None.
        dtype: of the parameters; torch's default if None.

    Example:
        >>> pooling, states, lengths = AttentionPooling(4), torch.randn(2, 3, 4), torch.tensor([3, 1])
        >>> pooling(states, lengths).shape
        torch.Size([2, 4])
        >>> pooling.weights(states, lengths)[1, :, 0]
        tensor([1., 0., 0.], grad_fn=<SelectBackward0>)
    """

    def __init__(
        self,
        features: int,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.projection = nn.Linear(features, features, device=device, dtype=dtype)
        self.score = nn.Linear(features, 1, bias=False, device=device, dtype=dtype)
        nn.init.xavier_uniform_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)
        nn.init.xavier_uniform_(self.score.weight)

    def weights(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Returns ``(B, T, 1)`` weights that sum to 1 over the true steps of each row and are 0 elsewhere.

        Args:
            states: ``(B, T, F)`` floating point.
            lengths: ``(B,)`` integers from 0 to ``T``.
        """
        valid = valid_positions(lengths, states.shape[1])
        # under autocast the products are rounded, the softmax is not
        scores = self.score(torch.tanh(self.projection(states))).to(states.dtype)
        # a finite fill and a product after it, so that a row without steps gives zeros, not NaN
        scores = scores.masked_fill(~valid, torch.finfo(scores.dtype).min)
        return torch.softmax(scores, dim=1) * valid

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """Returns ``(B, F)`` weighted means; arguments as in ``weights``."""
        return (self.weights(states, lengths) * states).sum(1)


class JoinedPooling(nn.Module):
    """Several poolings of the same states, one after another in one vector (Howard & Ruder 2018).

    Args:
        parts: the poolings; None stands for the last state.

    Example:
        >>> pooling = JoinedPooling([MeanPooling(), MaxPooling(), None])
        >>> states, last = torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([[3.0]])
        >>> pooling(states, torch.tensor([2]), last)
        tensor([[2., 3., 3.]])
    """

    def __init__(self, parts: Sequence[nn.Module | None]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(nn.Identity() if part is None else part for part in parts)

    def forward(self, states: Tensor, lengths: Tensor, last: Tensor) -> Tensor:
        """Returns ``(B, n * F)`` for ``n`` parts.

        Args:
            states: ``(B, T, F)``.
            lengths: ``(B,)`` integers from 0 to ``T``.
            last: ``(B, F)``, the last state of each row.
        """
        kinds = [part.kind for part in self.parts if isinstance(part, MeanPooling | MaxPooling)]
        if len({*kinds}) == len(kinds) == len(self.parts) and can_compute_rows(states):
            return pool_rows(states, lengths, kinds)  # both in one pass
        pooled = [last if isinstance(part, nn.Identity) else part(states, lengths) for part in self.parts]
        return torch.cat(pooled, dim=1)
