"""`recurra inspect`: layers, word vectors, explanations and memory of a saved model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from recurra.cli.options import AsJson
from recurra.cli.screen import Screen

__all__ = ["inspect"]


def inspect(
    model: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="The model directory; for memory, also the name of a recipe."),
    ],
    what: Annotated[
        Literal["summary", "words", "explain", "memory"],
        typer.Argument(
            metavar="WHAT",
            help="summary; words, with a word; explain, with a text; memory, with an optional file.",
        ),
    ] = "summary",
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT",
            help="The text to explain; the word to find the nearest words of; for memory, a file of texts.  "
            "[default: the training file]",
        ),
    ] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="memory: use untrained weights.")] = False,
    steps: Annotated[
        int | None,
        typer.Option(
            help="memory: number of steps to look back.  [default: 100, fewer if texts are shorter]"
        ),
    ] = None,
    texts: Annotated[int | None, typer.Option(help="memory: number of texts.  [default: 32]")] = None,
    out: Annotated[
        Path | None, typer.Option(help="memory: write a figure to this file (.html, .png or .svg).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show a model's layers, the nearest words of a word, the explanation of a prediction, or its memory."""
    options = {"--fresh": fresh, "--steps": steps, "--texts": texts, "--out": out}
    for name, value in options.items():
        if what != "memory" and value not in (None, False):
            raise typer.BadParameter(f"only valid with memory, not with {what}", param_hint=name)
    from recurra.tasks.use import explain, summary, words

    screen = Screen(as_json)
    if what == "summary":
        screen.finish(summary(model, screen))
    elif what == "memory":
        from recurra.tasks.memory import inspect_memory

        data = None if text is None else Path(text)
        count = 32 if texts is None else texts
        screen.finish(inspect_memory(model, data, screen, fresh=fresh, steps=steps, texts=count, out=out))
    elif text is None:
        missing = "the word to look up" if what == "words" else "the text to explain"
        raise typer.BadParameter(f"give {missing}", param_hint="TEXT")
    elif what == "words":
        screen.finish(words(model, text, screen))
    else:
        screen.finish(explain(model, text, screen))
