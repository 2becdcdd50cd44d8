"""Who watches training: a progress bar, a log. The loop tells, an observer shows; it changes nothing."""

from __future__ import annotations

from recurra.train.history import EpochRecord

__all__ = ["Observer", "Observers"]


class Observer:
    """Receives the events of a training loop; every method does nothing, for subclasses to override."""

    def on_start(self, total_epochs: int, batches_per_epoch: int, resumed_from: int | None) -> None:
        """Training begins; ``resumed_from`` is the number of steps a checkpoint had already done."""

    def on_batch(self, epoch: int, batch: int, loss: float, tokens: int, seconds: float) -> None:
        """Batch number ``batch`` (from 1) of ``epoch`` (from 1) is done, in ``seconds``."""

    def on_epoch(self, record: EpochRecord, improved: bool) -> None:
        """An epoch and its validation are done; ``improved``: it is the best so far."""

    def on_end(self) -> None:
        """Training is over, for whatever reason, an exception included."""


class Observers(Observer):
    """Several observers as one, told in order."""

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers

    def on_start(self, total_epochs: int, batches_per_epoch: int, resumed_from: int | None) -> None:
        """Tells each."""
        for observer in self.observers:
            observer.on_start(total_epochs, batches_per_epoch, resumed_from)

    def on_batch(self, epoch: int, batch: int, loss: float, tokens: int, seconds: float) -> None:
        """Tells each."""
        for observer in self.observers:
            observer.on_batch(epoch, batch, loss, tokens, seconds)

    def on_epoch(self, record: EpochRecord, improved: bool) -> None:
        """Tells each."""
        for observer in self.observers:
            observer.on_epoch(record, improved)

    def on_end(self) -> None:
        """Tells each."""
        for observer in self.observers:
            observer.on_end()
