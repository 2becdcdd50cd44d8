"""The command `recurra`: its verbs, and how errors end.

Each verb imports what it needs when it runs, so that `recurra --help` answers at once.
"""

from __future__ import annotations

import os
import sys

import typer

from recurra.cli import data, demo, evaluate, fit, inspect, predict
from recurra.errors import RecurraError

__all__ = ["app", "main"]

app = typer.Typer(
    name="recurra",
    help="Recurrent networks on sequences, text first: trained, measured, explained.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("demo")(demo.demo)
app.add_typer(data.app, name="data")
app.command("fit")(fit.fit)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("inspect")(inspect.inspect)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    if version:
        from importlib.metadata import version as installed

        print(installed("recurra"))
        raise typer.Exit


def main() -> None:
    """Run the command line; a user's error is one line on stderr and exit code 2."""
    try:
        app()
    except RecurraError as error:
        print(f"recurra: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # The reader of our pipe (head, say) has gone: that is no error. Python would complain
        # once more when it flushes stdout at exit, so stdout goes nowhere from here on.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
