"""Observers of the training loop: the base class, several observers as one, and a TensorBoard log."""

from __future__ import annotations

from pathlib import Path

from recurra.errors import DependencyError, OutputError
from recurra.train.state import EpochRecord

__all__ = ["Observer", "Observers", "TensorBoardLog"]


class Observer:
    """Receives the events of the training loop; every method does nothing, for subclasses to override."""

    def on_start(self, total_epochs: int, batches_per_epoch: int, resumed_from: int | None) -> None:
        """Called before the first batch; ``resumed_from`` is the step of the checkpoint, None without one."""

    def on_batch(self, epoch: int, batch: int, loss: float, tokens: int, seconds: float) -> None:
        """Called after batch ``batch`` (from 1) of ``epoch`` (from 1), which took ``seconds``."""

    def on_epoch(self, record: EpochRecord, improved: bool) -> None:
        """Called after an epoch and its validation; ``improved`` says whether it is the best so far."""

    def on_checkpoint(self) -> None:
        """Called after a checkpoint was written."""

    def on_end(self) -> None:
        """Called when training ends, also if it ends with an exception."""


class Observers(Observer):
    """Passes every event to several observers, in order."""

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers

    def on_start(self, total_epochs: int, batches_per_epoch: int, resumed_from: int | None) -> None:
        """Calls ``on_start`` of each observer."""
        for observer in self.observers:
            observer.on_start(total_epochs, batches_per_epoch, resumed_from)

    def on_batch(self, epoch: int, batch: int, loss: float, tokens: int, seconds: float) -> None:
        """Calls ``on_batch`` of each observer."""
        for observer in self.observers:
            observer.on_batch(epoch, batch, loss, tokens, seconds)

    def on_epoch(self, record: EpochRecord, improved: bool) -> None:
        """Calls ``on_epoch`` of each observer."""
        for observer in self.observers:
            observer.on_epoch(record, improved)

    def on_checkpoint(self) -> None:
        """Calls ``on_checkpoint`` of each observer."""
        for observer in self.observers:
            observer.on_checkpoint()

    def on_end(self) -> None:
        """Calls ``on_end`` of each observer."""
        for observer in self.observers:
            observer.on_end()


class TensorBoardLog(Observer):
    """Writes the loss of every batch and the metrics of every epoch as TensorBoard scalars.

    Args:
        folder: the directory of the event files.
        steps_done: number of steps before this run; events that an interrupted run logged after them are
            hidden.

    Raises:
        DependencyError: TensorBoard is not installed.
        OutputError: ``folder`` can't be written.
    """

    def __init__(self, folder: Path, steps_done: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter  # slow to import, and optional
        except ImportError as error:
            raise DependencyError(
                "TensorBoard is not installed",
                where="train.tensorboard",
                hint="pip install 'recurra[tensorboard]', or set train.tensorboard=false",
            ) from error
        try:
            self._writer = SummaryWriter(str(folder), purge_step=steps_done + 1)
        except OSError as error:
            raise OutputError(f"can't be written ({error.strerror or error})", where=folder) from error
        self._step = steps_done

    def on_batch(self, epoch: int, batch: int, loss: float, tokens: int, seconds: float) -> None:
        """Logs the loss of the batch as ``batch/loss``."""
        self._step += 1
        self._writer.add_scalar("batch/loss", loss, self._step)

    def on_epoch(self, record: EpochRecord, improved: bool) -> None:
        """Logs every number of the record as ``epoch/NAME``."""
        for name, value in record.row().items():
            if name not in ("epoch", "step"):
                self._writer.add_scalar(f"epoch/{name}", value, record.step)
        self._writer.flush()

    def on_end(self) -> None:
        """Closes the event files."""
        self._writer.close()
