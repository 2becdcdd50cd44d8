"""`recurra fit`: a file of labelled texts becomes a trained, tested, saved model."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from recurra.cli.options import AsJson, ConfigFile, Group, Recipe, Settings, SkipBadRows, build_config
from recurra.cli.screen import Screen

__all__ = ["fit"]


def fit(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="CSV, TSV, JSON lines, Parquet, a folder ...")],
    valid: Annotated[
        Path | None, typer.Option(help="A file to validate on, in place of held-out rows.")
    ] = None,
    test: Annotated[Path | None, typer.Option(help="A file to test on, once, at the end.")] = None,
    out: Annotated[Path | None, typer.Option(help="The model's directory.  [default: NAME-model]")] = None,
    recipe: Recipe = None,
    config: ConfigFile = None,
    settings: Settings = None,
    group: Group = None,
    skip_bad_rows: SkipBadRows = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a stopped run left off.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the model in --out.")] = False,
    baseline: Annotated[bool, typer.Option(help="Train the n-gram baseline beside it.")] = True,
    as_json: AsJson = False,
) -> None:
    """Train a classifier on labelled texts, test it beside a baseline, and save it with a report."""
    built = build_config(recipe, config, settings, group, skip_bad_rows)
    from recurra.tasks.classification import default_out, fit_files

    screen = Screen(as_json)
    result = fit_files(
        data,
        built,
        out or default_out(data),
        valid=valid,
        test=test,
        resume=resume,
        overwrite=overwrite,
        baseline=baseline,
        command=shlex.join(["recurra", *sys.argv[1:]]),
        tell=screen,
    )
    screen.finish(result.as_json())
