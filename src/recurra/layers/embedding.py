"""Token ids to vectors: a table with Keras's initial values, in which id 0 is padding."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["PADDING", "Embedding"]

PADDING = 0


class Embedding(nn.Embedding):
    """``(B, T)`` int64 ids to ``(B, T, E)``: uniform in (-0.05, 0.05), and zeros for padding, never trained.

    Args:
        vocab_size: ``V``, ids run from 0 to V - 1.
        features: ``E``.
    """

    def __init__(self, vocab_size: int, features: int) -> None:
        super().__init__(vocab_size, features, padding_idx=PADDING)

    def reset_parameters(self) -> None:
        """Keras's initial values, drawn anew from torch's generator."""
        nn.init.uniform_(self.weight, -0.05, 0.05)
        with torch.no_grad():
            self.weight[PADDING] = 0
