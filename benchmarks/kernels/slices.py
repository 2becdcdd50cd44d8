"""A long run in short slices: what is done already, and what there is still time for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from time import perf_counter
from typing import TypeVar

from benchmarks.kernels.rows import Row

__all__ = ["done", "within"]

Item = TypeVar("Item")


def done(rows: Iterable[Row], since: str | None) -> set[tuple[object, ...]]:
    """The keys of the rows that a run leaves out.

    Args:
        rows: of the file that it adds to.
        since: date and time (ISO) of the oldest of them that counts; if None, none does.
    """
    return set() if since is None else {row.key for row in rows if row.date >= since}


def within(
    seconds: float, items: Sequence[Item], clock: Callable[[], float] = perf_counter
) -> Iterator[Item]:
    """The items until there is no time left for one that takes as long as the longest so far.

    Args:
        seconds: from the first item on.
        items: to go through; what is done with one counts as its time.
        clock: seconds from any start.
    """
    started, longest = clock(), 0.0
    for item in items:
        begun = clock()
        if begun + longest >= started + seconds:
            return
        yield item
        longest = max(longest, clock() - begun)
