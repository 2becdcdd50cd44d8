"""The command `recurra`: its verbs, and how errors end.

Each verb imports what it needs when it runs, so that `recurra --help` answers at once.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import NoReturn

import typer

from recurra.cli import compare, data, demo, evaluate, fit, inspect, predict, pretrain
from recurra.errors import RecurraError
from recurra.runtime import let_idle_threads_sleep

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
app.command("pretrain")(pretrain.pretrain)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("inspect")(inspect.inspect)
app.command("compare")(compare.compare)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    if version:
        from importlib.metadata import version as installed

        print(installed("recurra"))
        raise typer.Exit


def main() -> None:
    """Run the command line; a user's error is one line on stderr and exit code 2."""
    let_idle_threads_sleep()
    try:
        app()
    except RecurraError as error:
        _fail(str(error))
    except OSError as error:
        # What no room foresaw, such as a full disk behind stdout.
        _fail(f"{error.filename or 'output'}: {error.strerror or error}")
    except SystemExit as stop:
        if not isinstance(stop.__context__, BrokenPipeError):
            raise
        # The reader of our pipe (head, say) has gone, for which Typer exits with 1: it is no error.
        _silence_stdout()
        sys.exit(0)


def _fail(line: str) -> NoReturn:
    print(f"recurra: {line}", file=sys.stderr)
    _silence_stdout()
    sys.exit(2)


def _silence_stdout() -> None:
    """What is left in stdout's buffer goes nowhere: Python would complain when it flushes at exit."""
    with contextlib.suppress(OSError, io.UnsupportedOperation):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
