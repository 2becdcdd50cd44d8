"""The processes of a run, one a library and malloc setting, as seen by the one that gives them work."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

__all__ = ["Host", "HostEndedError"]

ROOT = Path(__file__).resolve().parents[2]
_KEPT = 1 << 30  # bytes; a process that has more in use after a case is started anew


class HostEndedError(Exception):
    """A process ended, or gave no answer in time."""


class Host:
    """One process; started on the first request, and again after it ended.

    Args:
        name: of the library, as `child` knows it.
        threads: it may compute with.
        malloc: ``default`` or ``tuned``.
        folder: of its log.
    """

    def __init__(self, name: str, threads: int, malloc: str, folder: Path) -> None:
        self.name, self.threads, self.malloc = name, threads, malloc
        self.log = folder / f"{name} {malloc}.log".replace(" ", "-")
        self._process: subprocess.Popen[str] | None = None

    def send(self, request: dict[str, Any]) -> None:
        if self._process is None:
            self._process = self._start()
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None

    def receive(self, timeout: float = 600) -> dict[str, Any]:
        """The answer to what was sent; an ``error`` in it is the library's own."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], timeout)
        line = process.stdout.readline() if ready else ""
        if not line:
            raise self._ended(None if ready else timeout)
        return json.loads(line)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        self.send(request)
        return self.receive()

    def cpu_seconds(self) -> float:
        """Processor time this process has used so far."""
        if self._process is None:
            return 0.0
        times = psutil.Process(self._process.pid).cpu_times()
        return times.user + times.system

    def forget(self) -> None:
        """Let go of a case's data; a process that holds on to memory is ended."""
        if self._process is None:
            return
        try:
            self.ask({"do": "forget"})
            if psutil.Process(self._process.pid).memory_info().rss > _KEPT:
                self.stop()
        except HostEndedError:
            pass  # as good as forgotten

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _environment(self) -> dict[str, str]:
        n = str(self.threads)
        pools = ["OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NPROC", "RECURRA_THREADS"]
        library, _, kind = self.name.partition(" ")
        own = {"KERAS_BACKEND": kind} if library == "keras" else {}
        if self.malloc == "tuned" and library != "recurra":
            # JAX asks for memory from several threads, whose own arenas give it back all the same; ours gets
            # no more than what `recurra fit` does for itself
            own["GLIBC_TUNABLES"] = "glibc.malloc.arena_max=1"
        elsewhere = {"TF_CPP_MIN_LOG_LEVEL": "3", "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""}
        return {**os.environ, **dict.fromkeys(pools, n), **elsewhere, **own}

    def _start(self) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-m",
            "benchmarks.kernels.child",
            self.name,
            str(self.threads),
            self.malloc,
        ]
        with self.log.open("a", encoding="utf-8") as log:
            return subprocess.Popen(
                command,
                cwd=ROOT,
                env=self._environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def _ended(self, waited: float | None = None) -> HostEndedError:
        assert self._process is not None
        code = None if waited else self._process.wait()
        self.stop()
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = f": {lines[-1][:200]}" if lines and code else ""
        silent = f"no answer in {waited:.0f} s" if waited else ""
        return HostEndedError(silent or f"process ended with {code}{last}")
