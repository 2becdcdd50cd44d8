"""Test doubles for batches and models, so that these tests exercise the training loop only.

The task is to classify whether a text has more even tokens than odd ones. The model has dropout, so that a
resumed run shows whether the random state was restored.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from recurra.config import TrainConfig
from recurra.layers import Dropout
from recurra.train.objective import supervised


class StandInBatch(NamedTuple):
    tokens: Tensor
    lengths: Tensor
    labels: Tensor | None
    rows: np.ndarray
    weights: Tensor | None = None

    @property
    def size(self) -> int:
        return len(self.rows)

    @property
    def steps(self) -> int:
        return int(self.lengths.sum())


class StandInBatches:
    def __init__(self, examples: int = 60, batch_size: int = 8, seed: int = 0, labelled: bool = True) -> None:
        rng = np.random.default_rng(5)
        self.lengths = rng.integers(1, 9, examples)
        self.tokens = rng.integers(1, 20, (examples, 8)) * (np.arange(8) < self.lengths[:, None])
        even = ((self.tokens % 2 == 0) & (self.tokens > 0)).sum(1)
        self.labels = (2 * even > self.lengths).astype(np.int64)
        self.batch_size, self.seed, self.labelled = batch_size, seed, labelled
        self.read: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[StandInBatch]:
        order = np.random.default_rng([self.seed, epoch]).permutation(len(self.lengths))
        for index in range(start, len(self)):
            self.read.append((epoch, index))
            rows = order[index * self.batch_size : (index + 1) * self.batch_size]
            width = int(self.lengths[rows].max())
            yield StandInBatch(
                torch.from_numpy(self.tokens[rows, :width]),
                torch.from_numpy(self.lengths[rows]),
                torch.from_numpy(self.labels[rows]) if self.labelled else None,
                rows,
            )


class TinyModel(nn.Module):
    def __init__(self, dropout: float = 0.3, sparse: bool = False) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 6, padding_idx=0, sparse=sparse)
        self.dropout = Dropout(dropout)
        self.head = nn.Linear(6, 1)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
        mean = self.embedding(tokens).sum(1) / lengths[:, None]
        return self.head(self.dropout(mean))


def make_model(seed: int = 3, *, sparse: bool = False) -> TinyModel:
    torch.manual_seed(seed)
    return TinyModel(sparse=sparse)


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    return nn.functional.binary_cross_entropy_with_logits(logits[:, 0], labels.float())


loss = supervised(cross_entropy)


def validate(model: nn.Module) -> Mapping[str, float]:
    held_out = StandInBatches(40, 40)
    (batch,) = held_out.epoch(0)
    logits = model(batch.tokens, batch.lengths)
    correct = (logits[:, 0] > 0) == (batch.labels == 1)
    return {"loss": cross_entropy(logits, batch.labels).item(), "accuracy": correct.float().mean().item()}


def no_validation(model: nn.Module) -> Mapping[str, float]:
    return {}


def make_config(**settings: Any) -> TrainConfig:
    return TrainConfig(**{"learning_rate": 0.05, "epochs": 4, "batch_size": 8, "patience": 50, **settings})
