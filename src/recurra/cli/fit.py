"""`recurra fit`: train, test and save a model."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from recurra.cli.options import (
    AsJson,
    ConfigFile,
    Data,
    Freeze,
    Group,
    LayerwiseRate,
    Overwrite,
    Pretrained,
    PretrainedLayers,
    Recipe,
    Resume,
    Settings,
    SkipBadRows,
    TaskName,
    UnfreezeAfter,
    Valid,
    chosen_config,
    transfer_settings,
)
from recurra.cli.screen import Screen

__all__ = ["fit"]


def fit(
    data: Data,
    task: TaskName = None,
    valid: Valid = None,
    test: Annotated[Path | None, typer.Option(help="A file to test on at the end.")] = None,
    out: Annotated[Path | None, typer.Option(help="The model directory.  [default: NAME-model]")] = None,
    target: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The column to forecast; implies --task forecast.")
    ] = None,
    recipe: Recipe = None,
    config: ConfigFile = None,
    settings: Settings = None,
    group: Group = None,
    skip_bad_rows: SkipBadRows = False,
    pretrained: Pretrained = None,
    pretrained_layers: PretrainedLayers = False,
    freeze: Freeze = False,
    unfreeze_after: UnfreezeAfter = None,
    layerwise_lr: LayerwiseRate = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    baseline: Annotated[bool, typer.Option(help="Also measure the baseline.")] = True,
    as_json: AsJson = False,
) -> None:
    """Train a network on a file, compare it with a baseline, and save it with a report."""
    transfer = transfer_settings(pretrained, pretrained_layers, freeze, unfreeze_after, layerwise_lr)
    built = chosen_config(
        recipe, config, settings, group, skip_bad_rows, transfer, task=task, data=data, target=target
    )
    from recurra.tasks.fit import default_out, fit_files

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
        reporter=screen,
    )
    screen.finish(result.as_json())
