"""Processes that compile kernels into the cache, beside the one that needs them.

Numba compiles one function at a time in a process. A helper goes through the modules in another order than
an import does, and each function is compiled by the process that reaches it first, under a lock; the others
load it. What a helper does not do, for whatever reason, the process itself does.
"""

from __future__ import annotations

import atexit
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from threading import Lock

from recurra.runtime import processors

__all__ = ["begin", "stop"]

_running: list[subprocess.Popen[bytes]] = []
_begun: set[str] = set()
_lock = Lock()


def begin(entry: str, folder: Path, count: int = 1) -> None:
    """Starts helpers, if there is more than one processor, and none were started before.

    They end by themselves, with this process, or at ``stop``.

    Args:
        entry: the module of this package whose import needs the compiled functions.
        folder: of the cache.
        count: 1 beside this process if it compiles too, 2 if it does something else.
    """
    with _lock:
        if entry in _begun:
            return
        _begun.add(entry)
    # A program that was frozen into one file would start itself.
    if processors() == 1 or not sys.executable or getattr(sys, "frozen", False):
        return
    for number in range(count):
        arguments = (entry, str(number), str(folder), str(os.getpid()))
        with suppress(OSError):  # the system has no room for another process
            _running.append(
                subprocess.Popen(  # noqa: S603 - this interpreter
                    [sys.executable, "-P", "-m", "recurra.kernels.precompile", *arguments],
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(path or os.curdir for path in sys.path)},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )


def stop() -> None:
    """Ends the helpers that still run."""
    while _running:
        helper = _running.pop()
        helper.kill()
        helper.wait()


atexit.register(stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_running.clear)  # they are the parent's
