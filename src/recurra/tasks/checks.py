"""What the data checks of all tasks share: how findings are reported, counted and listed in words."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from recurra.tasks.reporter import Reporter

__all__ = ["broken_in_words", "listed", "many", "report_findings"]


def report_findings(
    reporter: Reporter,
    table: tuple[Sequence[str], Sequence[Sequence[str]]],
    warnings: Sequence[str],
    command: Sequence[str] = (),
) -> None:
    """Reports a table, then the warnings, then the command that trains on the file.

    Args:
        reporter: receives the findings.
        table: header and rows.
        warnings: one sentence each; if there are none, this is said.
        command: the words after ``recurra``.
    """
    reporter.table("", *table)
    for warning in warnings:
        reporter.warn(warning)
    if not warnings:
        reporter.note("no problems found")
    if command:
        reporter.note(f"to train: {shlex.join(['recurra', *command])}")


def broken_in_words(part: str, count: int, examples: Sequence[str], unit: str = "row") -> list[str]:
    """Returns a sentence on broken rows, if there are any, with the first of them.

    Example:
        >>> broken_in_words("train", 2, ["row 3: no tag"], "sentence")
        ['train: 2 sentences are broken (row 3: no tag; ...); fix them, or pass --skip-bad-rows to fit']
    """
    if not count:
        return []
    rows = many(count, f"{unit} is", f"{unit}s are")
    more = "; ..." if count > len(examples) else ""
    them = "it" if count == 1 else "them"
    return [
        f"{part}: {rows} broken ({'; '.join(examples)}{more}); fix {them}, or pass --skip-bad-rows to fit"
    ]


def many(count: int, singular: str, plural: str) -> str:
    """Returns a number with the word for what is counted.

    Example:
        >>> many(1, "row is", "rows are"), many(2_000, "row is", "rows are")
        ('1 row is', '2,000 rows are')
    """
    return f"{count:,} {singular if count == 1 else plural}"


def listed(names: Sequence[str], most: int = 5) -> str:
    """Returns the first names, separated by commas.

    Example:
        >>> listed(["a", "b", "c"], 2)
        'a, b, ...'
    """
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
