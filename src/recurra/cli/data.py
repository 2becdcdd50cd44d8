"""`recurra data` checks a file, downloads a set or shows the cache; `recurra demo` trains on the sample."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from recurra.cli import options
from recurra.cli.help import Grouped
from recurra.cli.interrupts import saying_what_is_kept
from recurra.cli.screen import Screen

__all__ = ["app", "demo"]

app = typer.Typer(
    help="Check a data file, download a public data set, or show the cache.", no_args_is_help=True
)


@app.command("check", cls=Grouped)
def check(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="The file or folder to check.")],
    valid: Annotated[Path | None, typer.Option(help="A validation file, checked for leaks.")] = None,
    test: Annotated[Path | None, typer.Option(help="A test file, checked for leaks.")] = None,
    task: options.TaskName = None,
    target: options.Target = None,
    recipe: options.Recipe = None,
    config: options.ConfigFile = None,
    settings: options.Settings = None,
    group: options.Group = None,
    skip_bad_rows: options.SkipBadRows = False,
    as_json: options.AsJson = False,
) -> None:
    """Report what to know about a file before training, for any task: what it holds, and what is wrong."""
    built = options.chosen_config(
        recipe, config, settings, group, skip_bad_rows, task=task, data=data, target=target
    )
    from recurra.tasks.data import check_data

    screen = Screen(as_json)
    screen.finish(check_data(data, built, screen, valid=valid, test=test))


@app.command("fetch", cls=Grouped)
def fetch(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the data set: imdb.")],
    out: Annotated[Path, typer.Option(help="The folder to unpack into.")] = Path("data"),
    url: Annotated[str | None, typer.Option(help="Another URL of the same file.")] = None,
    local: Annotated[Path | None, typer.Option(help="A local copy of the archive.")] = None,
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Download a public data set from its authors' site, verify it and unpack it; resumes if interrupted."""
    from recurra.tasks.data import fetch_data

    screen = Screen(as_json, quiet=quiet)
    screen.finish(fetch_data(name, out, screen, url=url, local=local))


@app.command("cache", cls=Grouped)
def cache(
    clear: Annotated[bool, typer.Option("--clear", help="Remove all that no running process uses.")] = False,
    as_json: options.AsJson = False,
) -> None:
    """Show what the cache of read files holds, or clear it; RECURRA_CACHE_MB limits its size."""
    from recurra.tasks.data import show_cache

    screen = Screen(as_json)
    screen.finish(show_cache(screen, clear=clear))


def demo(
    language: Annotated[Literal["en", "zh"], typer.Option(help="Language of the sample.")] = "en",
    out: Annotated[Path, typer.Option(help="Folder of the sample and the model.")] = Path("recurra-demo"),
    quiet: options.Quiet = False,
    as_json: options.AsJson = False,
) -> None:
    """Create a sample, train and test a model on it, and explain three predictions, in under a minute."""
    from recurra.tasks.data import demonstrate

    screen = Screen(as_json, quiet=quiet)
    with saying_what_is_kept(out / "model"):
        result = demonstrate(out, language, screen)
    screen.finish(result)
