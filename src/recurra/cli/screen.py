"""The reporter of the command line: prints to the terminal, and the result as JSON."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Group, RenderableType
from rich.markup import escape as escape_markup
from rich.padding import Padding
from rich.table import Table

from recurra.cli.terminal import EscapingConsole
from recurra.printable import printable
from recurra.tasks.reporter import Reporter, Tick

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from recurra.measure.explain import Explanation
    from recurra.train.observer import Observer

__all__ = ["Screen", "escape"]

_NARROW = 60  # columns below which tables are stacked
_NARROWEST = 20


def escape(text: str) -> str:
    """Returns ``text`` for a console, without markup and control characters."""
    return escape_markup(printable(text))


class Screen(Reporter):
    """Prints the progress of a task to stdout.

    Args:
        as_json: whether to print to stderr instead, and the result as one JSON object to stdout.
        aside: whether to print to stderr in any case, since stdout has the answers.
        quiet: whether to print warnings only, to stderr.
    """

    def __init__(self, as_json: bool = False, *, aside: bool = False, quiet: bool = False) -> None:
        self.as_json, self.quiet = as_json, quiet
        stream = sys.stderr if as_json or aside or quiet else sys.stdout
        self.console = EscapingConsole(stream, highlight=False, width=_width(stream))
        self._heading = ""
        self._bytes: tuple[str, Progress, TaskID] | None = None
        self._warnings: list[str] = []

    def finish(self, result: Mapping[str, Any]) -> None:
        """Prints ``result``, with the warnings, as JSON on the last line, if ``as_json`` is set."""
        if self.as_json:
            result = {"warnings": self._warnings, **result}
            sys.stdout.write(json.dumps(result, ensure_ascii=False, allow_nan=False, default=str) + "\n")
            sys.stdout.flush()

    def step(self, title: str) -> None:
        """Prints a heading, as soon as something is printed below it."""
        self._heading = f"\n[bold]{escape(title)}[/bold]"

    def _print(self, *what: Any, warning: bool = False, **options: Any) -> None:
        if self.quiet and not warning:
            return
        self._print_heading()
        self.console.print(*what, **options)

    def _print_heading(self) -> None:
        heading, self._heading = self._heading, ""
        if heading and not self.quiet:
            self.console.print(heading)

    def facts(self, facts: Mapping[str, str]) -> None:
        """Prints one line per fact: name, then value."""
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True, min_width=16)
        grid.add_column(overflow="fold")
        for name, value in facts.items():
            grid.add_row("  " + escape(name), escape(value))
        self._print(grid)

    def note(self, text: str) -> None:
        """Prints a sentence."""
        self._print(_indented(escape(text)))

    def warn(self, text: str) -> None:
        """Prints a sentence in yellow."""
        self._warnings.append(text)
        self._print(_indented(f"[yellow]! {escape(text)}[/yellow]"), warning=True)

    def table(self, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Prints a table; the columns after the first are numbers and are right-aligned.

        On fewer than 60 columns each row is its name, and below it one line for each column.
        """
        if self.console.width < _NARROW and len(header) > 2:
            self._print(_stacked(title, header, rows))
            return
        gap = 2 if self.console.width >= 70 else 1
        table = Table(title=title or None, title_justify="left", box=None, padding=(0, gap))
        for number, name in enumerate(header):
            table.add_column(escape(name), justify="right" if number else "left", overflow="fold")
        for row in rows:
            table.add_row(*(escape(cell) for cell in row))
        self._print(table)

    def explanation(self, explanation: Explanation) -> None:
        """Prints the prediction, the text with words coloured by contribution, and the strongest words."""
        from recurra.measure.explain import to_rich

        truth = (
            f", true label {explanation.true}" if explanation.true not in (None, explanation.label) else ""
        )
        self._print(
            f"  [bold]{escape(explanation.label)}[/bold] {100 * explanation.probability:.1f}%{escape(truth)}"
        )
        self._print(Padding(to_rich(explanation), (0, 0, 0, 4)))
        strongest = sorted(explanation.parts, key=lambda part: -abs(part.contribution))[:4]
        words = [
            f"{part.text} {part.contribution:+.1f}" for part in strongest if abs(part.contribution) > 0.05
        ]
        found = "strongest words: " + ", ".join(words) if words else ""
        for line in (found, *explanation.details(4), explanation.note):
            if line:
                self._print(Padding(escape(line), (0, 0, 0, 4)), style="dim")

    def progress(self, what: str, done: int, total: int) -> None:
        """Shows a progress bar of bytes on a terminal, or prints one line if the output is not a terminal."""
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

        if self.quiet:
            return
        if self._bytes is None or self._bytes[0] != what:
            self._end_bytes()
            self._print_heading()
            if not self.console.is_terminal:
                self.note(f"{what} ...")
            text = TextColumn("  {task.description}")
            columns = (text, BarColumn(), DownloadColumn(), TimeRemainingColumn())
            bar = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
            bar.start()
            self._bytes = (what, bar, bar.add_task(what, total=total))
        _, bar, task = self._bytes
        bar.update(task, completed=done)
        if done >= total:
            self._end_bytes()

    def _end_bytes(self) -> None:
        if self._bytes is not None:
            self._bytes[1].stop()
            self._bytes = None

    def counting(self, what: str, total: int | None = None) -> AbstractContextManager[Tick]:
        """Returns a context that shows a bar of rows on a terminal, and nothing elsewhere."""
        from recurra.cli.counting import counting

        if self.quiet or not self.console.is_terminal:
            return super().counting(what, total)
        return counting(self.console, what, total)

    def observer(self) -> Observer:
        """Returns an observer that shows a progress bar, or prints lines if the output is no terminal."""
        from recurra.train.progress import ProgressObserver

        if self.quiet:
            return super().observer()
        self._print_heading()
        return ProgressObserver(self.console)


def _indented(text: str) -> Padding:
    """A text by two columns to the right, also where it goes on in further lines."""
    return Padding(text, (0, 0, 0, 2), expand=False)


def _width(stream: TextIO) -> int | None:
    """The width of the output: None for that of the terminal; of a pipe or file, ``COLUMNS`` or 160.

    160 keeps most lines unwrapped.
    """
    if stream.isatty():
        return None
    columns = os.environ.get("COLUMNS", "")
    return max(_NARROWEST, int(columns)) if columns.isdecimal() and int(columns) else 160


def _stacked(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Group:
    """A table as one block of lines for each row."""
    parts: list[RenderableType] = [f"[italic]{escape(title)}[/italic]"] if title else []
    if header[0]:
        parts.append(f"  [bold]{escape(header[0])}[/bold]")
    for row in rows:
        grid = Table.grid(padding=(0, 2))
        grid.add_column(overflow="fold")
        grid.add_column(justify="right", overflow="fold")
        for name, cell in zip(header[1:], row[1:], strict=True):
            if cell:
                grid.add_row(f"    [dim]{escape(name)}[/dim]", escape(cell))
        parts += [f"  [bold]{escape(row[0])}[/bold]", *([grid] if grid.row_count else [])]
    return Group(*parts)
