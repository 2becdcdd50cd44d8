"""`recurra predict`: predictions for the rows of a file, of stdin, or for texts on the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from recurra.cli.options import AsJson
from recurra.cli.screen import Screen

__all__ = ["predict"]


def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The model directory.")],
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="A file of rows; - or none: stdin.")
    ] = None,
    text: Annotated[list[str] | None, typer.Option(help="A text. Can be repeated.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write to this file (.csv or .jsonl) instead of stdout.")
    ] = None,
    form: Annotated[
        Literal["csv", "jsonl"] | None, typer.Option("--format", help="Output format: CSV or JSON lines.")
    ] = None,
    next_tokens: Annotated[
        int | None, typer.Option("--next", metavar="K", help="Predict the K most likely next words (lm).")
    ] = None,
    generate: Annotated[
        int | None, typer.Option(metavar="N", help="Continue the text by N words (lm).")
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(help="Sampling temperature: 0 is greedy, 1 is the model's distribution (lm)."),
    ] = None,
    top_k: Annotated[
        int | None,
        typer.Option("--top-k", metavar="K", help="Sample from the K most likely words only (lm)."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the sampling (lm).")] = None,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Score each word instead of the text (lm).")
    ] = False,
    every: Annotated[
        bool,
        typer.Option("--all", help="Forecast from every row instead of only the last (forecast)."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write predictions as CSV or JSON lines: labels with probabilities, tags, scores or forecasts.

    A language model (lm) scores each text: its log2-probability and its perplexity per word.
    """
    if text and file:
        raise typer.BadParameter("give a file or --text, not both", param_hint="FILE")
    from recurra.files import replacing
    from recurra.tasks.answers import format_of, write_answers
    from recurra.tasks.base import PredictRequest
    from recurra.tasks.use import answers_for

    screen = Screen(as_json)
    task_options = {
        "next": next_tokens,
        "generate": generate,
        "temperature": temperature,
        "top_k": top_k,
        "seed": seed,
        "tokens": tokens or None,
        "all": every or None,
    }
    options = {name: value for name, value in task_options.items() if value is not None}
    answers = answers_for(model, PredictRequest(file, text or [], options))
    written_as = form or format_of(out)
    if out is None:
        count = write_answers(answers, sys.stdout, written_as)
    else:
        with replacing(out) as draft, draft.open("w", encoding="utf-8", newline="") as target:
            count = write_answers(answers, target, written_as)
        screen.note(f"{count:,} answers in {out}")
    screen.finish({"model": str(model), "rows": count, "out": str(out) if out else None})
