"""`recurra evaluate`: a saved model's figures on labelled texts, beside the baseline's."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recurra.cli.options import AsJson
from recurra.cli.screen import Screen

__all__ = ["evaluate"]


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A directory that recurra fit made.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Rows with their answers, as fit takes.")],
    report: Annotated[Path | None, typer.Option(help="Write the figures as an HTML page too.")] = None,
    train: Annotated[
        Path | None, typer.Option(help="The training file, for the baseline.  [default: where it was]")
    ] = None,
    baseline: Annotated[bool, typer.Option(help="Measure the baseline beside it.")] = True,
    as_json: AsJson = False,
) -> None:
    """Measure a saved model on a file with its answers: figures with intervals, beside the baseline."""
    from recurra.tasks.use import evaluate_files

    screen = Screen(as_json)
    screen.finish(evaluate_files(model, data, report=report, train=train, baseline=baseline, reporter=screen))
