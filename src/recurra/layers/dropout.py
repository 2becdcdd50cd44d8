"""Dropout of single values, drawn from the training's generator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recurra.generators import generator

__all__ = ["Dropout"]


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
        return input * torch.empty_like(input).bernoulli_(keep, generator=own).div_(keep)
