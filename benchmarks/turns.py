"""Programs of a benchmark take turns: one computes while all others wait, so that none disturbs another.

A program says ``Turns().over(...)`` whenever its turn is over and goes on when that returns. Whoever starts
the programs holds each as a ``Program``, which also measures what it spends, and that it spends nothing
while it waits. (Stopping the waiting ones with SIGSTOP was tried and made TensorFlow look slow: its pool
misses a wake-up now and then after SIGCONT, and turns of 2 s took 16 or 180.) Linux only, for /proc.
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
    """A program's side; without a holder it never waits and prints what it would say."""

    def __init__(self) -> None:
        handle = os.environ.get(_VARIABLE)
        self._talk = None if handle is None else socket.socket(fileno=int(handle)).makefile("rw")
        if self._talk is not None:  # without a holder the rest of the epoch would disturb whoever comes next
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

    def over(self, event: str, **facts: Any) -> None:
        """Says what the turn gave, and waits for the next one."""
        line = json.dumps({"event": event, **facts})
        if self._talk is None:
            print(line, flush=True)
            return
        self._talk.write(line + "\n")
        self._talk.flush()
        if not self._talk.readline():
            sys.exit("the holder of the turns has gone")


class Program:
    """The holder's side of one program.

    Args:
        name: for messages and the file of its output.
        command: what to run; it says ``over("ready")`` when it could begin with its first epoch.
        environment: variables on top of ours.
        folder: where the output goes.
    """

    def __init__(
        self, name: str, command: Sequence[object], environment: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.said: list[dict[str, Any]] = []
        self._output = folder / f"{name}.log"
        ours, theirs = socket.socketpair()
        with theirs, self._output.open("w", encoding="utf-8") as output:
            self._process = subprocess.Popen(
                list(map(str, command)),
                env={**os.environ, **environment, _VARIABLE: str(theirs.fileno())},
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._talk = ours.makefile("rw")
        self._spent = 0.0
        self._hear(time.perf_counter())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    @property
    def done(self) -> bool:
        """Whether it has said ``over("done")``."""
        return bool(self.said) and self.said[-1]["event"] == "done"

    def turn(self) -> dict[str, Any]:
        """Lets it go on until its turn is over.

        Returns:
            What it said, with ``epoch_seconds`` on our clock, the ``cpu_seconds`` of all its threads (too few
            where others kept the machine busy), the ``idle_cpu_seconds`` since its last turn (too many where
            its threads spin), and its ``peak_memory`` so far, in bytes.
        """
        former, self._spent = self._spent, self._cpu_seconds()
        idle = self._spent - former
        begun = time.perf_counter()
        self._talk.write("go\n")
        self._talk.flush()
        self._hear(begun)
        self.said[-1]["idle_cpu_seconds"] = idle
        return self.said[-1]

    def _hear(self, begun: float) -> None:
        line = self._talk.readline()
        seconds = time.perf_counter() - begun
        if not line:
            tail = self._output.read_text(encoding="utf-8", errors="replace")[-3000:]
            raise SystemExit(f"{tail}\n{self.name} ended before its time; above is the end of its output")
        former, self._spent = self._spent, self._cpu_seconds()
        peak = next(line for line in self._proc("status").splitlines() if line.startswith("VmHWM:"))
        self.said.append(
            {
                **json.loads(line),
                "epoch_seconds": seconds,
                "cpu_seconds": self._spent - former,
                "peak_memory": 1024 * int(peak.split()[1]),
            }
        )

    def _cpu_seconds(self) -> float:
        figures = self._proc("stat").rpartition(")")[2].split()
        return sum(map(int, figures[11:13])) / os.sysconf("SC_CLK_TCK")  # utime and stime, see proc(5)

    def _proc(self, name: str) -> str:
        return Path(f"/proc/{self._process.pid}/{name}").read_text(encoding="utf-8")
