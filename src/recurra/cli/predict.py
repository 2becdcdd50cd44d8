"""`recurra predict`: labels and probabilities for texts from a file, a stream, or the command line."""

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
    as_json: AsJson = False,
) -> None:
    """Answer rows as CSV or JSON lines: a text's label and the probability of each class, and so on."""
    if text and file:
        raise typer.BadParameter("give a file or --text, not both", param_hint="FILE")
    from recurra.files import replacing
    from recurra.serve.answers import format_of, write_answers
    from recurra.tasks.fitting import PredictRequest
    from recurra.tasks.prediction import answers_for

    screen = Screen(as_json)
    answers = answers_for(model, PredictRequest(file, text or []))
    form = form or format_of(out)
    if out is None:
        count = write_answers(answers, sys.stdout, form)
    else:
        with replacing(out) as draft, draft.open("w", encoding="utf-8", newline="") as target:
            count = write_answers(answers, target, form)
        screen.note(f"{count:,} answers in {out}")
    screen.finish({"model": str(model), "rows": count, "out": str(out) if out else None})
