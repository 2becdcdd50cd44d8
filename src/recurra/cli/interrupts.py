"""What Ctrl-C leaves: said in one line before the command ends."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from recurra.printable import printable

__all__ = ["saying_what_is_kept"]


@contextmanager
def saying_what_is_kept(out: Path) -> Iterator[None]:
    """Context of a training into ``out`` that says on Ctrl-C what of it is kept, and exits with code 130."""
    try:
        from recurra import store  # imports torch, which takes seconds

        before = store.stamp(out)
    except KeyboardInterrupt:
        raise _stop("nothing was trained yet, and nothing is changed") from None
    try:
        yield
    except KeyboardInterrupt as stop:
        now = store.stamp(out)
        if stop.args:  # raised by a stage that says what it keeps
            kept = str(stop.args[0])
        elif now is not None and now != before:
            kept = f"the trained model is in {out}, without its report"
        elif store.has_checkpoint(out):
            kept = f"the steps so far are kept in {out}: the same command with --resume goes on from there"
        elif now is not None:
            kept = f"nothing was trained yet; the model in {out} is as it was"
        else:
            kept = "nothing was trained yet, and nothing is kept"
        raise _stop(kept) from None


def _stop(kept: str) -> typer.Exit:
    print(f"recurra: interrupted: {printable(kept)}", file=sys.stderr)
    return typer.Exit(130)
