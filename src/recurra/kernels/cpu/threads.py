"""Python threads for shards: compiled functions release the GIL, so OpenMP is not needed.

Two things made the second thread slow, and cost a quarter of a training step on two cores:

- A core that has slept is slow at first. With 5 ms between two forward passes, the second thread took 9.6 ms
  for its part instead of 7.3. A thread therefore waits actively for a short time before it sleeps, and offers
  its core to any other thread that wants it.
- Torch's own OpenMP threads (libgomp) wait actively for several ms after each parallel operation and offer
  their core to nobody; the kernel's thread then begins up to 5 ms late. They sleep at once if there are more
  OpenMP threads than cores, so one more team of them is kept.
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Callable, Sequence
from queue import Empty, SimpleQueue
from threading import Event, Lock, Thread
from typing import TypeAlias

import numpy as np

from recurra.kernels.cpu.layout import Integers
from recurra.kernels.cpu.machine_code import address, functions
from recurra.kernels.cpu.mail import AWAKE, MAIL

__all__ = ["partner_mail", "run_all"]

TURNS = 30_000 if hasattr(os, "sched_yield") else 0
"""Times that a waiting thread looks for work before it sleeps: some 10 ms, 0.3 us each."""

WORK_TO_WAKE = 5_000_000
"""Multiplications from which a second thread is woken for one row: 250 us of one thread."""

Task: TypeAlias = Callable[[], None]
Results: TypeAlias = "SimpleQueue[Exception | None]"


class _Pool:
    """Threads that take tasks from one queue."""

    def __init__(self, workers: int) -> None:
        self._queue: SimpleQueue[tuple[Task, Results, Integers] | None] = SimpleQueue()
        self._given = np.zeros(1, np.int64)  # tasks put into the queue
        self._threads = [
            Thread(
                target=self._work,
                args=(0 if n else _mail_address,),
                name=f"recurra-kernel_{n}",
                daemon=True,
            )
            for n in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, task: Task, results: Results, ended: Integers) -> None:
        """Has a task run; then its exception or None is in ``results``, and ``ended[0]`` is one more."""
        self._queue.put((task, results, ended))
        self._given[0] += 1

    def close(self) -> None:
        """Ends the threads."""
        for _ in self._threads:
            self._queue.put(None)
        self._given[0] += len(self._threads)
        for thread in self._threads:
            thread.join()

    def _work(self, mail_at: int) -> None:
        attend, given_at = functions().attend, address(self._given)
        while True:
            given = int(self._given[0])
            try:
                item = self._queue.get_nowait()
            except Empty:
                attend(given_at, given + 1, TURNS, mail_at)
                try:
                    item = self._queue.get_nowait()
                except Empty:
                    item = self._queue.get()
            if item is None:
                return
            task, results, ended = item
            error: Exception | None = None
            try:
                task()
            except Exception as raised:  # noqa: BLE001 - the caller raises it
                error = raised
            finally:
                results.put(error)
                ended[0] += 1
            del item, task, results, ended, error  # a waiting thread keeps no buffer in use


_lock = Lock()
_mail: Integers = np.zeros(MAIL, np.int64)
_mail_address = address(_mail)
_missed = 0
_pools: dict[int, _Pool] = {}
_team: _Team | None = None


def run_all(tasks: Sequence[Task], threads: int) -> None:
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
    pool, ended = _pool(threads - 1), np.zeros(1, np.int64)
    results: list[Results] = [SimpleQueue() for _ in others]
    for task, result in zip(others, results, strict=True):
        pool.submit(task, result, ended)
    try:
        for task in own:
            task()
    finally:
        functions().attend(address(ended), len(others), TURNS, 0)
        errors = [result.get() for result in results]
    for error in errors:
        if error is not None:
            raise error


def partner_mail(threads: int, work: int) -> int:
    """The address of the mail of the second of some threads (see ``pair.py``); 0 if it is not to take part.

    If it sleeps it is woken, which takes 50 us; the caller begins without it. For little work it is woken at
    every 16th call only, so that calls that follow each other find it awake and others cost nothing.
    """
    global _missed
    if threads <= 1:
        return 0
    if not _mail[AWAKE]:
        _missed += 1
        if work < WORK_TO_WAKE and _missed % 16:
            return 0
        _pool(threads - 1).submit(_nothing, SimpleQueue(), np.zeros(1, np.int64))
    return _mail_address


def _nothing() -> None:
    """The task of a thread that is only to be woken."""


def _pool(workers: int) -> _Pool:
    global _team
    with _lock:
        if _team is None:
            _team = _Team()
        if workers not in _pools:
            _pools[workers] = _Pool(workers)
        return _pools[workers]


class _Team:
    """One more team of torch's OpenMP threads, so that idle ones sleep at once; see above."""

    def __init__(self) -> None:
        self._end = Event()
        self._thread = Thread(target=self._hold, name="recurra-openmp", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread. Python would end it within torch, where the process is then aborted."""
        self._end.set()
        self._thread.join()

    def _hold(self) -> None:
        import torch  # not above: helpers that compile this module do without (`kernels/precompile.py`)

        torch.zeros(1 << 17, device="cpu").add_(1)  # of a size that torch computes with several threads
        self._end.wait()


def _close() -> None:
    """Ends all threads: a thread that outlives the interpreter cannot return from compiled code."""
    global _team
    with _lock:
        for pool in _pools.values():
            pool.close()
        _pools.clear()
        if _team is not None:
            _team.close()
            _team = None


def _forget() -> None:
    """The child of a fork starts its own threads."""
    global _lock, _team
    _lock = Lock()
    _team = None
    _pools.clear()
    _mail[:] = 0


atexit.register(_close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
