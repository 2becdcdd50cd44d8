"""`recurra inspect`: a look inside a saved model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from recurra.cli.options import AsJson
from recurra.cli.screen import Screen

__all__ = ["inspect"]


def inspect(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A directory that recurra fit made.")],
    what: Annotated[
        Literal["summary", "explain"],
        typer.Argument(metavar="WHAT", help="summary, or explain with a text."),
    ] = "summary",
    text: Annotated[str | None, typer.Argument(metavar="TEXT", help="The text to explain.")] = None,
    as_json: AsJson = False,
) -> None:
    """Look inside a model: its layers, or why it answers what it answers."""
    from recurra.tasks.inspection import explain, summary

    screen = Screen(as_json)
    if what == "summary":
        screen.finish(summary(model, screen))
    elif text is None:
        raise typer.BadParameter("give the text to explain", param_hint="TEXT")
    else:
        screen.finish(explain(model, text, screen))
