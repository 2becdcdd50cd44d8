"""A worker process of an engine, as the process that started it sees it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from recurra.engines.base import Call, OnReport, end_of

__all__ = ["WorkerProcess", "thread_variables"]

_WORKER = """
import sys
from recurra.runtime import end_with_parent
end_with_parent(int(sys.argv[1]))  # before the libraries are loaded, which takes seconds
from recurra.engines.worker import main
main()
"""


def thread_variables(threads: int) -> dict[str, str]:
    """Returns the environment variables of a process that computes with so many threads."""
    count = str(threads)
    return {"RECURRA_THREADS": count, "OMP_NUM_THREADS": count, "OMP_WAIT_POLICY": "PASSIVE"}


class WorkerProcess:
    """A new interpreter that makes one run at a time; it ends with the process that started it.

    Args:
        environment: its environment variables.
        preload: modules that it loads once.
        lasting: whether it makes all runs itself, and keeps what they leave in memory. Otherwise each run has
            a process of its own.
    """

    def __init__(self, environment: Mapping[str, str], preload: Sequence[str], lasting: bool = False) -> None:
        self._lasting = lasting
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the pipes
        self._process = subprocess.Popen(  # noqa: S603 - our own module
            [sys.executable, "-c", _WORKER, str(os.getpid()), "lasting" if lasting else "", *preload],
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
        if sys.platform != "linux" and not self._lasting:
            self._process.wait()  # it ends after one run there
        return self._process.poll() is not None

    def ask(self, call: Call, on_report: OnReport | None) -> dict[str, Any]:
        """Returns its answer; if it died, the last line of its error output as ``died``."""
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
        code = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").split("\n")
        reason = f"its process {end_of(code)}"
        return {"died": next((line for line in reversed(lines) if line.strip()), reason)}

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
        """Ends it and its runs at once."""
        with suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Closes its pipes, when nobody reads them any more."""
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
