"""TensorBoard logs: the loss of every batch and the figures of every epoch, by step."""

from __future__ import annotations

from pathlib import Path

from recurra.errors import DependencyError, OutputError
from recurra.train.history import EpochRecord
from recurra.train.observer import Observer

__all__ = ["TensorBoardLog"]


class TensorBoardLog(Observer):
    """An observer that writes scalars for TensorBoard.

    Args:
        folder: where the event files go.
        steps_done: steps made before; what an interrupted run logged after them is hidden.

    Raises:
        DependencyError: TensorBoard is not installed.
        OutputError: the folder can't be written.
    """

    def __init__(self, folder: Path, steps_done: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise DependencyError(
                "TensorBoard is not installed",
                where="train.tensorboard",
                hint="pip install 'recurra[tensorboard]', or leave the setting off",
            ) from error
        try:
            self._writer = SummaryWriter(str(folder), purge_step=steps_done + 1)
        except OSError as error:
            raise OutputError(f"can't be written ({error.strerror or error})", where=folder) from error
        self._step = steps_done

    def on_start(self, total_epochs: int, batches_per_epoch: int, resumed_from: int | None) -> None:
        """Nothing to log yet."""

    def on_batch(self, epoch: int, batch: int, loss: float, tokens: int, seconds: float) -> None:
        """Logs the loss of the batch as ``batch/loss``."""
        self._step += 1
        self._writer.add_scalar("batch/loss", loss, self._step)

    def on_epoch(self, record: EpochRecord, improved: bool) -> None:
        """Logs every figure of the record as ``epoch/NAME``."""
        for name, value in record.row().items():
            if name not in ("epoch", "step"):
                self._writer.add_scalar(f"epoch/{name}", value, record.step)
        self._writer.flush()

    def on_end(self) -> None:
        """Closes the files."""
        self._writer.close()
