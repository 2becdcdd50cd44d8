"""`recurra evaluate`: metrics of a saved model and of the baseline on labelled data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recurra.cli.options import AsJson
from recurra.cli.screen import Screen

__all__ = ["evaluate"]


def evaluate(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="The model directory.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Labelled rows, in the format of fit.")],
    report: Annotated[Path | None, typer.Option(help="Also write the metrics as an HTML page.")] = None,
    train: Annotated[
        Path | None, typer.Option(help="The training file, for the baseline.  [default: its path at fit]")
    ] = None,
    baseline: Annotated[bool, typer.Option(help="Also measure the baseline.")] = True,
    as_json: AsJson = False,
) -> None:
    """Measure a saved model on labelled data: metrics with confidence intervals, beside the baseline."""
    from recurra.tasks.use import evaluate_files

    screen = Screen(as_json)
    screen.finish(evaluate_files(model, data, report=report, train=train, baseline=baseline, reporter=screen))
