"""How much an epoch of a text classifier computes: the products of its recurrent layers, at true tokens."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recurra.config import Config
from recurra.layers import Recurrent

__all__ = ["epoch_flops", "training_tokens"]


def training_tokens(ids: Path) -> int:
    """Tokens of all training texts, padding not counted.

    Args:
        ids: the ``.npz`` of `course_ids.py`.
    """
    with np.load(ids) as data:
        return int(data["training_offsets"][-1])


def epoch_flops(config: Config, tokens: int) -> int:
    """Multiplications and additions of forward and backward pass; backward has twice forward's.

    One product is counted for each token, also where a word occurs twice in a batch and one would do. Head,
    activations and optimizer are not counted: 1% of the LSTM of the course.
    """
    model = config.model
    layers = Recurrent(
        model.embedding, model.units, cell=model.cell, layers=model.layers, bidirectional=model.bidirectional
    )
    matrices = sum(value.numel() for name, value in layers.named_parameters() if name.startswith("weight"))
    return 3 * 2 * tokens * matrices
