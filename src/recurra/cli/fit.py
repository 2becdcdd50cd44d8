"""`recurra fit` trains, tests and saves a model; `recurra pretrain` trains one to initialize others from."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from recurra.cli import options
from recurra.cli.screen import Screen

__all__ = ["fit", "pretrain"]


def fit(
    data: options.Data,
    task: options.TaskName = None,
    valid: options.Valid = None,
    test: Annotated[Path | None, typer.Option(help="A file to test on at the end.")] = None,
    out: Annotated[Path | None, typer.Option(help="The model directory.  [default: NAME-model]")] = None,
    target: options.Target = None,
    recipe: options.Recipe = None,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    group: options.Group = None,
    skip_bad_rows: options.SkipBadRows = False,
    pretrained: options.Pretrained = None,
    pretrained_layers: options.PretrainedLayers = False,
    freeze: options.Freeze = False,
    unfreeze_after: options.UnfreezeAfter = None,
    layerwise_lr: options.LayerwiseRate = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    baseline: Annotated[bool, typer.Option(help="Also measure the baseline.")] = True,
    as_json: options.AsJson = False,
) -> None:
    """Train a network on a file, compare it with a baseline, and save it with a report."""
    built = options.chosen_config(
        recipe,
        config,
        settings,
        group,
        skip_bad_rows,
        task=task,
        data=data,
        target=target,
        pretrained=pretrained and str(pretrained),
        pretrained_layers=pretrained_layers,
        freeze=freeze,
        unfreeze_after=unfreeze_after,
        layerwise_lr=layerwise_lr,
    )
    from recurra.tasks.fit import fit_files

    screen = Screen(as_json)
    result = fit_files(
        data,
        built,
        out or options.default_out(data, "model"),
        valid=valid,
        test=test,
        resume=resume,
        overwrite=overwrite,
        baseline=baseline,
        command=shlex.join(["recurra", *sys.argv[1:]]),
        reporter=screen,
    )
    screen.finish(result.as_json())


def pretrain(
    data: options.Data,
    out: Annotated[Path, typer.Option(help="The model directory, for --pretrained later.")],
    task: options.TaskName = None,
    valid: options.Valid = None,
    recipe: options.Recipe = None,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    group: options.Group = None,
    skip_bad_rows: options.SkipBadRows = False,
    pretrained: options.Pretrained = None,
    pretrained_layers: options.PretrainedLayers = False,
    freeze: options.Freeze = False,
    unfreeze_after: options.UnfreezeAfter = None,
    layerwise_lr: options.LayerwiseRate = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    as_json: options.AsJson = False,
) -> None:
    """Train a network on a large data set, to initialize others with `recurra fit SMALL --pretrained`.

    Labelled texts train a classifier; texts without labels train a language model (--task lm).
    """
    built = options.chosen_config(
        recipe,
        config,
        settings,
        group,
        skip_bad_rows,
        task=task,
        data=data,
        pretrained=pretrained and str(pretrained),
        pretrained_layers=pretrained_layers,
        freeze=freeze,
        unfreeze_after=unfreeze_after,
        layerwise_lr=layerwise_lr,
    )
    from recurra.tasks.fit import pretrain_files

    screen = Screen(as_json)
    screen.finish(
        pretrain_files(data, built, out, valid=valid, resume=resume, overwrite=overwrite, reporter=screen)
    )
