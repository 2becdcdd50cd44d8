"""`recurra tune`: a search for better settings within minutes, with a fair test of what it finds."""

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

__all__ = ["tune"]


def tune(
    data: options.Data,
    task: options.TaskName = None,
    valid: options.Valid = None,
    test: Annotated[
        Path | None,
        typer.Option(help="A file to test on, instead of held-out rows.", rich_help_panel=options.DATA),
    ] = None,
    target: options.Target = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="N",
            help="Minutes that everything may take.  [default: 10, or none with --trials]",
        ),
    ] = None,
    trials: Annotated[int | None, typer.Option(min=1, help="Maximum number of trials.")] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="The figure to search for: macro_f1, log_loss, ...  [default: accuracy, or the task's own]"
        ),
    ] = None,
    seeds: Annotated[
        int,
        typer.Option(
            min=0,
            max=100,
            help="Fresh seeds to compare the winner with the recipe, at least 2; more while minutes are "
            "left; 0 for none.",
        ),
    ] = 3,
    jobs: options.Jobs = None,
    engine: options.Engine = "processes",
    address: options.Address = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory of the search and its model.  [default: NAME-search]")
    ] = None,
    recipe: options.Recipe = None,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    group: options.Group = None,
    skip_bad_rows: options.SkipBadRows = False,
    pretrained: options.Pretrained = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Search for better settings, compare the best with the recipe, and train and test the final model.

    What --set and --config set is not varied. The same command continues an interrupted search.
    """
    begun = time.monotonic()
    screen = Screen(as_json, quiet=quiet)
    place = out or options.default_out(data, "search")
    with saying_what_is_kept(place / "model"):
        layers = options.chosen_layers(
            recipe,
            config,
            settings,
            group,
            skip_bad_rows,
            task=task,
            data=data,
            target=target,
            pretrained=pretrained and str(pretrained),
        )
        from recurra.tuning.tune import TuneRequest, tune_files

        limit = minutes if minutes is not None or trials is not None else 10.0
        request = TuneRequest(layers, metric or "", limit, trials, seeds)
        tuned = tune_files(
            data,
            request,
            place,
            valid=valid,
            test=test,
            jobs=jobs,
            engine=engine,
            address=address,
            command=shlex.join(["recurra", *sys.argv[1:]]),
            begun=begun,
            reporter=screen,
        )
    screen.finish(tuned.as_json())
    if tuned.interrupted:
        raise typer.Exit(130)
