"""Logits of many texts, batch by batch, put back in the order of the rows asked for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import nn

from recurra.io.batcher import Batches
from recurra.layers.network import measuring

__all__ = ["predict_logits"]


def predict_logits(model: nn.Module, batches: Batches) -> NDArray[np.float32]:
    """``(N, C)`` logits of one epoch; row ``i`` is that of example ``batches.rows[i]``.

    Dropout is off while it runs; the model's mode is left as it was. Without rows the result is ``(0, 0)``.
    """
    rows: list[NDArray[np.int64]] = []
    logits: list[NDArray[np.float32]] = []
    with measuring(model) as device:
        for batch in batches.epoch(0):
            found = model(batch.tokens.to(device), batch.lengths.to(device))
            logits.append(found.float().cpu().numpy())
            rows.append(batch.rows)
    if not rows:
        return np.zeros((0, 0), dtype=np.float32)
    found_rows, found_logits = np.concatenate(rows), np.concatenate(logits)
    ordered = np.empty_like(found_logits)
    # both sorted by row: the k-th smallest row found is the k-th smallest row asked for
    ordered[np.argsort(batches.rows, kind="stable")] = found_logits[np.argsort(found_rows, kind="stable")]
    return ordered
