"""What a long task tells whoever started it: the rooms below never print."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from recurra.layers.summary import Summary
    from recurra.measure.explain import Explanation
    from recurra.train.observer import Observer


__all__ = ["Reporter", "report_summary"]


class Reporter:
    """Receives the steps of a task as they happen; every method does nothing, for subclasses to override."""

    def step(self, title: str) -> None:
        """A new step begins."""

    def facts(self, facts: Mapping[str, str]) -> None:
        """Named facts, such as what was found in a file."""

    def note(self, text: str) -> None:
        """A sentence the user should read."""

    def warn(self, text: str) -> None:
        """A sentence the user should not miss."""

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table; columns after the first are figures."""

    def explanation(self, found: Explanation) -> None:
        """Which words an answer hangs on."""

    def progress(self, what: str, done: int, total: int) -> None:
        """``done`` of ``total`` bytes of a long step such as a download."""

    def observer(self) -> Observer:
        """The observer of the training loop."""
        from recurra.train.observer import Observer

        return Observer()


def report_summary(found: Summary, reporter: Reporter) -> None:
    """The layers of a model as a table."""
    header = ["layer", "output shape", "parameters"]
    rows = [[f"{row.name} ({row.layer})", row.output_shape, f"{row.parameters:,}"] for row in found.rows]
    rows.append(["total", "", f"{found.total:,}"])
    if found.frozen:
        header.append("trained")
        answers = ["" if not row.parameters else "yes" if row.trainable else "no" for row in found.rows]
        rows = [[*cells, answer] for cells, answer in zip(rows, [*answers, ""], strict=True)]
    reporter.table("", header, rows)
    if found.frozen:
        reporter.note(f"{found.trainable:,} are trained, {found.frozen:,} are frozen")
