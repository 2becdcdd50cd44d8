"""The reporter of estimators with ``verbose``: a bar or a line per epoch, in terminals and notebooks."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from html import escape
from typing import Any

from rich.console import Console

from recurra.errors import ConfigError
from recurra.tasks.reporter import Reporter
from recurra.train.observer import Observer
from recurra.train.progress import ProgressObserver, epoch_line
from recurra.train.state import EpochRecord

__all__ = ["VERBOSE", "NotebookObserver", "VerboseReporter", "reporter_of"]

VERBOSE = {
    "meaning": "What ``fit`` prints: 0 nothing, 1 a progress bar and a line per epoch, 2 the lines only"
}
"""Metadata of the parameter ``verbose``."""
_WIDTH = 110


class LineObserver(Observer):
    """Prints one line per epoch.

    Args:
        write: receives each line.
    """

    def __init__(self, write: Callable[[str], None] = print) -> None:
        self.write = write

    def on_start(self, total_epochs: int, batches_per_epoch: int, resumed_from: int | None) -> None:
        """Keeps the number of epochs."""
        self._epochs = total_epochs

    def on_epoch(self, record: EpochRecord, improved: bool) -> None:
        """Prints the line of the epoch."""
        self.write(epoch_line(record, self._epochs, improved, _WIDTH))


class NotebookObserver(Observer):
    """Shows a progress bar of the current epoch and the lines of the finished ones as HTML.

    Args:
        show: displays HTML in place of what it displayed before.
    """

    def __init__(self, show: Callable[[str], None]) -> None:
        self.show = show

    def on_start(self, total_epochs: int, batches_per_epoch: int, resumed_from: int | None) -> None:
        """Shows an empty bar."""
        self._epochs, self._batches, self._lines = total_epochs, batches_per_epoch, [""]
        self._every = max(1, batches_per_epoch // 50)

    def on_batch(self, epoch: int, batch: int, loss: float, tokens: int, seconds: float) -> None:
        """Updates the bar, some 50 times per epoch."""
        if batch % self._every == 0:
            bar = f'<progress max="{self._batches}" value="{batch}"></progress>'
            self._draw(f"epoch {epoch}/{self._epochs} {bar} loss {loss:.4f}")

    def on_epoch(self, record: EpochRecord, improved: bool) -> None:
        """Adds the line of the epoch."""
        self._lines.append(escape(epoch_line(record, self._epochs, improved, _WIDTH)))
        self._draw("")

    def _draw(self, last: str) -> None:
        self.show("<pre>" + "\n".join([*self._lines[1:], last]) + "</pre>")


class VerboseReporter(Reporter):
    """Shows the progress of training.

    Args:
        verbose: 1 for a bar and a line per epoch, 2 for the lines only.
    """

    def __init__(self, verbose: int) -> None:
        self.verbose = verbose

    def warn(self, text: str) -> None:
        """Prints a warning to stderr."""
        sys.stderr.write(f"! {text}\n")

    def observer(self) -> Observer:
        """Returns the observer of the training loop."""
        if self.verbose == 2:
            return LineObserver()
        console = Console(highlight=False)
        return NotebookObserver(_notebook_display()) if console.is_jupyter else ProgressObserver(console)


def reporter_of(verbose: Any) -> Reporter:
    """Returns the reporter of a value of ``verbose``.

    Raises:
        ConfigError: it is not 0, 1 or 2.
    """
    if verbose not in (0, 1, 2):
        raise ConfigError(f"{verbose!r} is not 0, 1 or 2", where="parameter verbose")
    return VerboseReporter(int(verbose)) if verbose else Reporter()


def _notebook_display() -> Callable[[str], None]:
    """Returns a function that displays HTML in the notebook's cell, each time in place of the last."""
    display = importlib.import_module("IPython.display")  # a notebook's kernel has it
    handle = display.display(display.HTML(""), display_id=True)
    return lambda html: handle.update(display.HTML(html))
