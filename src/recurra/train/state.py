"""The state of a training besides its weights: epoch records, early stopping, position in the data."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from recurra.errors import ConfigError
from recurra.files import replacing

__all__ = ["EarlyStopping", "EpochRecord", "TrainState", "write_history"]

# the fields of TrainState and of EarlyStopping that a checkpoint has
_COUNTS = ("epoch", "batch", "step", "loss_sum", "examples", "tokens", "seconds")
_BEST = ("best_epoch", "best_value", "waited")


@dataclass(frozen=True)
class EpochRecord:
    """The results of one epoch: one row of ``history.csv``.

    Example:
        >>> EpochRecord(1, 10, 0.5, 0.001, 2.0, 800.0, {"valid_loss": 0.6}).row()["valid_loss"]
        0.6
    """

    epoch: int
    """Number of the epoch, from 1."""
    step: int
    """Number of batches trained so far, over all epochs."""
    train_loss: float
    """Mean loss of the training examples, computed during training (with dropout)."""
    learning_rate: float
    """Learning rate of the last step."""
    seconds: float
    """Time spent on training batches, without validation and checkpoints."""
    tokens_per_second: float
    """Tokens trained on per second of ``seconds``, padding not counted."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Validation metrics by name, each name prefixed with ``valid_``; empty without validation."""

    def row(self) -> dict[str, Any]:
        """Returns the record as a flat mapping, in the column order of ``history.csv``."""
        columns = asdict(self)
        del columns["metrics"]
        return {**columns, **self.metrics}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> EpochRecord:
        """Returns the record of which ``row`` is the ``row()``."""
        return cls(
            epoch=int(row["epoch"]),
            step=int(row["step"]),
            train_loss=float(row["train_loss"]),
            learning_rate=float(row["learning_rate"]),
            seconds=float(row["seconds"]),
            tokens_per_second=float(row["tokens_per_second"]),
            metrics={key: float(value) for key, value in row.items() if key.startswith("valid_")},
        )


def write_history(path: Path, history: Sequence[EpochRecord]) -> None:
    """Writes all records as CSV with a header, floats in full precision; the file is replaced atomically.

    Raises:
        OutputError: ``path`` can't be written.
    """
    rows = [record.row() for record in history]
    # A dict keeps the order of first appearance: a metric that appears only later gets the last column.
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns or list(EpochRecord(0, 0, 0, 0, 0, 0).row()))
        writer.writeheader()
        writer.writerows(rows)


@dataclass
class EarlyStopping:
    """Early stopping on one validation metric: a lower loss is better, or a higher value of other metrics.

    Example:
        >>> stopping = EarlyStopping("loss", patience=2)
        >>> [stopping.update(epoch, {"loss": loss}) for epoch, loss in enumerate([0.6, 0.5, 0.7, 0.5], 1)]
        [True, True, False, False]
        >>> stopping.best_epoch, stopping.exhausted
        (2, True)
    """

    monitor: str
    patience: int
    best_epoch: int | None = None
    """The epoch with the best value; None before the first validation."""
    best_value: float | None = None
    waited: int = 0
    """Epochs since the best one."""

    def update(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Records the validation metrics of an epoch. Returns whether the epoch is the best so far.

        An equal value is not an improvement, and neither is NaN.

        Raises:
            ConfigError: the monitored metric is not in ``metrics``.
        """
        if self.monitor not in metrics:
            raise ConfigError(
                f"validation computes no {self.monitor}",
                where="train.monitor",
                hint=f"choose one of {', '.join(sorted(metrics))}",
            )
        if self._is_better(metrics[self.monitor]):
            self.best_epoch, self.best_value, self.waited = epoch, metrics[self.monitor], 0
            return True
        self.waited += 1
        return False

    @property
    def exhausted(self) -> bool:
        """Whether ``patience`` epochs have passed without an improvement."""
        return self.waited >= self.patience

    def _is_better(self, value: float) -> bool:
        if value != value:  # NaN
            return False
        if self.best_value is None:
            return True
        return value < self.best_value if self.monitor == "loss" else value > self.best_value


@dataclass
class TrainState:
    """Position in the data, running sums of the current epoch, history, and the best weights so far."""

    stopping: EarlyStopping
    epoch: int = 1
    """The current epoch, from 1; the number of epochs plus 1 after the last one."""
    batch: int = 0
    """Number of finished batches of this epoch."""
    step: int = 0
    """Number of finished batches of all epochs."""
    loss_sum: float = 0.0
    """Sum of the loss over this epoch's examples."""
    examples: int = 0
    tokens: int = 0
    seconds: float = 0.0
    history: list[EpochRecord] = field(default_factory=list)
    best_weights: dict[str, Tensor] | None = None
    """On the CPU; None before the first validation."""

    def count(self, loss: float, examples: int, tokens: int, seconds: float) -> None:
        """Adds one trained batch to the sums."""
        self.batch += 1
        self.step += 1
        self.loss_sum += loss * examples
        self.examples += examples
        self.tokens += tokens
        self.seconds += seconds

    def end_epoch(self, learning_rate: float, metrics: Mapping[str, float]) -> EpochRecord:
        """Ends the epoch: appends its record to the history, resets the sums, and returns the record."""
        record = EpochRecord(
            epoch=self.epoch,
            step=self.step,
            train_loss=self.loss_sum / self.examples,
            learning_rate=learning_rate,
            seconds=self.seconds,
            tokens_per_second=self.tokens / max(self.seconds, 1e-9),
            metrics={f"valid_{name}": float(value) for name, value in metrics.items()},
        )
        self.history.append(record)
        self.epoch += 1
        self.batch = self.examples = self.tokens = 0
        self.loss_sum = self.seconds = 0.0
        return record

    @property
    def best_epoch(self) -> int:
        """The epoch of the best weights; without validation the last one trained, 0 if there is none."""
        if self.stopping.best_epoch is not None:
            return self.stopping.best_epoch
        return self.epoch if self.batch else self.epoch - 1

    def to_json(self) -> dict[str, Any]:
        """Returns everything but the weights as JSON values."""
        return {
            **{name: getattr(self, name) for name in _COUNTS},
            "history": [record.row() for record in self.history],
            **{name: getattr(self.stopping, name) for name in _BEST},
        }

    def load_json(self, saved: Mapping[str, Any]) -> None:
        """Restores what ``to_json`` returned."""
        for name in _COUNTS:
            setattr(self, name, saved[name])
        self.history = [EpochRecord.from_row(row) for row in saved["history"]]
        for name in _BEST:
            setattr(self.stopping, name, saved[name])
