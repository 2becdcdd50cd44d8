"""Benchmark programs that take turns: one computes while all others wait.

A program calls ``Turns().over(...)`` at the end of its turn and continues when the call returns. The
benchmark holds each program as a ``Program``, which also measures its CPU time, during its turn and while it
waits. (To stop waiting programs with SIGSTOP was tried and made TensorFlow look slow: its thread pool
sometimes misses a wake-up after SIGCONT, and turns of 2 s took 16 or 180 s.) Linux only, because of /proc.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

_VARIABLE = "BENCHMARK_TURNS"
_PR_SET_PDEATHSIG = 1


class Turns:
    """The program's side. If it was not started by a ``Program``, it prints its events and never waits."""

    def __init__(self) -> None:
        handle = os.environ.get(_VARIABLE)
        self._pipe = None if handle is None else socket.socket(fileno=int(handle)).makefile("rw")
        if self._pipe is not None:  # if the benchmark ends, this program must not continue to compute
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def over(self, event: str, **facts: Any) -> None:
        """Reports the results of the turn and waits for the next one."""
        line = json.dumps({"event": event, **facts})
        if self._pipe is None:
            print(line, flush=True)
            return
        self._pipe.write(line + "\n")
        self._pipe.flush()
        if not self._pipe.readline():
            sys.exit("the benchmark has ended")


class Program:
    """The benchmark's side of one program.

    Args:
        name: for messages and the name of the log file.
        command: the command to run; it calls ``over("ready")`` when it is ready for its first epoch.
        environment: additional environment variables.
        folder: the folder of the log file.
    """

    def __init__(
        self, name: str, command: Sequence[object], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.events: list[dict[str, Any]] = []
        self._output = folder / f"{name}.log"
        benchmark_end, program_end = socket.socketpair()
        with program_end, self._output.open("w", encoding="utf-8") as output:
            self._process = subprocess.Popen(
                list(map(str, command)),
                env={**os.environ, **environment, _VARIABLE: str(program_end.fileno())},
                pass_fds=[program_end.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._pipe = benchmark_end.makefile("rw")
        self._spent = 0.0
        self._receive(time.perf_counter())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def done(self) -> bool:
        """Whether the program has called ``over("done")``."""
        return bool(self.events) and self.events[-1]["event"] == "done"

    def turn(self) -> dict[str, Any]:
        """Lets the program continue until its turn is over.

        Returns:
            The program's event, with its wall-clock ``epoch_seconds``, the ``cpu_seconds`` of all its threads
            (low if other programs kept the machine busy), the ``idle_cpu_seconds`` since its last turn (high
            if its threads spin), and its ``peak_memory`` so far, in bytes.
        """
        previous, self._spent = self._spent, self._cpu_seconds()
        idle = self._spent - previous
        start = time.perf_counter()
        self._pipe.write("go\n")
        self._pipe.flush()
        self._receive(start)
        self.events[-1]["idle_cpu_seconds"] = idle
        return self.events[-1]

    def _receive(self, start: float) -> None:
        line = self._pipe.readline()
        seconds = time.perf_counter() - start
        if not line:
            tail = self._output.read_text(encoding="utf-8", errors="replace")[-3000:]
            raise SystemExit(f"{tail}\n{self.name} ended too early; the end of its output is above")
        previous, self._spent = self._spent, self._cpu_seconds()
        peak = next(line for line in self._proc("status").splitlines() if line.startswith("VmHWM:"))
        self.events.append(
            {
                **json.loads(line),
                "epoch_seconds": seconds,
                "cpu_seconds": self._spent - previous,
                "peak_memory": 1024 * int(peak.split()[1]),
            }
        )

    def _cpu_seconds(self) -> float:
        fields = self._proc("stat").rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")  # utime and stime, see proc(5)

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self._process.pid}/{name}").read_text(encoding="utf-8")
