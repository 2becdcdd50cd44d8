"""The default engine: each run in a process of its own, so that a crash or a memory peak concerns one run."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from recurra.engines.base import Call, Engine, OnReport, result_of
from recurra.engines.workers import WorkerProcess, thread_variables

__all__ = ["Processes"]

_TRIES = 2


class Processes(Engine):
    """Makes runs in worker processes of this machine, each with one run at a time.

    The workers are new interpreters (spawn): they share nothing with this process. A run whose process dies
    is made once more.

    Args:
        at_once: number of workers.
        threads: number of threads of each.
        preload: modules that a worker loads once.
        lasting: whether a worker makes its runs itself, and keeps what they leave in memory. Otherwise each
            run has a process of its own.
    """

    def __init__(
        self, at_once: int, threads: int, preload: Sequence[str] = (), lasting: bool = False
    ) -> None:
        super().__init__(at_once, threads)
        self._environment, self._preload = {**os.environ, **thread_variables(threads)}, tuple(preload)
        self._lasting = lasting
        self._pool = ThreadPoolExecutor(at_once)
        self._lock = threading.Lock()
        self._all: list[WorkerProcess] = []
        self._idle: list[WorkerProcess] = []
        self._killed = False

    def submit(self, call: Call, on_report: OnReport | None = None) -> Future[Any]:
        """Sends the run to a worker as soon as one is idle; see `Engine.submit`."""
        return self._pool.submit(self._run, call, on_report)

    def close(self) -> None:
        """Kills all workers."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            self._killed = True
            for worker in self._all:
                worker.kill()
        self._pool.shutdown(wait=True)
        for worker in self._all:  # pipes are closed after all reading has ended
            worker.close()

    def _run(self, call: Call, on_report: OnReport | None) -> Any:
        for _ in range(_TRIES):
            worker = self._next_worker()
            answer = worker.ask(call, on_report)
            with self._lock:
                if "died" in answer:  # a reply to its last report may be left in the pipe
                    worker.kill()
                else:
                    self._idle.append(worker)
            if "died" not in answer or self._killed:
                break
        return result_of(answer)

    def _next_worker(self) -> WorkerProcess:
        """An idle worker, or a new one."""
        with self._lock:
            while self._idle and self._idle[-1].has_ended:
                self._idle.pop()
            worker = (
                self._idle.pop()
                if self._idle
                else WorkerProcess(self._environment, self._preload, self._lasting)
            )
            if worker not in self._all:
                self._all.append(worker)
            if self._killed:
                worker.kill()
            return worker
