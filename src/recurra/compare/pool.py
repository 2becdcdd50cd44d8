"""Runs side by side, each in a process of its own that has its own threads, memory and crash."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from recurra import errors
from recurra.compare.runs import Job, Run
from recurra.errors import RecurraError

__all__ = ["Failed", "cores", "run_all"]

_WORKER = "recurra.compare.worker"


@dataclass(frozen=True)
class Failed:
    """A run that came to nothing, and why."""

    job: Job
    reason: str


def cores() -> int:
    """How many processors this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(allowed(0)) if allowed else os.cpu_count() or 1


def run_all(jobs: Sequence[Job], at_once: int, threads: int) -> Generator[Run | Failed]:
    """Each job's result as it comes, ``at_once`` processes side by side with ``threads`` threads each.

    When the caller stops listening, or Ctrl-C comes, the processes under way are ended.

    Raises:
        RecurraError: settings or files that no run can use.
    """
    workers = _WorkerPool(threads)
    pool = ThreadPoolExecutor(at_once)
    try:
        futures = [pool.submit(workers.do, job) for job in jobs]
        for future in as_completed(futures):
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        workers.dismiss()
        pool.shutdown(wait=True)
        workers.close()


class _WorkerPool:
    """Worker processes: as many as work at once, each with a job at a time."""

    def __init__(self, threads: int) -> None:
        count = str(threads)
        once = {"RECURRA_THREADS": count, "OMP_NUM_THREADS": count, "OMP_WAIT_POLICY": "PASSIVE"}
        self._environment = {**os.environ, **once}
        self._lock = threading.Lock()
        self._all: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._dismissed = False

    def do(self, job: Job) -> Run | Failed:
        """Hands the job to a worker and waits for its answer."""
        worker = self._worker()
        answer = worker.ask(job)
        with self._lock:
            self._idle.append(worker)
        return _result(job, answer)

    def dismiss(self) -> None:
        """Ends all workers and what they are at."""
        with self._lock:
            self._dismissed = True
            for worker in self._all:
                worker.end()

    def close(self) -> None:
        """Closes the pipes, when nobody reads them any more."""
        for worker in self._all:
            worker.close()

    def _worker(self) -> _Worker:
        """One that is idle and alive, else a new one."""
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if not worker.has_ended:
                    return worker
            worker = _Worker(self._environment)
            self._all.append(worker)
            if self._dismissed:
                worker.end()
            return worker


class _Worker:
    """A process that does a job at a time."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the pipes
        self._process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", _WORKER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
            env=environment,
            start_new_session=True,  # Ctrl-C is ours to handle
        )

    @property
    def has_ended(self) -> bool:
        """Whether it takes no more jobs."""
        if sys.platform != "linux":
            self._process.wait()  # there it ends after one job
        return self._process.poll() is not None

    def ask(self, job: Job) -> dict[str, Any]:
        """Its answer, or that it died, with its last words."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise ValueError("a worker has pipes")
        line = ""
        with suppress(BrokenPipeError):  # it is gone, as no answer says too
            stdin.write(job.model_dump_json() + "\n")
            stdin.flush()
            line = stdout.readline()
        if line:
            return dict(json.loads(line))
        self._process.wait()
        self._log.seek(0)
        words = self._log.read().decode("utf-8", "replace").split("\n")
        return {"died": next((word for word in reversed(words) if word.strip()), "its process is gone")}

    def end(self) -> None:
        """Kills it and the run it has begun."""
        with suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Closes its pipes."""
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def _result(job: Job, answer: dict[str, Any]) -> Run | Failed:
    if "run" in answer:
        return Run.model_validate(answer["run"])
    if "died" in answer:
        return Failed(job, answer["died"])
    if answer["kind"] == "TrainingError":  # this network did not learn; others may
        return Failed(job, answer["error"])
    error = getattr(errors, answer["kind"], RecurraError)
    raise error(answer["error"])
