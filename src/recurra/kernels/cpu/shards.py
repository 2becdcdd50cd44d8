"""How many shards a batch is divided into; apart from the threads, which need Numba."""

from __future__ import annotations

__all__ = ["shards_for"]


def shards_for(rows: int, directions: int, work: float, threads: int) -> int:
    """Number of shards of a direction: enough for all threads, or one if there is little work.

    One core does ``2e7`` operations in some 150 us: the time that starting a task and waiting for it takes if
    the thread sleeps.
    """
    if work < 2e7:
        return 1
    return max(1, min(rows, threads // directions))
