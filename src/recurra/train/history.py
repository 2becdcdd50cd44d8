"""What each epoch gave: one record an epoch, kept as ``history.csv``."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recurra.files import replacing

__all__ = ["EpochRecord", "write_history"]


@dataclass(frozen=True)
class EpochRecord:
    """One epoch.

    Example:
        >>> EpochRecord(1, 10, 0.5, 0.001, 2.0, 800.0, {"valid_loss": 0.6}).row()["valid_loss"]
        0.6
    """

    epoch: int
    """Number of the epoch, from 1."""
    step: int
    """Batches trained so far, over all epochs."""
    train_loss: float
    """Mean loss of the training examples while they were trained on (dropout on)."""
    learning_rate: float
    """The rate of the last step."""
    seconds: float
    """Time spent on training batches, without validation and checkpoints."""
    tokens_per_second: float
    """True tokens (no padding) trained on, per second of ``seconds``."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """What validation gave, by name with ``valid_`` in front; empty without validation."""

    def row(self) -> dict[str, Any]:
        """The record as one flat mapping, in the order of the columns of ``history.csv``."""
        return {
            "epoch": self.epoch,
            "step": self.step,
            "train_loss": self.train_loss,
            "learning_rate": self.learning_rate,
            "seconds": self.seconds,
            "tokens_per_second": self.tokens_per_second,
            **self.figures,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> EpochRecord:
        """The record that ``row()`` came from."""
        figures = {key: float(value) for key, value in row.items() if key.startswith("valid_")}
        return cls(
            epoch=int(row["epoch"]),
            step=int(row["step"]),
            train_loss=float(row["train_loss"]),
            learning_rate=float(row["learning_rate"]),
            seconds=float(row["seconds"]),
            tokens_per_second=float(row["tokens_per_second"]),
            figures=figures,
        )


def write_history(path: Path, history: Sequence[EpochRecord]) -> None:
    """Writes all records as CSV with a header, floats in full precision; the file is replaced atomically.

    Raises:
        OutputError: the place can't be written.
    """
    rows = [record.row() for record in history]
    # A dict keeps the order of first appearance: a figure that comes up late gets a column at the end.
    columns = list(dict.fromkeys(key for row in rows for key in row))
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns or list(EpochRecord(0, 0, 0, 0, 0, 0).row()))
        writer.writeheader()
        writer.writerows(rows)
