"""`recurra decide`: thresholds, costs and "unsure" of a saved classifier, fitted on its validation rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recurra.cli import options
from recurra.cli.screen import Screen

__all__ = ["decide"]


def decide(
    model: options.Model,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="GOAL",
            help="Fit thresholds of the classes for macro_f1, f1:CLASS, precision>=0.95:CLASS, "
            "recall>=0.9:CLASS, balanced_accuracy or accuracy.",
        ),
    ] = None,
    costs: Annotated[
        str | None,
        typer.Option(
            metavar="MAPPING",
            help="Costs of wrong answers, such as '{spam: {ham: 5}}': 5 for a spam predicted as ham.",
        ),
    ] = None,
    risk: options.Risk = None,
    abstain: Annotated[
        float | None,
        typer.Option(metavar="P", help='Answer "unsure" below this confidence.', min=0.0, max=1.0),
    ] = None,
    reset: Annotated[bool, typer.Option("--reset", help="Answer each text with its most probable class.")] = (
        False
    ),
    data: Annotated[
        Path | None,
        typer.Option(
            help="Labelled rows that were not trained on.  [default: the validation rows of the training]"
        ),
    ] = None,
    train: Annotated[Path | None, typer.Option(help="The training file.  [default: its path at fit]")] = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Fit when a classifier predicts a class, and when it does not answer; without options, show it."""
    from recurra.tasks.deciding import decide_files
    from recurra.tasks.settings import parse_assignment

    mapping = None
    if costs is not None:
        mapping = parse_assignment(f"predict.costs={costs}")["predict"]["costs"]
    screen = Screen(as_json, quiet=quiet)
    result = decide_files(
        model,
        metric=metric,
        costs=mapping,
        abstain=abstain,
        risk=risk,
        data=data,
        train=train,
        reset=reset,
        reporter=screen,
    )
    screen.finish({"model_directory": str(model), **result})
