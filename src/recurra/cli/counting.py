"""A bar on a terminal for a long step over rows, shown if the step lasts, also below that of the epochs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from math import ceil

from rich.console import Console
from rich.errors import LiveError
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
)
from rich.text import Text

from recurra.tasks.reporter import Tick

__all__ = ["counting"]

PATIENCE = 1.0
"""Seconds after which the bar is shown."""


class _Speed(ProgressColumn):
    """Rows per second since the beginning: rows are finished many at once, and the last ones say little."""

    def render(self, task: Task) -> Text:
        return Text(f"{speed:,.0f} rows/s" if (speed := _mean(task)) else "", style="progress.data.speed")


class _Left(ProgressColumn):
    """The time that the other rows take at that speed."""

    def render(self, task: Task) -> Text:
        speed = _mean(task)
        if not speed or task.remaining is None:
            return Text("-:--:--", style="progress.remaining")
        return Text(str(timedelta(seconds=ceil(task.remaining / speed))), style="progress.remaining")


def _mean(task: Task) -> float:
    """Rows per second."""
    return task.completed / task.elapsed if task.elapsed else 0.0


@contextmanager
def counting(console: Console, what: str, total: int | None) -> Iterator[Tick]:
    """Context whose value is called with the number of rows finished; the bar is removed at its end."""
    bar = Progress(
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        _Speed(),
        _Left(),
        console=console,
        transient=True,
    )
    task = bar.add_task(what, total=total)
    began = time.monotonic()

    def tick(rows: int) -> None:
        bar.advance(task, rows)
        if not bar.live.is_started and time.monotonic() - began >= PATIENCE:
            with suppress(LiveError):  # rich before 14.1 shows one bar at a time: that of the epochs goes on
                bar.start()

    try:
        yield tick
    finally:
        if bar.live.is_started:
            bar.stop()
