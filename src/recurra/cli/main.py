"""The command `recurra`: its verbs, and the handling of errors.

Each verb imports what it needs when it runs, so that `recurra --help` is fast.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from functools import partial
from typing import NoReturn

import typer

from recurra.cli import compare, data, decide, export, fit, monitor, serve, tune, use
from recurra.cli.help import Grouped
from recurra.cli.terminal import safe_streams
from recurra.errors import RecurraError
from recurra.runtime import few_collections, let_idle_threads_sleep

__all__ = ["app", "main"]

app = typer.Typer(
    name="recurra",
    help="Train, measure and explain recurrent networks on sequences, mainly texts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_command = partial(app.command, cls=Grouped)
_command("demo")(data.demo)
app.add_typer(data.app, name="data")
_command("fit")(fit.fit)
_command("pretrain")(fit.pretrain)
_command("evaluate")(use.evaluate)
_command("predict")(use.predict)
_command("decide")(decide.decide)
_command("inspect")(use.inspect)
_command("monitor")(monitor.monitor)
_command("compare")(compare.compare)
_command("tune")(tune.tune)
_command("export")(export.export)
_command("serve")(serve.serve)


@app.callback(invoke_without_command=True)
def _version(version: bool = typer.Option(False, "--version", help="Print the version and stop.")) -> None:
    if version:
        from importlib.metadata import version as installed

        print(installed("recurra"))
        raise typer.Exit


def main() -> None:
    """Runs the command line. A user's error is printed as one line on stderr, with exit code 2."""
    let_idle_threads_sleep()
    with few_collections(), safe_streams():
        _run()


def _run() -> None:
    try:
        app()
    except RecurraError as error:
        _fail(str(error))
    except OSError as error:
        # Not converted to an OutputError before, e.g. if stdout is redirected to a full disk.
        _fail(f"{error.filename or 'output'}: {error.strerror or error}")
    except SystemExit as stop:
        if not isinstance(stop.__context__, BrokenPipeError):
            raise
        # The reader of the pipe (e.g. head) has exited. Typer exits with 1, but this is not an error.
        _silence_stdout()
        sys.exit(0)


def _fail(line: str) -> NoReturn:
    print(f"recurra: {line}", file=sys.stderr)
    _silence_stdout()
    sys.exit(2)


def _silence_stdout() -> None:
    """Redirects stdout to /dev/null: otherwise Python reports an error when it flushes the buffer at exit."""
    with contextlib.suppress(OSError, io.UnsupportedOperation):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
