"""Dropout of single values and of whole words, drawn from the training's generator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recurra.generators import generator

__all__ = ["Dropout", "WordDropout"]


class Dropout(nn.Dropout):
    """``nn.Dropout`` whose masks come from the generator of the training; outside one, from torch's.

    Example:
        >>> Dropout(0.5).eval()(torch.ones(3)).tolist()
        [1.0, 1.0, 1.0]
    """

    def forward(self, input: Tensor) -> Tensor:
        """Returns the input, in training with values set to zero and the others divided by their share."""
        own = generator(input.device)
        if own is None or not self.training or self.p == 0:
            return super().forward(input)
        keep = 1.0 - self.p
        # Values are drawn in the order of memory, which must not depend on the layout of the input.
        mask = torch.empty_like(input, memory_format=torch.contiguous_format)
        return input * mask.bernoulli_(keep, generator=own).div_(keep)


class WordDropout(nn.Module):
    """In training, replaces each token by the unknown word with a probability (Iyyer et al. 2015).

    Padding stays padding. The ids stay ids, so that the layer above can look them up in place.

    Args:
        p: the probability, from 0 to below 1.
        unknown_id: the id of the unknown word.

    Example:
        >>> dropout, tokens = WordDropout(0.9, unknown_id=2), torch.tensor([[7, 8, 9, 0, 0]])
        >>> set(dropout(tokens)[0, :3].tolist()) <= {2, 7, 8, 9}
        True
        >>> dropout.eval()(tokens).tolist()
        [[7, 8, 9, 0, 0]]
    """

    def __init__(self, p: float, unknown_id: int) -> None:
        super().__init__()
        self.p = p
        self.unknown_id = unknown_id

    def forward(self, tokens: Tensor) -> Tensor:
        """Returns ids ``(B, T)`` for ids ``(B, T)``, of which 0 is padding."""
        if not self.training or self.p == 0:
            return tokens
        where = tokens.device
        drawn = torch.rand(tokens.shape, generator=generator(where), device=where, dtype=torch.float32)
        return tokens.masked_fill((drawn < self.p) & (tokens != 0), self.unknown_id)

    def extra_repr(self) -> str:
        """The setting, for ``print(model)``."""
        return f"p={self.p}"
