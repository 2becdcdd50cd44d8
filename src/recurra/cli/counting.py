"""A bar on a terminal for a long step over rows, shown if the step lasts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from recurra.tasks.reporter import Tick

__all__ = ["counting"]

PATIENCE = 1.0
"""Seconds after which the bar is shown."""


class _Speed(ProgressColumn):
    """Rows per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} rows/s" if task.speed else "", style="progress.data.speed")


@contextmanager
def counting(console: Console, what: str, total: int | None) -> Iterator[Tick]:
    """Context whose value is called with the number of rows finished; the bar is removed at its end."""
    bar = Progress(
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    task = bar.add_task(what, total=total)
    began = time.monotonic()

    def tick(rows: int) -> None:
        bar.advance(task, rows)
        if not bar.live.is_started and time.monotonic() - began >= PATIENCE:
            bar.start()

    try:
        yield tick
    finally:
        if bar.live.is_started:
            bar.stop()
