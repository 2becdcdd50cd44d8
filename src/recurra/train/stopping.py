"""When to stop: the best epoch so far by one figure, and how long ago it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recurra.errors import ConfigError

__all__ = ["Stopping"]


@dataclass
class Stopping:
    """Early stopping on one validation figure: the loss should fall, every other figure should rise.

    Example:
        >>> stopping = Stopping("loss", patience=2)
        >>> [stopping.update(epoch, {"loss": loss}) for epoch, loss in enumerate([0.6, 0.5, 0.7, 0.5], 1)]
        [True, True, False, False]
        >>> stopping.best_epoch, stopping.exhausted
        (2, True)
    """

    monitor: str
    patience: int
    best_epoch: int | None = None
    """The epoch with the best figure; None before the first validation."""
    best_value: float | None = None
    waited: int = 0
    """Epochs since the best one."""

    def update(self, epoch: int, figures: Mapping[str, float]) -> bool:
        """Takes an epoch's validation figures and says whether it is the best so far.

        A tie is no improvement, nor is a figure that is not a number.

        Raises:
            ConfigError: the monitored figure is not among those that validation gives.
        """
        if self.monitor not in figures:
            raise ConfigError(
                f"validation gives no {self.monitor}",
                where="train.monitor",
                hint=f"choose one of {', '.join(sorted(figures))}",
            )
        if self._better(figures[self.monitor]):
            self.best_epoch, self.best_value, self.waited = epoch, figures[self.monitor], 0
            return True
        self.waited += 1
        return False

    @property
    def exhausted(self) -> bool:
        """Whether ``patience`` epochs have gone by without an improvement."""
        return self.waited >= self.patience

    def _better(self, value: float) -> bool:
        if value != value:  # not a number
            return False
        if self.best_value is None:
            return True
        return value < self.best_value if self.monitor == "loss" else value > self.best_value
