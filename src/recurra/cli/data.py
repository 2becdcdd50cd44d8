"""`recurra data`: check a data file before training, or download a public data set."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from recurra.cli.options import AsJson, ConfigFile, Group, Recipe, Settings, SkipBadRows, chosen_config
from recurra.cli.screen import Screen

__all__ = ["app"]

app = typer.Typer(help="Check a data file, or download a public data set.", no_args_is_help=True)


@app.command("check")
def check(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="The file or folder to check.")],
    valid: Annotated[Path | None, typer.Option(help="A validation file, checked for leaks.")] = None,
    test: Annotated[Path | None, typer.Option(help="A test file, checked for leaks.")] = None,
    recipe: Recipe = None,
    config: ConfigFile = None,
    settings: Settings = None,
    group: Group = None,
    skip_bad_rows: SkipBadRows = False,
    as_json: AsJson = False,
) -> None:
    """Report columns, classes, lengths, duplicates, leaks, label conflicts, unknown words, languages."""
    built = chosen_config(recipe, config, settings, group, skip_bad_rows)
    from recurra.tasks.data import check_data

    screen = Screen(as_json)
    screen.finish(check_data(data, built, screen, valid=valid, test=test))


@app.command("fetch")
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the data set: imdb.")],
    out: Annotated[Path, typer.Option(help="The folder to unpack into.")] = Path("data"),
    url: Annotated[str | None, typer.Option(help="Another URL of the same file.")] = None,
    local: Annotated[Path | None, typer.Option(help="A local copy of the archive.")] = None,
    as_json: AsJson = False,
) -> None:
    """Download a public data set from its authors' site, verify it and unpack it; resumes if interrupted."""
    from recurra.tasks.data import fetch_data

    screen = Screen(as_json)
    screen.finish(fetch_data(name, out, screen, url=url, local=local))
