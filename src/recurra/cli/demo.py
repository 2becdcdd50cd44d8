"""`recurra demo`: the whole path on the built-in sample, in under a minute on 2 cores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from recurra.cli.options import AsJson
from recurra.cli.screen import Screen

__all__ = ["demo"]


def demo(
    language: Annotated[Literal["en", "zh"], typer.Option(help="Language of the sample.")] = "en",
    out: Annotated[Path, typer.Option(help="Folder for the sample and the model.")] = Path("recurra-demo"),
    as_json: AsJson = False,
) -> None:
    """Make a sample, train on it, test, explain three predictions; all in under a minute."""
    from recurra.tasks.data import demonstrate

    screen = Screen(as_json)
    screen.finish(demonstrate(out, language, screen))
