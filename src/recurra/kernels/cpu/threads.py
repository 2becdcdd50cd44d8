"""Python threads for shards: compiled functions release the GIL, so OpenMP is not needed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

__all__ = ["run_all", "shards_for"]

_lock = Lock()
_pools: dict[int, ThreadPoolExecutor] = {}


def shards_for(rows: int, directions: int, work: float, threads: int) -> int:
    """Number of shards of a direction: enough for all threads, or one if there is little work.

    Starting a task in a thread and waiting for it takes 150 us, in which one core does about ``2e7``
    operations.
    """
    if work < 2e7:
        return 1
    return max(1, min(rows, threads // directions))


def run_all(tasks: Sequence[Callable[[], None]], threads: int) -> None:
    """Runs all tasks on at most ``threads`` threads, including the caller's.

    Raises:
        Exception: the first exception of a task, in order, after all tasks have ended.
    """
    if threads <= 1 or len(tasks) <= 1:
        for task in tasks:
            task()
        return
    # the calling thread, which would only wait, runs the first of each round of tasks
    own, others = tasks[::threads], [task for n, task in enumerate(tasks) if n % threads]
    waiting = [_pool(threads - 1).submit(task) for task in others]
    try:
        for task in own:
            task()
    finally:
        errors = [future.exception() for future in waiting]
    for error in errors:
        if error is not None:
            raise error


def _pool(workers: int) -> ThreadPoolExecutor:
    with _lock:
        if workers not in _pools:
            _pools[workers] = ThreadPoolExecutor(workers, thread_name_prefix="recurra-kernel")
        return _pools[workers]


def _forget() -> None:
    """The child of a fork starts its own threads."""
    global _lock
    _lock = Lock()
    _pools.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
