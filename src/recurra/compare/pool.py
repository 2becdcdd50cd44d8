"""Parallel runs, each in its own process: a crash or a memory peak concerns one run only."""

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

_WORKER = """
import sys
from recurra.runtime import end_with_parent
end_with_parent(int(sys.argv[1]))  # before the libraries are loaded, which takes seconds
from recurra.compare.worker import main
main()
"""


@dataclass(frozen=True)
class Failed:
    """A run that failed, and the reason."""

    job: Job
    reason: str


def cores() -> int:
    """Returns the number of processors that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # not on every system
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def run_all(jobs: Sequence[Job], at_once: int, threads: int) -> Generator[Run | Failed]:
    """Yields the result of each job as it finishes.

    If the caller closes the generator, or on Ctrl-C, the running processes are killed.

    Args:
        jobs: The runs.
        at_once: Number of parallel processes.
        threads: Number of threads of each process.

    Raises:
        RecurraError: If settings or files cannot be used by any run.
    """
    workers = _WorkerPool(threads)
    pool = ThreadPoolExecutor(at_once)
    try:
        futures = [pool.submit(workers.do, job) for job in jobs]
        for future in as_completed(futures):
            yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        workers.kill()
        pool.shutdown(wait=True)
        workers.close()


class _WorkerPool:
    """Worker processes, each with one job at a time."""

    def __init__(self, threads: int) -> None:
        count = str(threads)
        variables = {"RECURRA_THREADS": count, "OMP_NUM_THREADS": count, "OMP_WAIT_POLICY": "PASSIVE"}
        self._environment = {**os.environ, **variables}
        self._lock = threading.Lock()
        self._all: list[_Worker] = []
        self._idle: list[_Worker] = []
        self._killed = False

    def do(self, job: Job) -> Run | Failed:
        """Sends the job to an idle worker, or a new one, and waits for its result."""
        with self._lock:
            while self._idle and self._idle[-1].has_ended:
                self._idle.pop()
            worker = self._idle.pop() if self._idle else _Worker(self._environment)
            if worker not in self._all:
                self._all.append(worker)
            if self._killed:
                worker.kill()
        answer = worker.ask(job)
        with self._lock:
            self._idle.append(worker)
        return _result(job, answer)

    def kill(self) -> None:
        with self._lock:
            self._killed = True
            for worker in self._all:
                worker.kill()

    def close(self) -> None:
        """Closes the pipes after all reading has ended."""
        for worker in self._all:
            worker.close()


class _Worker:
    """A process that runs one job at a time."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the pipes
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-c", _WORKER, str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            encoding="utf-8",
            env=environment,
            start_new_session=True,  # Ctrl-C is handled by the parent
        )

    @property
    def has_ended(self) -> bool:
        """Whether it accepts no more jobs."""
        if sys.platform != "linux":
            self._process.wait()  # it ends after one job there
        return self._process.poll() is not None

    def ask(self, job: Job) -> dict[str, Any]:
        """Returns its answer, or the last line of its error output if it died."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise ValueError("a worker has pipes")
        line = ""
        with suppress(BrokenPipeError):  # it has died, as the missing answer shows
            stdin.write(job.model_dump_json() + "\n")
            stdin.flush()
            line = stdout.readline()
        if line:
            return dict(json.loads(line))
        self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").split("\n")
        return {"died": next((line for line in reversed(lines) if line.strip()), "its process has ended")}

    def kill(self) -> None:
        with suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()


def _result(job: Job, answer: dict[str, Any]) -> Run | Failed:
    if "run" in answer:
        return Run.model_validate(answer["run"])
    if "died" in answer:
        return Failed(job, answer["died"])
    if answer["kind"] == "TrainingError":  # of this run only
        return Failed(job, answer["error"])
    error = getattr(errors, answer["kind"], RecurraError)
    raise error(answer["error"])
