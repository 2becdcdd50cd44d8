"""Reports the progress of a task to its caller; the lower packages never print."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from recurra.layers.summary import Summary
    from recurra.measure.explain import Explanation
    from recurra.train.observer import Observer


__all__ = ["Counting", "Reporter", "Tick", "report_summary"]

Tick: TypeAlias = Callable[[int], object]
"""Called with the number of rows that were finished since the last call."""
Counting: TypeAlias = Callable[[str, int | None], AbstractContextManager[Tick]]
"""Begins a long step over rows: `Reporter.counting`."""


class Reporter:
    """Receives the steps of a task as they happen; every method does nothing, for subclasses to override."""

    def step(self, title: str) -> None:
        """Reports the start of a step."""

    def facts(self, facts: Mapping[str, str]) -> None:
        """Reports facts by name, e.g. what was detected in a file."""

    def note(self, text: str) -> None:
        """Reports a note to the user."""

    def warn(self, text: str) -> None:
        """Reports a warning to the user."""

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Reports a table; columns after the first are numbers."""

    def explanation(self, explanation: Explanation) -> None:
        """Reports the contribution of each word to a prediction."""

    def progress(self, what: str, done: int, total: int) -> None:
        """Reports that ``done`` of ``total`` bytes of a long step, e.g. a download, are finished."""

    def counting(self, what: str, total: int | None = None) -> AbstractContextManager[Tick]:
        """Returns a context for a long step over ``total`` rows, None if their number is not known."""
        return nullcontext(lambda rows: None)

    def saved(self, folder: Path) -> None:
        """Reports that a model was written to its directory."""

    def observer(self) -> Observer:
        """Returns the observer of the training loop."""
        from recurra.train.observer import Observer

        return Observer()


def report_summary(summary: Summary, reporter: Reporter) -> None:
    """Reports the layers of a model as a table."""
    header = ["layer", "output shape", "parameters"]
    rows = [[f"{row.name} ({row.layer})", row.output_shape, f"{row.parameters:,}"] for row in summary.rows]
    rows.append(["total", "", f"{summary.total:,}"])
    if summary.frozen:
        header.append("trained")
        trained = ["" if not row.parameters else "yes" if row.trainable else "no" for row in summary.rows]
        rows = [[*cells, answer] for cells, answer in zip(rows, [*trained, ""], strict=True)]
    reporter.table("", header, rows)
    if summary.frozen:
        reporter.note(f"{summary.trainable:,} are trained, {summary.frozen:,} are frozen")
