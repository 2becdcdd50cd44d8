"""Windows of a series to batches: gathered from one array when they are asked for, never all at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["WindowBatch", "Windows"]


@dataclass(frozen=True)
class WindowBatch:
    """Windows of equal length.

    Attributes:
        inputs: ``(B, T, E)`` float32.
        present: ``(B, E)`` float32, the newest row as it is.
        last: ``(B,)`` float32, the last known target, in deviations from the training mean.
        targets: ``(B, K)`` float32, the values to forecast, likewise.
    """

    inputs: torch.Tensor
    present: torch.Tensor
    last: torch.Tensor
    targets: torch.Tensor

    @property
    def size(self) -> int:
        """``B``: the loss is a mean over windows."""
        return len(self.inputs)

    @property
    def steps(self) -> int:
        """Time steps read, ``B * T``."""
        return self.inputs.shape[0] * self.inputs.shape[1]


class Windows:
    """Windows of one series, each once an epoch, in batches of ``batch_size`` (the last may be smaller).

    The window at row ``t`` reads the rows ``t + behind`` and forecasts the rows ``t + ahead``. Shuffled, the
    order depends on ``seed`` and the epoch alone; else it is that of ``rows``.

    Args:
        inputs: ``(M, E)`` float32, all rows.
        targets: ``(M,)`` float32, the target in deviations.
        last: ``(M,)`` float32, the last known target up to each row.
        rows: ``(N,)`` int64, the present row of each window.
        behind: ``(T,)`` int64 of 0 and below, in the order in which points are read.
        ahead: ``(K,)`` int64 above 0.
        batch_size: ``B``.
        relative: the first so many inputs are read as what they differ from those of the present row.
        shuffle: for training.
        seed: of the order.

    Raises:
        ValueError: a window would read or forecast a row that isn't there.

    Example:
        >>> x = np.arange(10, dtype=np.float32)
        >>> found = Windows(x[:, None], x, x, np.array([4, 5]), np.array([-4, -2, 0]), np.array([3]), 2)
        >>> batch = next(found.epoch(1))
        >>> batch.inputs[:, :, 0].tolist(), batch.targets.tolist()
        ([[0.0, 2.0, 4.0], [1.0, 3.0, 5.0]], [[7.0], [8.0]])
    """

    def __init__(
        self,
        inputs: NDArray[np.float32],
        targets: NDArray[np.float32],
        last: NDArray[np.float32],
        rows: NDArray[np.int64],
        behind: NDArray[np.int64],
        ahead: NDArray[np.int64],
        batch_size: int,
        *,
        relative: int = 0,
        shuffle: bool = False,
        seed: int = 0,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size {batch_size} must be 1 or more")
        if len(rows) and not (rows.min() + behind.min() >= 0 and rows.max() < len(inputs)):
            raise ValueError("a window begins before the first row or ends after the last")
        self.inputs = inputs
        self.targets = targets
        self.last = last
        self.rows = rows
        self.behind = behind
        self.ahead = ahead
        self.batch_size = batch_size
        self.relative = relative
        self.shuffle = shuffle
        self.seed = seed

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[WindowBatch]:
        """The batches of one epoch from batch ``start`` on.

        ``list(epoch(e, k))`` equals ``list(epoch(e))[k:]``.
        """
        if start < 0:
            raise ValueError(f"start {start} is negative")
        order = self.rows
        if self.shuffle:
            order = np.random.default_rng([self.seed, epoch]).permutation(order)
        size = self.batch_size
        return (self._gather(order[at : at + size]) for at in range(start * size, len(order), size))

    def truth(self) -> NDArray[np.float32]:
        """``(N, K)`` the targets of all windows, in the order of ``rows``; NaN past the last row."""
        return self._targets(self.rows)

    def _gather(self, rows: NDArray[np.int64]) -> WindowBatch:
        inputs = self.inputs[rows[:, None] + self.behind]
        present = self.inputs[rows]
        inputs[:, :, : self.relative] -= present[:, None, : self.relative]
        return WindowBatch(
            inputs=torch.from_numpy(inputs),
            present=torch.from_numpy(present),
            last=torch.from_numpy(self.last[rows]),
            targets=torch.from_numpy(self._targets(rows)),
        )

    def _targets(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        places = rows[:, None] + self.ahead
        # A window at the end of a file is there to be forecast: what comes after is not known yet.
        known = np.minimum(places, len(self.targets) - 1)
        return np.where(places < len(self.targets), self.targets[known], np.float32("nan"))
