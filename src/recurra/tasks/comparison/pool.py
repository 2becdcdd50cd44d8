"""Runs side by side, each in a process of its own that has its own threads, memory and crash."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from recurra import errors
from recurra.errors import RecurraError
from recurra.tasks.comparison.runs import Job, Run

__all__ = ["Failed", "cores", "run_all"]

_WORKER = "recurra.tasks.comparison.worker"


@dataclass(frozen=True)
class Failed:
    """A run that came to nothing, and why."""

    job: Job
    reason: str


def cores() -> int:
    """How many processors this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def run_all(jobs: Sequence[Job], at_once: int, threads: int) -> Iterator[Run | Failed]:
    """Each job's result as it comes, ``at_once`` processes side by side with ``threads`` threads each.

    When the caller stops listening, or Ctrl-C comes, the processes under way are ended.

    Raises:
        RecurraError: settings or files that no run can use.
    """
    crew = _Crew(threads)
    pool = ThreadPoolExecutor(at_once)
    try:
        futures = [pool.submit(crew.do, job) for job in jobs]
        for future in as_completed(futures):
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        crew.dismiss()
        pool.shutdown(wait=True)
        crew.close()


class _Crew:
    """Worker processes: as many as work at once, each with a job at a time."""

    def __init__(self, threads: int) -> None:
        count = str(threads)
        once = {"RECURRA_THREADS": count, "OMP_NUM_THREADS": count, "OMP_WAIT_POLICY": "PASSIVE"}
        self._environment = {**os.environ, **once}
        self._lock = threading.Lock()
        self._all: set[subprocess.Popen[str]] = set()
        self._idle: list[subprocess.Popen[str]] = []
        self._dismissed = False

    def do(self, job: Job) -> Run | Failed:
        """Hands the job to a worker and waits for its answer."""
        worker = self._worker()
        if worker.stdin is None or worker.stdout is None:
            raise ValueError("a worker has pipes")
        line = ""
        try:
            worker.stdin.write(job.model_dump_json() + "\n")
            worker.stdin.flush()
            line = worker.stdout.readline()
        except BrokenPipeError:
            pass  # it is gone, as no answer says too
        with self._lock:
            self._idle.append(worker)
        return _result(job, json.loads(line or '{"died": "its process is gone"}'))

    def dismiss(self) -> None:
        """Ends all workers and what they are at."""
        with self._lock:
            self._dismissed = True
            for worker in self._all:
                _end(worker)

    def close(self) -> None:
        """Closes the pipes, when nobody reads them any more."""
        for worker in self._all:
            for pipe in (worker.stdin, worker.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()

    def _worker(self) -> subprocess.Popen[str]:
        """One that is idle and alive, else a new one."""
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if not _has_ended(worker):
                    return worker
            worker = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-m", _WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                env=self._environment,
                start_new_session=True,  # Ctrl-C is ours to handle
            )
            self._all.add(worker)
            if self._dismissed:
                _end(worker)
            return worker


def _has_ended(worker: subprocess.Popen[str]) -> bool:
    if sys.platform != "linux":
        worker.wait()  # there it ends after one job
    return worker.poll() is not None


def _end(worker: subprocess.Popen[str]) -> None:
    """Kills a worker and the run it has begun."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(worker.pid, signal.SIGKILL)
        else:
            worker.kill()
    worker.wait()


def _result(job: Job, answer: dict[str, Any]) -> Run | Failed:
    if "run" in answer:
        return Run.model_validate(answer["run"])
    if "died" in answer:
        return Failed(job, answer["died"])
    if answer["kind"] == "TrainingError":  # this network did not learn; others may
        return Failed(job, answer["error"])
    error = getattr(errors, answer["kind"], RecurraError)
    raise error(answer["error"])
