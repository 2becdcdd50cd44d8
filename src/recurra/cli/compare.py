"""`recurra compare`: recipes compared on a training file, or two saved models on labelled rows."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from recurra.cli import options
from recurra.cli.interrupts import saying_what_is_kept
from recurra.cli.screen import Screen

__all__ = ["compare"]

_OF_MODELS = {"first", "second", "measured", "recipes", "settings", "skip_bad_rows", "quiet", "as_json"}
"""Parameters that a comparison of two saved models has."""


def compare(
    context: typer.Context,
    first: Annotated[
        Path,
        typer.Argument(
            metavar="DATA | MODEL_A", help="The training file for --recipes; or the first of two models."
        ),
    ],
    second: Annotated[
        Path | None, typer.Argument(metavar="MODEL_B", help="The second model, with --data.")
    ] = None,
    measured: Annotated[
        Path | None,
        typer.Option("--data", metavar="FILE", help="Labelled rows on which two models are compared."),
    ] = None,
    recipes: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Recipes to compare, each with optional +recurrent-dropout, +pretrained, +pretrained-tuned "
            "or +KEY=VALUE, such as lstm,bi-lstm,lstm+model.units=64.",
        ),
    ] = None,
    task: options.TaskName = None,
    seeds: Annotated[int, typer.Option(help="Maximum number of runs of each.", max=1000)] = 5,
    valid: options.Valid = None,
    test: Annotated[Path | None, typer.Option(help="A file to measure on.")] = None,
    sizes: Annotated[
        str,
        typer.Option(
            metavar="N,...,all", help="Numbers of training rows, for learning curves: 250,1000,all."
        ),
    ] = "all",
    against: Annotated[
        str | None,
        typer.Option(metavar="A", help="The recipe that the others are compared with.  [default: the first]"),
    ] = None,
    pretrained: Annotated[
        Path | None,
        typer.Option(metavar="EMB", help="A model or a file of word vectors, for +pretrained."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Directory of the results.  [default: NAME-comparison]")
    ] = None,
    jobs: options.Jobs = None,
    engine: options.Engine = "processes",
    address: options.Address = None,
    enough: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Difference that is negligible, in points of accuracy or hundredths of another figure; "
            "no more seeds within it.",
        ),
    ] = 0.5,
    stop_early: Annotated[
        bool, typer.Option(help="Run no more seeds of a recipe whose result is clear.")
    ] = True,
    baseline: Annotated[bool, typer.Option(help="Also measure the baseline.")] = True,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    group: options.Group = None,
    skip_bad_rows: options.SkipBadRows = False,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Compare recipes and techniques on the same rows, with intervals over seeds and rows.

    recurra compare MODEL_A MODEL_B --data FILE compares two saved models: the paired difference with its
    interval, McNemar's test, and the rows whose answers differ.
    """
    if second is not None or measured is not None:
        for parameter in context.command.params:
            source = context.get_parameter_source(parameter.name or "")
            given = source is not None and source.name == "COMMANDLINE"
            if given and parameter.name not in _OF_MODELS:
                raise typer.BadParameter("is not for two models", param_hint=parameter.opts[0])
        if second is None or measured is None or recipes is not None:
            hint = "give two models and --data FILE, without --recipes"
            raise typer.BadParameter(hint, param_hint="MODEL_B")
        from recurra.tasks.versus import compare_models

        screen = Screen(as_json, quiet=quiet)
        described = options.file_settings(settings, skip_bad_rows)
        screen.finish(compare_models(first, second, measured, settings=described, reporter=screen).as_json())
        return
    if recipes is None:
        raise typer.BadParameter("give --recipes A,B, or two models and --data FILE", param_hint="--recipes")
    data = first
    from recurra.comparison.arms import parse_arms
    from recurra.comparison.rounds import Study
    from recurra.comparison.study import compare_files, parse_sizes
    from recurra.config import load_recipe, merged_settings, read_settings
    from recurra.tasks.registry import task_of_file
    from recurra.tasks.settings import parse_assignment

    arms = parse_arms(recipes, pretrained)
    from_file = read_settings(config) if config else {}
    from_file.pop("recipe", None)  # the recipes are those of --recipes
    layers = [from_file, *(parse_assignment(assignment) for assignment in settings or [])]
    columns = options.given(group=group, skip_bad_rows=skip_bad_rows)
    if columns:
        layers.append({"data": columns})
    named = merged_settings(*layers).get("task")
    options.check_agreement("--task", task, "--set task", named)
    if task is None and named is None and not any("task" in load_recipe(arm.recipe) for arm in arms):
        task = task_of_file(data).name
    if task is not None:
        layers.append({"task": task})
    study = Study(
        arms,
        against or arms[0].key,
        seeds=seeds,
        sizes=parse_sizes(sizes),
        settings=layers,
        enough=enough / 100,
        adaptive=stop_early,
        baseline=baseline,
    )
    screen = Screen(as_json, quiet=quiet)
    folder = out or options.default_out(data, "comparison")
    with saying_what_is_kept(folder):
        comparison = compare_files(
            data,
            study,
            folder,
            valid=valid,
            test=test,
            jobs=jobs,
            engine=engine,
            address=address,
            command=shlex.join(["recurra", *sys.argv[1:]]),
            reporter=screen,
        )
    screen.finish(comparison.as_json())
    if comparison.interrupted:
        raise typer.Exit(130)
