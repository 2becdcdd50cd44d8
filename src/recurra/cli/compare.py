"""`recurra compare`: which technique helps on these texts, and is it more than chance?"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from recurra.cli.options import AsJson, ConfigFile, Data, Group, Settings, SkipBadRows, Valid
from recurra.cli.screen import Screen

__all__ = ["compare"]


def compare(
    data: Data,
    recipes: Annotated[
        str,
        typer.Option(
            metavar="A,B,...",
            help="What to compare: recipes, each with +recurrent-dropout, +pretrained, +pretrained-tuned or "
            "+KEY=VALUE on top, such as lstm,bi-lstm,lstm+model.units=64.",
        ),
    ],
    seeds: Annotated[int, typer.Option(help="Runs of each, at most.", max=1000)] = 5,
    valid: Valid = None,
    test: Annotated[Path | None, typer.Option(help="A file to compare on.")] = None,
    sizes: Annotated[
        str, typer.Option(metavar="N,...,all", help="Training rows, for learning curves: 250,1000,all.")
    ] = "all",
    against: Annotated[
        str | None, typer.Option(metavar="A", help="What the others are compared to.  [default: the first]")
    ] = None,
    pretrained: Annotated[
        Path | None,
        typer.Option(metavar="EMB", help="A model or a file of word vectors, for +pretrained."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The comparison's directory.  [default: NAME-comparison]")
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Runs side by side.  [default: one a processor]")
    ] = None,
    enough: Annotated[
        float, typer.Option(min=0.0, help="Points of accuracy that do not matter: within them seeds stop.")
    ] = 0.5,
    stop_early: Annotated[bool, typer.Option(help="No more seeds for what has a clear verdict.")] = True,
    baseline: Annotated[bool, typer.Option(help="Measure the n-gram baseline beside them.")] = True,
    config: ConfigFile = None,
    settings: Settings = None,
    group: Group = None,
    skip_bad_rows: SkipBadRows = False,
    as_json: AsJson = False,
) -> None:
    """Compare recipes and techniques on the same rows, with intervals that count seeds and rows."""
    from recurra.compare.arms import parse_arms
    from recurra.compare.rounds import Study
    from recurra.compare.study import compare_files, parse_sizes
    from recurra.config import parse_set, read_settings

    arms = parse_arms(recipes, pretrained)
    columns = {"group": group} if group is not None else {}
    options = {**columns, "skip_bad_rows": True} if skip_bad_rows else columns
    layers = [read_settings(config)] if config else []
    layers += [parse_set(one) for one in settings or []]
    if options:
        layers.append({"data": options})
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
    screen = Screen(as_json)
    found = compare_files(
        data,
        study,
        out or Path(f"{data.absolute().name.partition('.')[0] or 'recurra'}-comparison"),
        valid=valid,
        test=test,
        jobs=jobs,
        command=shlex.join(["recurra", *sys.argv[1:]]),
        reporter=screen,
    )
    screen.finish(found.as_json())
    if found.interrupted:
        raise typer.Exit(130)
