"""The default engine: each run in a process of its own, so that a crash or a memory peak concerns one run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from recurra.engines.base import Call, Engine, OnReport, result_of

__all__ = ["Processes"]

_WORKER = """
import sys
from recurra.runtime import end_with_parent
end_with_parent(int(sys.argv[1]))  # before the libraries are loaded, which takes seconds
from recurra.engines.worker import main
main()
"""
_TRIES = 2


class Processes(Engine):
    """Makes runs in worker processes of this machine, each with one run at a time.

    The workers are new interpreters (spawn): they share nothing with this process. A run whose process dies
    is made once more.

    Args:
        at_once: number of workers.
        threads: number of threads of each.
        preload: modules that a worker loads once.
    """

    def __init__(self, at_once: int, threads: int, preload: Sequence[str] = ()) -> None:
        count = str(threads)
        variables = {"RECURRA_THREADS": count, "OMP_NUM_THREADS": count, "OMP_WAIT_POLICY": "PASSIVE"}
        self._environment, self._preload = {**os.environ, **variables}, tuple(preload)
        self._pool = ThreadPoolExecutor(at_once)
        self._lock = threading.Lock()
        self._all: list[_Worker] = []
        self._idle: list[_Worker] = []
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

    def _next_worker(self) -> _Worker:
        """An idle worker, or a new one."""
        with self._lock:
            while self._idle and self._idle[-1].has_ended:
                self._idle.pop()
            worker = self._idle.pop() if self._idle else _Worker(self._environment, self._preload)
            if worker not in self._all:
                self._all.append(worker)
            if self._killed:
                worker.kill()
            return worker


class _Worker:
    """A process that makes one run at a time."""

    def __init__(self, environment: dict[str, str], preload: Sequence[str]) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the pipes
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-c", _WORKER, str(os.getpid()), *preload],
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
        """Whether it accepts no more runs."""
        if sys.platform != "linux":
            self._process.wait()  # it ends after one run there
        return self._process.poll() is not None

    def ask(self, call: Call, on_report: OnReport | None) -> dict[str, Any]:
        """Returns its answer, or the last line of its error output if it died."""
        try:
            self._send(vars(call))
            while line := self._receive():
                answer = dict(json.loads(line))
                if "report" not in answer:
                    return answer
                self._send(on_report is None or on_report(answer["report"]))
        except BaseException:  # of on_report: the run would wait for its reply
            self.kill()
            raise
        self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").split("\n")
        return {"died": next((line for line in reversed(lines) if line.strip()), "its process has ended")}

    def _send(self, value: Any) -> None:
        if self._process.stdin is None:
            raise ValueError("a worker has pipes")
        with suppress(BrokenPipeError):  # it has died, as the missing answer shows
            self._process.stdin.write(json.dumps(value) + "\n")
            self._process.stdin.flush()

    def _receive(self) -> str:
        if self._process.stdout is None:
            raise ValueError("a worker has pipes")
        line = self._process.stdout.readline()
        return line if line.endswith("\n") else ""  # it died within a line

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
