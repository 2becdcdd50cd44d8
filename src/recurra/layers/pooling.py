"""All states of a sequence become one vector, and its padding has no part in it.

Dimensions: ``B`` batch, ``T`` time, ``F`` features.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["AttentionPooling", "MaxPooling", "MeanPooling", "valid_positions"]


def valid_positions(lengths: Tensor, T: int) -> Tensor:
    """``(B, T, 1)`` true where a step lies inside its row."""
    return (torch.arange(T, device=lengths.device) < lengths[:, None])[:, :, None]


class MeanPooling(nn.Module):
    """The mean over the true steps; zeros for an empty row."""

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """``(B, T, F)`` states and ``(B,)`` lengths to ``(B, F)``."""
        inside = states.masked_fill(~valid_positions(lengths, states.shape[1]), 0)
        return inside.sum(1) / lengths.clamp(min=1)[:, None]


class MaxPooling(nn.Module):
    """The largest value of each feature over the true steps; zeros for an empty row."""

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """``(B, T, F)`` states and ``(B,)`` lengths to ``(B, F)``."""
        inside = states.masked_fill(~valid_positions(lengths, states.shape[1]), -torch.inf)
        return inside.max(1).values.masked_fill((lengths == 0)[:, None], 0)


class AttentionPooling(nn.Module):
    """A mean weighted by ``softmax(v . tanh(W h + b))`` (Yang et al. 2016); zeros for an empty row.

    Args:
        features: ``F``.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.projection = nn.Linear(features, features)
        self.score = nn.Linear(features, 1, bias=False)
        nn.init.xavier_uniform_(self.projection.weight)
        nn.init.zeros_(self.projection.bias)
        nn.init.xavier_uniform_(self.score.weight)

    def weights(self, states: Tensor, lengths: Tensor) -> Tensor:
        """``(B, T, 1)`` shares that sum to 1 over the true steps of each row."""
        valid = valid_positions(lengths, states.shape[1])
        scores = self.score(torch.tanh(self.projection(states)))
        # a finite fill, and a product after: an empty row gives zeros, not NaN
        scores = scores.masked_fill(~valid, torch.finfo(scores.dtype).min)
        return torch.softmax(scores, dim=1) * valid

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        """``(B, T, F)`` states and ``(B,)`` lengths to ``(B, F)``."""
        return (self.weights(states, lengths) * states).sum(1)
