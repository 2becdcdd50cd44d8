"""Where training stands: everything besides weights that the next step depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from recurra.train.history import EpochRecord
from recurra.train.stopping import Stopping

__all__ = ["TrainState"]


@dataclass
class TrainState:
    """Position, running sums of the present epoch, history, and the best weights so far."""

    stopping: Stopping
    epoch: int = 1
    """The epoch being trained, from 1; past the last one when training is over."""
    batch: int = 0
    """Batches of this epoch that are done."""
    step: int = 0
    """Batches of all epochs that are done."""
    loss_sum: float = 0.0
    """Loss of this epoch's examples, summed over examples."""
    examples: int = 0
    tokens: int = 0
    seconds: float = 0.0
    history: list[EpochRecord] = field(default_factory=list)
    best_weights: dict[str, Tensor] | None = None
    """On the CPU; None before the first validation."""

    def count(self, loss: float, examples: int, tokens: int, seconds: float) -> None:
        """Adds one trained batch."""
        self.batch += 1
        self.step += 1
        self.loss_sum += loss * examples
        self.examples += examples
        self.tokens += tokens
        self.seconds += seconds

    def end_epoch(self, learning_rate: float, figures: Mapping[str, float]) -> EpochRecord:
        """Closes the epoch: its record joins the history, the sums begin anew."""
        record = EpochRecord(
            epoch=self.epoch,
            step=self.step,
            train_loss=self.loss_sum / self.examples,
            learning_rate=learning_rate,
            seconds=self.seconds,
            tokens_per_second=self.tokens / max(self.seconds, 1e-9),
            figures={f"valid_{name}": float(value) for name, value in figures.items()},
        )
        self.history.append(record)
        self.epoch += 1
        self.batch = self.examples = self.tokens = 0
        self.loss_sum = self.seconds = 0.0
        return record

    @property
    def best_epoch(self) -> int:
        """The epoch of the best weights; without validation the last one trained on, 0 before any."""
        if self.stopping.best_epoch is not None:
            return self.stopping.best_epoch
        return self.epoch if self.batch else self.epoch - 1

    def to_json(self) -> dict[str, Any]:
        """All but the weights, as JSON can hold it."""
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "step": self.step,
            "loss_sum": self.loss_sum,
            "examples": self.examples,
            "tokens": self.tokens,
            "seconds": self.seconds,
            "history": [record.row() for record in self.history],
            "best_epoch": self.stopping.best_epoch,
            "best_value": self.stopping.best_value,
            "waited": self.stopping.waited,
        }

    def load_json(self, saved: Mapping[str, Any]) -> None:
        """Takes over what ``to_json`` gave."""
        for name in ("epoch", "batch", "step", "loss_sum", "examples", "tokens", "seconds"):
            setattr(self, name, saved[name])
        self.history = [EpochRecord.from_row(row) for row in saved["history"]]
        self.stopping.best_epoch = saved["best_epoch"]
        self.stopping.best_value = saved["best_value"]
        self.stopping.waited = saved["waited"]
