"""`recurra fit` trains, tests and saves a model; `recurra pretrain` trains one to initialize others from."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from recurra.cli import options
from recurra.cli.interrupts import saying_what_is_kept
from recurra.cli.screen import Screen

__all__ = ["fit", "pretrain"]


def fit(
    data: options.Data,
    task: options.TaskName = None,
    valid: options.Valid = None,
    test: Annotated[
        Path | None, typer.Option(help="A file to test on at the end.", rich_help_panel=options.DATA)
    ] = None,
    unlabeled: options.Unlabeled = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The model directory.  [default: NAME-model]", rich_help_panel=options.RUN),
    ] = None,
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
    minutes: options.Minutes = None,
    risk: options.Risk = None,
    continued: options.Continue = None,
    workers: options.Workers = 1,
    engine: options.TrainingEngine = "processes",
    address: options.TrainingAddress = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    baseline: Annotated[
        bool, typer.Option(help="Also measure the baseline.", rich_help_panel=options.RUN)
    ] = True,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Train a network on a file, compare it with a baseline, and save it with a report."""
    begun = time.monotonic()
    screen = Screen(as_json, quiet=quiet)
    if risk is not None:
        settings = [*(settings or []), f"predict.risk={risk}"]
    place = out or options.default_out(data, "model")
    if continued is not None:
        fixed = {"--recipe": recipe, "--config": config, "--task": task, "--target": target}
        more = {"--unlabeled": unlabeled, "--pretrained": pretrained, "--resume": resume, "--group": group}
        layers = {
            "--pretrained-layers": pretrained_layers,
            "--freeze": freeze,
            "--unfreeze-after": unfreeze_after,
            "--layerwise-lr": layerwise_lr,
        }
        for name, value in {**fixed, **more, **layers}.items():
            if value not in (None, False):
                raise typer.BadParameter("is not for a model that is continued", param_hint=name)
        with saying_what_is_kept(place):
            from recurra.tasks.continuing import continue_files

            described = options.file_settings(settings, skip_bad_rows)
            if minutes is not None:
                described.setdefault("train", {})["minutes"] = minutes
            gone_on = continue_files(
                continued,
                data,
                place,
                settings=described,
                valid=valid,
                test=test,
                overwrite=overwrite,
                baseline=baseline,
                command=shlex.join(["recurra", *sys.argv[1:]]),
                begun=begun,
                workers=workers,
                engine=engine,
                address=address,
                reporter=screen,
            )
        screen.finish({**gone_on.as_json(), "forgotten": gone_on.bundle.metrics["forgotten"]})
        return
    with saying_what_is_kept(place):
        built = options.chosen_config(
            recipe,
            config,
            settings,
            group,
            skip_bad_rows,
            task=task,
            data=data,
            target=target,
            unlabeled=unlabeled is not None,
            pretrained=pretrained and str(pretrained),
            pretrained_layers=pretrained_layers,
            freeze=freeze,
            unfreeze_after=unfreeze_after,
            layerwise_lr=layerwise_lr,
            minutes=minutes,
        )
        from recurra.tasks.fit import fit_files

        result = fit_files(
            data,
            built,
            place,
            valid=valid,
            test=test,
            unlabeled=unlabeled,
            resume=resume,
            overwrite=overwrite,
            baseline=baseline,
            command=shlex.join(["recurra", *sys.argv[1:]]),
            begun=begun,
            workers=workers,
            engine=engine,
            address=address,
            reporter=screen,
        )
    screen.finish(result.as_json())


def pretrain(
    data: options.Data,
    out: Annotated[
        Path, typer.Option(help="The model directory, for --pretrained later.", rich_help_panel=options.RUN)
    ],
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
    minutes: options.Minutes = None,
    workers: options.Workers = 1,
    engine: options.TrainingEngine = "processes",
    address: options.TrainingAddress = None,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Train a network on a large data set, to initialize others with `recurra fit SMALL --pretrained`.

    Labelled texts train a classifier; texts without labels train a language model (--task lm).
    """
    begun = time.monotonic()
    screen = Screen(as_json, quiet=quiet)
    with saying_what_is_kept(out):
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
            minutes=minutes,
        )
        from recurra.tasks.fit import pretrain_files

        result = pretrain_files(
            data,
            built,
            out,
            valid=valid,
            resume=resume,
            overwrite=overwrite,
            begun=begun,
            workers=workers,
            engine=engine,
            address=address,
            reporter=screen,
        )
    screen.finish(result)
