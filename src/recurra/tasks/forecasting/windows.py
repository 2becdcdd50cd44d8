"""Batches of windows of a series, gathered from one array batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["WindowBatch", "Windows"]


@dataclass(frozen=True)
class WindowBatch:
    """Windows of equal length.

    Attributes:
        inputs: inputs of shape (B, T, E), float32.
        present: the newest row, unchanged, of shape (B, E), float32.
        last: the last known target in standard deviations from the training mean, of shape (B,), float32.
        targets: the values to forecast, in the same unit, of shape (B, K), float32.
    """

    inputs: torch.Tensor
    present: torch.Tensor
    last: torch.Tensor
    targets: torch.Tensor

    @property
    def size(self) -> int:
        """Number of windows, ``B``, over which the loss is averaged."""
        return len(self.inputs)

    @property
    def steps(self) -> int:
        """Number of time steps, ``B * T``."""
        return self.inputs.shape[0] * self.inputs.shape[1]

    def part(self, number: int, parts: int) -> WindowBatch:
        """Returns one of several parts with about the same number of windows."""
        rows = slice(number * self.size // parts, (number + 1) * self.size // parts)
        return WindowBatch(self.inputs[rows], self.present[rows], self.last[rows], self.targets[rows])


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of one series, each once per epoch, in batches of ``batch_size`` (the last may be smaller).

    The window at row ``t`` has the input rows ``t + behind`` and the target rows ``t + ahead``. If shuffled,
    the order depends on ``seed`` and the epoch only; otherwise it is that of ``rows``.

    Attributes:
        inputs: all rows, of shape (M, E), float32.
        targets: the target in standard deviations, of shape (M,), float32.
        last: the last known target up to each row, of shape (M,), float32.
        rows: current row of each window, of shape (N,), int64.
        behind: offsets of the input rows, at most 0, in processing order, of shape (T,), int64.
        ahead: offsets of the target rows, above 0, of shape (K,), int64.
        batch_size: ``B``.
        relative: number of first inputs from which the value of the current row is subtracted.
        shuffle: whether to shuffle, for training.
        seed: seed of the order.

    Raises:
        ValueError: a window needs input rows outside the series.

    Example:
        >>> x = np.arange(10, dtype=np.float32)
        >>> windows = Windows(x[:, None], x, x, np.array([4, 5]), np.array([-4, -2, 0]), np.array([3]), 2)
        >>> batch = next(windows.epoch(1))
        >>> batch.inputs[:, :, 0].tolist(), batch.targets.tolist()
        ([[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]], [[7.0], [8.0]])
    """

    inputs: NDArray[np.float32]
    targets: NDArray[np.float32]
    last: NDArray[np.float32]
    rows: NDArray[np.int64]
    behind: NDArray[np.int64]
    ahead: NDArray[np.int64]
    batch_size: int
    _: KW_ONLY
    relative: int = 0
    shuffle: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"batch_size {self.batch_size} must be 1 or more")
        rows = self.rows
        if len(rows) and not (rows.min() + self.behind.min() >= 0 and rows.max() < len(self.inputs)):
            raise ValueError("a window starts before the first row or ends after the last")

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[WindowBatch]:
        """Yields the batches of an epoch from batch ``start`` on.

        ``list(epoch(e, k))`` equals ``list(epoch(e))[k:]``.
        """
        if start < 0:
            raise ValueError(f"start {start} is negative")
        order = self.rows
        if self.shuffle:
            order = np.random.default_rng([self.seed, epoch]).permutation(order)
        size = self.batch_size
        return (self._gather(order[at : at + size]) for at in range(start * size, len(order), size))

    def truth(self, rows: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Returns the targets (N, K) of the windows at ``rows`` (by default all); NaN after the last row."""
        positions = (self.rows if rows is None else rows)[:, None] + self.ahead
        known = np.minimum(positions, len(self.targets) - 1)
        return np.where(positions < len(self.targets), self.targets[known], np.float32("nan"))

    def _gather(self, rows: NDArray[np.int64]) -> WindowBatch:
        inputs = self.inputs[rows[:, None] + self.behind]
        present = self.inputs[rows]
        inputs[:, :, : self.relative] -= present[:, None, : self.relative]
        return WindowBatch(
            inputs=torch.from_numpy(inputs),
            present=torch.from_numpy(present),
            last=torch.from_numpy(self.last[rows]),
            targets=torch.from_numpy(self.truth(rows)),
        )
