"""Dropout masks of a sequence: drawn once, the same at every step (Gal & Ghahramani 2016)."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["sequence_mask"]


def sequence_mask(B: int, features: int, share: float, *, like: Tensor) -> Tensor:
    """``(B, features)`` zero with probability ``share``, else ``1 / (1 - share)``; from torch's generator."""
    keep = 1.0 - share
    return torch.bernoulli(like.new_full((B, features), keep)).div_(keep)
