"""Rows and texts that report their number as they are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from recurra.io.formats import Rows
from recurra.tasks.reporter import Tick

__all__ = ["counted", "counted_rows"]

_TICK = 256
T = TypeVar("T")


def counted_rows(chunks: Iterable[Rows], tick: Tick) -> Iterator[Rows]:
    """Yields chunks of rows, and reports each one when the next is asked for."""
    for rows in chunks:
        yield rows
        tick(len(rows.texts))


def counted(rows: Iterable[T], tick: Tick) -> Iterator[T]:
    """Yields rows, such as texts, and reports their number now and then."""
    for number, row in enumerate(rows, 1):
        yield row
        if number % _TICK == 0:
            tick(_TICK)
