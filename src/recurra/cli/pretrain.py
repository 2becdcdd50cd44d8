"""`recurra pretrain`: train a network on a large data set, as a starting point for other models."""

from __future__ import annotations

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

__all__ = ["pretrain"]


def pretrain(
    data: Data,
    out: Annotated[Path, typer.Option(help="The model directory, for --pretrained later.")],
    task: TaskName = None,
    valid: Valid = None,
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
    as_json: AsJson = False,
) -> None:
    """Train a network on a large data set, to initialize others with `recurra fit SMALL --pretrained`.

    Labelled texts train a classifier; texts without labels train a language model (--task lm).
    """
    transfer = transfer_settings(pretrained, pretrained_layers, freeze, unfreeze_after, layerwise_lr)
    built = chosen_config(recipe, config, settings, group, skip_bad_rows, transfer, task=task, data=data)
    from recurra.tasks.fit import pretrain_files

    screen = Screen(as_json)
    screen.finish(
        pretrain_files(data, built, out, valid=valid, resume=resume, overwrite=overwrite, reporter=screen)
    )
