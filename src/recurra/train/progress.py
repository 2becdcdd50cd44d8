"""Progress of training: a bar for the current epoch on a terminal, and one line for each finished epoch."""

from __future__ import annotations

import math
import time

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from recurra.train.observer import Observer
from recurra.train.state import EpochRecord

__all__ = ["ProgressObserver", "epoch_line", "time_text"]

_REDRAW_SECONDS = 0.1
_BAR_CELLS = 6
"""Minimum width of the bar on a narrow terminal."""
_PLAIN_SECONDS = 30.0
"""If the output is not a terminal: minimum seconds between two lines within an epoch."""


class ProgressObserver(Observer):
    """Shows the epoch, the loss, tokens per second and the time left.

    Args:
        console: the console to print to; lines are cut to its width, never wrapped.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar: Progress | None = None

    def on_start(self, total_epochs: int, batches_per_epoch: int, resumed_from: int | None) -> None:
        """Shows an empty bar, and the step that training resumes from."""
        self._epochs, self._batches = total_epochs, batches_per_epoch
        self._started = self._shown = self._printed = time.monotonic()
        self._batches_seen = 0
        self._begin_epoch()
        if resumed_from is not None:
            self._print(Text(f"resumed after step {resumed_from:,}", style="dim"))
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                TextColumn("{task.fields[metrics]}"),
                console=self.console,
                transient=True,
                expand=True,
            )
            self._bar.add_task("", total=batches_per_epoch, metrics="")
            self._bar.start()

    def on_batch(self, epoch: int, batch: int, loss: float, tokens: int, seconds: float) -> None:
        """Updates the bar, at most ten times a second; the loss shown is the mean over the epoch so far."""
        self._batches_seen += 1
        self._epoch_seen += 1
        self._loss += loss
        self._tokens += tokens
        self._seconds += seconds
        now = time.monotonic()
        if batch < self._batches and now - self._shown < _REDRAW_SECONDS:
            return
        self._shown = now
        batches_left = (self._epochs - epoch + 1) * self._batches - batch
        left = batches_left * (now - self._started) / self._batches_seen
        mean = self._loss / self._epoch_seen
        rate = f"{_count(self._tokens / max(self._seconds, 1e-9))} tok/s"
        description = f"epoch {epoch}/{self._epochs}"
        parts = [(0, f"loss {mean:.4f}"), (2, rate), (1, f"{time_text(left)} left")]
        if batch == self._batches:
            parts = [(0, f"loss {mean:.4f}"), (1, "validating")]
        if self._bar is not None:
            metrics = _fit(parts, self.console.width - len(description) - _BAR_CELLS - 2)
            self._bar.update(self._bar.task_ids[0], completed=batch, description=description, metrics=metrics)
        elif now - self._printed >= _PLAIN_SECONDS and batch < self._batches:
            self._printed = now
            position = [(0, description), (0, f"{100 * batch // self._batches}%")]
            self._print(Text(_fit([*position, *parts], self.console.width)))

    def on_epoch(self, record: EpochRecord, improved: bool) -> None:
        """Prints the line of the epoch, in bold if it is the best so far."""
        self._printed = time.monotonic()
        line = epoch_line(record, self._epochs, improved, self.console.width)
        self._print(Text(line, style="bold" if improved else ""))
        self._begin_epoch()
        if self._bar is not None and record.epoch < self._epochs:
            description = f"epoch {record.epoch + 1}/{self._epochs}"
            self._bar.reset(self._bar.task_ids[0], description=description, metrics="")

    def on_end(self) -> None:
        """Removes the bar."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _begin_epoch(self) -> None:
        self._loss = self._seconds = 0.0
        self._tokens = self._epoch_seen = 0

    def _print(self, text: Text) -> None:
        # soft_wrap: lines are already cut to the width; rich must not wrap them.
        self.console.print(text, soft_wrap=True, highlight=False)


def epoch_line(record: EpochRecord, total_epochs: int, improved: bool, width: int) -> str:
    """Returns one line of at most ``width`` characters for an epoch; the least important parts are omitted.

    Example:
        >>> metrics = {"valid_loss": 0.3, "valid_accuracy": 0.9}
        >>> record = EpochRecord(2, 80, 0.25, 0.001, 61.0, 81_234.0, metrics)
        >>> epoch_line(record, 10, True, 80)
        'epoch  2/10  loss 0.2500  valid loss 0.3000  accuracy 0.9000  1:01  best'
        >>> epoch_line(record, 10, True, 40)
        'epoch  2/10  valid loss 0.3000  best'
    """
    parts = [
        (0, f"epoch {record.epoch:>{len(str(total_epochs))}}/{total_epochs}"),
        (4, f"loss {record.train_loss:.4f}"),
    ]
    for name, value in record.metrics.items():
        name = name.removeprefix("valid_")
        shown = f"{name.replace('_', ' ')} {value:.4f}"
        rank = {"loss": 1, "accuracy": 3}.get(name, 6)
        parts.append((rank, f"valid {shown}" if name == "loss" else shown))
    parts.append((5, time_text(record.seconds)))
    if improved:
        parts.append((2, "best"))
    return _fit(parts, width)


def time_text(seconds: float) -> str:
    """Formats a duration as ``0:07``, ``12:34`` or ``1:02:03``.

    Example:
        >>> time_text(7.4), time_text(3723)
        ('0:07', '1:02:03')
    """
    if not math.isfinite(seconds):
        return "?"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _count(number: float) -> str:
    """Formats a number with two or three digits: 950, 8.1k, 81k, 1.2M."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.{1 if number < 10 * size else 0}f}{letter}"
    return f"{number:.0f}"


def _fit(parts: list[tuple[int, str]], width: int) -> str:
    """Joins the parts in order, omitting those of the highest rank until the line fits into ``width``."""
    parts = list(parts)
    while len(parts) > 1 and sum(len(text) + 2 for _, text in parts) - 2 > width:
        # The last part among those of the highest rank.
        parts.pop(max(range(len(parts)), key=lambda index: (parts[index][0], index)))
    return "  ".join(text for _, text in parts)[: max(0, width)]
