"""`recurra inspect`: a look inside a saved model."""

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
        typer.Argument(
            metavar="MODEL", help="A directory that recurra fit made; for memory a recipe's name too."
        ),
    ],
    what: Annotated[
        Literal["summary", "words", "explain", "memory"],
        typer.Argument(
            metavar="WHAT",
            help="summary; words with a word; explain with a text; or memory, perhaps with a file.",
        ),
    ] = "summary",
    text: Annotated[
        str | None,
        typer.Argument(
            metavar="TEXT",
            help="The text to explain; the word whose nearest ones to show; for memory a file of texts.  "
            "[default: the training file]",
        ),
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="memory: the same network with its untrained weights.")
    ] = False,
    steps: Annotated[
        int | None,
        typer.Option(help="memory: how far back to look.  [default: 100, less where texts are shorter]"),
    ] = None,
    texts: Annotated[int | None, typer.Option(help="memory: how many texts.  [default: 32]")] = None,
    out: Annotated[
        Path | None, typer.Option(help="memory: write a figure there (.html, .png or .svg).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Look inside a model: its layers, its words, why it answers what it answers, or why it forgets."""
    options = {"--fresh": fresh, "--steps": steps, "--texts": texts, "--out": out}
    for name, value in options.items():
        if what != "memory" and value not in (None, False):
            raise typer.BadParameter(f"goes with memory, not with {what}", param_hint=name)
    from recurra.tasks.use import explain, summary, words

    screen = Screen(as_json)
    if what == "summary":
        screen.finish(summary(model, screen))
    elif what == "memory":
        from recurra.tasks.memory import memory

        data = None if text is None else Path(text)
        count = 32 if texts is None else texts
        screen.finish(memory(model, data, screen, fresh=fresh, steps=steps, texts=count, out=out))
    elif text is None:
        wanted = "the word to look up" if what == "words" else "the text to explain"
        raise typer.BadParameter(f"give {wanted}", param_hint="TEXT")
    elif what == "words":
        screen.finish(words(model, text, screen))
    else:
        screen.finish(explain(model, text, screen))
