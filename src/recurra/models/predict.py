"""Logits of many texts, batch by batch, put back in the order of the examples."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["predict_logits"]


class _Batch(Protocol):
    @property
    def tokens(self) -> Tensor: ...
    @property
    def lengths(self) -> Tensor: ...
    @property
    def rows(self) -> NDArray[Any]: ...


class _Batches(Protocol):
    def epoch(self, epoch: int, start: int = 0, /) -> Iterator[_Batch]: ...


def predict_logits(model: nn.Module, batches: _Batches) -> NDArray[np.float32]:
    """``(N, C)`` logits of all examples of one epoch, by ascending example row.

    Dropout is off while it runs; the model's mode is left as it was.
    """
    parameter = next(model.parameters(), None)
    device = torch.device("cpu") if parameter is None else parameter.device
    was_training = model.training
    model.eval()
    rows, logits = [], []
    try:
        with torch.inference_mode():
            for batch in batches.epoch(0):
                found = model(batch.tokens.to(device), batch.lengths.to(device))
                logits.append(found.float().cpu().numpy())
                rows.append(np.asarray(batch.rows))
    finally:
        model.train(was_training)
    if not rows:
        return np.zeros((0, 1), dtype=np.float32)
    order = np.argsort(np.concatenate(rows), kind="stable")
    result: NDArray[np.float32] = np.concatenate(logits)[order]
    return result
