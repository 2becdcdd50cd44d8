"""The process that makes runs for `Processes`: calls are read from stdin, answers are written to stdout.

Each run has its own process, so that its peak memory can be measured and its crash does not affect other
runs. On Linux it is a fork of this process, which has only loaded the libraries (3 s); elsewhere it is this
process, which ends after one run. A lasting worker makes all runs itself: they share what they have loaded.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from recurra.engines.base import Call, answer_of, end_of
from recurra.runtime import end_with_parent

__all__ = ["main"]

_REPORT = b'{"report"'


def main() -> None:
    """Answers each call with one line; before it, one line for each report, to which a line is the reply."""
    # Output of libraries must not be mixed with the answers.
    out = os.dup(1)
    os.dup2(2, 1)
    for name in sys.argv[3:]:
        importlib.import_module(name)
    calls = _Lines(0)
    if sys.argv[2] == "lasting":
        while (line := calls.next()) is not None:
            _send(out, _answer(line, out, calls))
        return
    if sys.platform != "linux":
        _send(out, _answer(calls.next(), out, calls))
        return
    while (line := calls.next()) is not None:
        _send(out, _answer_in_fork(line, calls, lambda report: _send(out, report)))


class _Lines:
    """The lines of a file descriptor, read without waiting for more than there is."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._rest = b""
        self._lines: list[bytes] = []

    def read(self) -> list[bytes] | None:
        """Reads once, and returns the lines that are complete now; None at the end."""
        if not (chunk := os.read(self.descriptor, 1 << 16)):
            return None
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return lines

    def next(self) -> bytes | None:
        """Waits for the next line and returns it; None at the end."""
        while not self._lines:
            lines = self.read()
            if lines is None:
                return None
            self._lines += lines
        return self._lines.pop(0)


def _send(descriptor: int, line: bytes) -> None:
    line += b"\n"
    while line:
        line = line[os.write(descriptor, line) :]


def _answer(line: bytes | None, out: int, replies: _Lines) -> bytes:
    """Makes a run in this process and returns its answer."""

    def report(record: dict[str, Any]) -> bool:
        _send(out, json.dumps({"report": record}).encode())
        return replies.next() == b"true"

    return json.dumps(answer_of(Call(**json.loads(line or b"{}")), report)).encode()


def _answer_in_fork(line: bytes, calls: _Lines, pass_on: Callable[[bytes], None]) -> bytes:
    """Returns the answer of a fork of this process, which is killed if the parent stops waiting."""
    (reading, writing), (replies, replying) = os.pipe(), os.pipe()
    worker = os.getpid()
    with warnings.catch_warnings():
        # Python warns of the thread of pyarrow's allocator, which supports forks.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        end_with_parent(worker)
        os.close(reading)
        os.close(replying)
        _send(writing, _answer(line, writing, _Lines(replies)))
        os._exit(0)
    os.close(writing)
    os.close(replies)
    answer = _relayed(child, _Lines(reading), calls, replying, pass_on)
    os.close(reading)
    os.close(replying)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 0:
        return answer
    return json.dumps({"died": f"its process {end_of(code)}"}).encode()


def _relayed(
    child: int, said: _Lines, calls: _Lines, replying: int, pass_on: Callable[[bytes], None]
) -> bytes:
    """Passes reports and replies on until the child ends, and returns its answer; empty if it gave none."""
    answer, awaited = b"", [said.descriptor, calls.descriptor]
    while True:
        ready = select.select(awaited, [], [])[0]
        if said.descriptor in ready:
            lines = said.read()
            if lines is None:
                return answer
            for line in lines:
                if line.startswith(_REPORT):
                    pass_on(line)
                else:
                    answer = line
        if calls.descriptor in ready:
            given = calls.read()
            if given is None:  # nobody waits for the answer any more
                os.kill(child, signal.SIGKILL)
                awaited.remove(calls.descriptor)
            for reply in given or ():
                with suppress(BrokenPipeError):  # the child has died
                    _send(replying, reply)
