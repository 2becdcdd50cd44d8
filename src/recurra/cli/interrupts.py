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
    before = None
    try:
        from recurra import store

        before = store.stamp(out)
        yield
    except KeyboardInterrupt:
        print(f"recurra: interrupted: {printable(_kept(out, before))}", file=sys.stderr)
        raise typer.Exit(130) from None


def _kept(out: Path, before: tuple[int, int] | None) -> str:
    """What is in ``out``, where there was a model with the stamp ``before``, or None."""
    from recurra import store

    now = store.stamp(out)
    if now is not None and now != before:
        return f"the trained model is in {out}, without its report"
    if store.has_checkpoint(out):
        return f"the steps so far are kept in {out}: the same command with --resume goes on from there"
    if now is not None:
        return f"nothing was trained yet; the model in {out} is as it was"
    return "nothing was trained yet, and nothing is kept"
