"""`recurra monitor`: whether new rows differ from those of the training, without labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recurra.cli import options
from recurra.cli.screen import Screen

__all__ = ["monitor"]


def monitor(
    model: options.Model,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="New rows; labels are not needed.")],
    settings: options.FileSettings = None,
    skip_bad_rows: options.SkipBadRows = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Tell whether new rows differ from those of the training: lengths, words, answers, confidence."""
    from recurra.tasks.monitoring import monitor_files

    screen = Screen(as_json, quiet=quiet)
    described = options.file_settings(settings, skip_bad_rows)
    screen.finish(monitor_files(model, file, settings=described, reporter=screen).as_json())
