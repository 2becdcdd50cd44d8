"""The engine for debugging: each run in this process, as it is submitted."""

from __future__ import annotations

import json
import os
from concurrent.futures import Future
from typing import Any

from recurra.engines.base import Call, Engine, OnReport, answer_of, result_of

__all__ = ["Inline"]

_THREADS = "RECURRA_THREADS"


class Inline(Engine):
    """Makes each run in this process; `submit` returns when the run is finished.

    Breakpoints and profilers work. A crash or a lack of memory ends everything, and peak memory is that of
    all runs so far. Argument, reports and result pass through JSON, as with other engines.

    Args:
        threads: number of threads of each run.
    """

    def __init__(self, threads: int) -> None:
        super().__init__(1, threads)
        self._before = os.environ.get(_THREADS)
        os.environ[_THREADS] = str(threads)

    def submit(self, call: Call, on_report: OnReport | None = None) -> Future[Any]:
        """Makes the run; see `Engine.submit`. Ctrl-C during it raises KeyboardInterrupt here."""

        def report(record: dict[str, Any]) -> bool:
            return on_report is None or on_report(json.loads(json.dumps(record)))

        future: Future[Any] = Future()
        try:
            sent = Call(call.function, json.loads(json.dumps(call.argument)))
            future.set_result(result_of(json.loads(json.dumps(answer_of(sent, report)))))
        except Exception as error:  # noqa: BLE001 - raised by the future
            future.set_exception(error)
        return future

    def close(self) -> None:
        """Restores the number of threads."""
        if self._before is None:
            os.environ.pop(_THREADS, None)
        else:
            os.environ[_THREADS] = self._before
