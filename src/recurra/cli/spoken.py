"""Predictions of texts as a person reads them on a terminal: labels with bars, or small tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.cells import cell_len

from recurra.cli.screen import Screen, escape
from recurra.measure.formatting import short
from recurra.printable import printable
from recurra.tasks.answers import Answers

__all__ = ["speak"]

_BAR = 24  # cells of a probability of 100%
_SHOWN = 3  # classes of a prediction; the others are counted
_TEXT = 200  # characters of a text that are repeated


def speak(answers: Answers, texts: Sequence[str], screen: Screen) -> int:
    """Prints the answers to ``texts`` and returns the number of records.

    Records with ``probabilities`` are printed as their most probable classes; others as a table for each
    text. Each text is repeated if there are several.
    """
    count = 0
    for number, records in groupby(answers.records, key=lambda record: record[answers.fields[0]]):
        if len(texts) > 1:
            text = " ".join(texts[number - 1].split())
            screen.console.print(f"\n[bold]{escape(text[:_TEXT])}{'…' if len(text) > _TEXT else ''}[/bold]")
        together = list(records)
        count += len(together)
        if "probabilities" in together[0]:
            for record in together:
                for line in _classes(record, screen.console.encoding):
                    screen.console.print(line, soft_wrap=True)
        elif "text" in together[0]:
            for record in together:
                screen.console.print(escape(str(record["text"])))
        else:
            names = answers.fields[1:]
            rows = [[_cell(record[name]) for name in names] for record in together]
            screen.table("", [name.replace("_", " ") for name in names], rows)
    return count


def _classes(record: Mapping[str, Any], encoding: str) -> Iterator[str]:
    """The predicted classes of a record in bold, then the most probable others, each with a bar."""
    chosen = {record["label"]} if isinstance(record["label"], str) else set(record["label"])
    # Several labels may have a threshold each: a predicted one can be less probable than another.
    ranked = sorted(record["probabilities"].items(), key=lambda pair: (pair[0] not in chosen, -pair[1]))
    shown = ranked[: max(_SHOWN, len(chosen) + 1)]
    names = {name: printable(short(name)) for name, _ in shown}
    width = max(map(cell_len, names.values()))
    full = "█" if encoding.lower().startswith("utf") else "#"
    if not chosen:
        yield "  no label is predicted"
    for name, probability in shown:
        style, end = ("[bold green]", "[/bold green]") if name in chosen else ("[dim]", "[/dim]")
        bar = (full * round(_BAR * probability)).ljust(_BAR)
        padded = escape(names[name]) + " " * (width - cell_len(names[name]))
        yield f"  {style}{padded}  {bar} {100 * probability:5.1f}%{end}"
    if record.get("note"):
        yield f"  [yellow]! {escape(record['note'])}[/yellow]"
    left = len(ranked) - len(shown) + record.get("other_classes", 0)
    if left:
        rest = max(0.0, 1 - sum(probability for _, probability in shown))
        others = "1 other class" if left == 1 else f"{left:,} other classes"
        # The probabilities of several labels do not add up to 1.
        yield f"  [dim]{others}{f': {100 * rest:.1f}% together' if 'confidence' in record else ''}[/dim]"


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
