"""`recurra predict`: answers to rows of a file, of a stream, or to texts on the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from recurra.cli.options import AsJson
from recurra.cli.screen import Screen

__all__ = ["predict"]


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A directory that recurra fit made.")],
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Texts; - or nothing reads them from stdin.")
    ] = None,
    text: Annotated[list[str] | None, typer.Option(help="A text. May be repeated.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write there (.csv or .jsonl), not to stdout.")] = None,
    form: Annotated[
        Literal["csv", "jsonl"] | None, typer.Option("--format", help="CSV or JSON lines.")
    ] = None,
    next_tokens: Annotated[
        int | None, typer.Option("--next", metavar="K", help="The K words most likely to come next (lm).")
    ] = None,
    generate: Annotated[int | None, typer.Option(metavar="N", help="The text and N words more (lm).")] = None,
    temperature: Annotated[
        float | None, typer.Option(help="How boldly to generate: 0 takes the most likely, 1 as learned (lm).")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option("--top-k", metavar="K", help="Generate from the K likeliest alone (lm).")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The same seed generates the same text (lm).")] = None,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="The score of each word in place of the text's (lm).")
    ] = False,
    every: Annotated[
        bool,
        typer.Option("--all", help="Forecast from every row, not from the last alone (forecast)."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Answer rows as CSV or JSON lines: a text's label and the probability of each class, and so on.

    A language model (lm) gives each text's score: its log2-probability and its perplexity a word.
    """
    if text and file:
        raise typer.BadParameter("give a file or --text, not both", param_hint="FILE")
    from recurra.files import replacing
    from recurra.serve.answers import format_of, write_answers
    from recurra.tasks.base import PredictRequest
    from recurra.tasks.use import answers_for

    screen = Screen(as_json)
    own = {
        "next": next_tokens,
        "generate": generate,
        "temperature": temperature,
        "top_k": top_k,
        "seed": seed,
        "tokens": tokens or None,
        "all": every or None,
    }
    options = {name: value for name, value in own.items() if value is not None}
    answers = answers_for(model, PredictRequest(file, text or [], options))
    form = form or format_of(out)
    if out is None:
        count = write_answers(answers, sys.stdout, form)
    else:
        with replacing(out) as draft, draft.open("w", encoding="utf-8", newline="") as target:
            count = write_answers(answers, target, form)
        screen.note(f"{count:,} answers in {out}")
    screen.finish({"model": str(model), "rows": count, "out": str(out) if out else None})
