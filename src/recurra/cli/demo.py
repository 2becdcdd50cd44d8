"""`recurra demo`: train and explain a model on the built-in sample, in under a minute on 2 cores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from recurra.cli.options import AsJson
from recurra.cli.screen import Screen

__all__ = ["demo"]


def demo(
    language: Annotated[Literal["en", "zh"], typer.Option(help="Language of the sample.")] = "en",
    out: Annotated[Path, typer.Option(help="Folder of the sample and the model.")] = Path("recurra-demo"),
    as_json: AsJson = False,
) -> None:
    """Create a sample, train and test a model on it, and explain three predictions, in under a minute."""
    from recurra.tasks.data import demonstrate

    screen = Screen(as_json)
    screen.finish(demonstrate(out, language, screen))
