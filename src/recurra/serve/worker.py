"""What requests ask for, computed one batch after another: short batches at once, long ones in a thread.

No batch waits for further requests: those that come while one is computed are the next one.

A short batch is computed in the thread of the event loop. A thread of its own would have to be woken, would
give the answer back through the loop, and would take Python's lock from the loop at each of its system calls.
A batch that is expected to take longer than `AT_ONCE` is computed in the thread, while the loop reads
requests and answers those for figures and health.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from recurra.errors import RecurraError
from recurra.serve.answering import Answered, answer_texts
from recurra.serve.limits import Limits
from recurra.serve.measures import Measures
from recurra.serve.models import Model
from recurra.serve.refusals import AskError, refusal_of
from recurra.tasks.registry import task_info

__all__ = ["AT_ONCE", "Worker"]

AT_ONCE = 0.02
"""Seconds up to which a batch is computed by the event loop, which does nothing else meanwhile."""
_LEAST = 100  # what a text takes besides its length, in characters
_FIRST = 1e-3  # seconds for a character, before any text was answered: the first batches go to the thread
_LOG = logging.getLogger("recurra.serve")


@dataclass(eq=False)
class _Job:
    """Work of one request.

    Attributes:
        result: gets the answer, or the exception; of the event loop that asked.
        model: the model that answers, even if another one takes its place meanwhile.
        size: the number of texts.
        deadline: the time from which on nobody waits for the answer.
        key: jobs with an equal key are answered together.
        texts: the texts, of a job with a key.
        options: the options of the task.
        call: what a job without texts computes.
    """

    result: asyncio.Future[Any]
    model: Model
    size: int
    deadline: float
    key: Hashable = None
    texts: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    call: Callable[[], Any] | None = None

    @property
    def length(self) -> int:
        """What the time depends on: the characters, and a number for each text."""
        return sum(map(len, self.texts)) + _LEAST * self.size


class Worker:
    """Answers requests one batch after another, never two at the same time.

    Args:
        limits: those of the server.
        measures: counts batches and texts.
    """

    def __init__(self, limits: Limits, measures: Measures) -> None:
        self._limits, self._measures = limits, measures
        self._jobs: deque[_Job] = deque()
        self._waiting = 0  # texts
        self._told = False  # whether `_go_on` will be called
        self._busy = False  # whether a batch is computed
        self._handed: list[_Job] | None = None  # what the thread is to compute next
        self._changed = threading.Condition()
        self._closing = False
        self._pace: dict[tuple[str, str], float] = {}  # seconds for a character, by model; moving means
        self._pace_of_texts = 0.01  # seconds for a text of any model
        self._thread = threading.Thread(target=self._work, name="recurra-worker", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    @property
    def works(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Finishes the jobs that are waiting, and ends the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join()

    def texts(self, model: Model, texts: list[str], options: dict[str, Any]) -> asyncio.Future[Answered]:
        """Returns the future answers to texts.

        Raises:
            AskError: too many texts are waiting (429).
        """
        key = (id(model), repr(sorted(options.items())))
        return self._put(_Job(_future(), model, max(1, len(texts)), self._deadline(), key, texts, options))

    def call(self, model: Model, function: Callable[[], Any]) -> asyncio.Future[Any]:
        """Returns the future value of a function, which no other work interrupts.

        Raises:
            AskError: too many texts are waiting (429).
        """
        return self._put(_Job(_future(), model, 1, self._deadline(), call=function))

    def _deadline(self) -> float:
        return time.monotonic() + self._limits.timeout

    def _put(self, job: _Job) -> asyncio.Future[Any]:
        with self._changed:
            if self._waiting and self._waiting + job.size > self._limits.queue:
                seconds = max(1, round(self._waiting * self._pace_of_texts))
                line = f"{self._waiting:,} texts are waiting; try again in {seconds} s"
                raise AskError(429, line, {"Retry-After": str(seconds)})
            self._jobs.append(job)
            self._waits(job.size)
        self._go_on_soon(job.result.get_loop())
        return job.result

    def _waits(self, texts: int) -> None:
        self._waiting += texts
        self._measures.waiting.set(self._waiting)

    def _go_on_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Computes after the other requests that came in the same turn of the loop: they are one batch."""
        if not self._told:
            self._told = True
            loop.call_soon(self._go_on, loop)

    def _go_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Computes the next batch, or hands it to the thread; called by the loop."""
        self._told = False
        with self._changed:
            if self._busy or not self._jobs:
                return
            jobs, self._busy = self._take(), True
            if not self._is_short(jobs):
                self._handed = jobs
                self._changed.notify_all()
                return
        for job, value in self._answered(jobs):
            _deliver(job.result, value)
        self._busy = False
        if self._jobs:
            self._go_on_soon(loop)

    def _take(self) -> list[_Job]:
        """Returns the first job, and those with the same key among the others, up to a batch."""
        first, limit = self._jobs[0], self._limits.batch
        chosen: list[_Job] = []
        others, size = deque[_Job](), 0
        for job in self._jobs:
            fits = not chosen or (job.key is not None and job.key == first.key and size < limit)
            if fits:
                size += job.size
            (chosen if fits else others).append(job)
        self._jobs = others
        self._waits(-size)
        return chosen

    def _is_short(self, jobs: list[_Job]) -> bool:
        """Whether a batch will take no longer than `AT_ONCE`, as far as is known."""
        model = jobs[0].model
        if jobs[0].call is not None or not task_info(model.bundle.task).independent:
            return False  # how long these take does not depend on the length of texts alone
        pace = self._pace.get((model.name, model.version), _FIRST)
        return pace * sum(job.length for job in jobs) <= AT_ONCE

    def _work(self) -> None:
        """Computes what is handed to the thread; at the end also what is still waiting."""
        while True:
            with self._changed:
                while self._handed is None and not self._closing:
                    self._changed.wait()
                if self._handed is not None:
                    jobs, self._handed = self._handed, None
                elif self._jobs and not self._busy:
                    jobs, self._busy = self._take(), True
                else:
                    return
            answered = self._answered(jobs)
            self._busy = False
            with suppress(RuntimeError):  # the loop has ended: nobody waits any more
                loop = jobs[0].result.get_loop()
                loop.call_soon_threadsafe(self._deliver_all, answered, loop)

    def _deliver_all(self, answered: list[tuple[_Job, Any]], loop: asyncio.AbstractEventLoop) -> None:
        for job, value in answered:
            _deliver(job.result, value)
        self._go_on(loop)

    def _answered(self, jobs: list[_Job]) -> list[tuple[_Job, Any]]:
        """Returns the jobs of a batch whose answers are waited for, with their answers or exceptions."""
        begun = time.monotonic()
        try:
            return self._values_of(jobs)
        finally:
            first, taken = jobs[0], time.monotonic() - begun
            self._pace_of_texts += 0.1 * (taken / sum(job.size for job in jobs) - self._pace_of_texts)
            if first.call is None:
                name = first.model.name, first.model.version
                new, old = taken / sum(job.length for job in jobs), self._pace.get(name, _FIRST)
                self._pace[name] = old + 0.3 * (new - old)

    def _values_of(self, jobs: list[_Job]) -> list[tuple[_Job, Any]]:
        now = time.monotonic()
        wanted = [job for job in jobs if now < job.deadline and not job.result.done()]
        if not wanted:
            return []
        try:
            return list(zip(wanted, self._values(wanted), strict=True))
        except Exception as error:  # noqa: BLE001 - given to the requests, and written to the log
            if len(wanted) > 1:  # one request's fault must not fail the others
                return [pair for job in wanted for pair in self._values_of([job])]
            return [(wanted[0], _told_error(wanted[0].model, error))]

    def _values(self, jobs: list[_Job]) -> list[Any]:
        first = jobs[0]
        if first.call is not None:
            return [first.call()]
        values = answer_texts(
            first.model.bundle,
            [job.texts for job in jobs],
            first.options,
            together=self._limits.batch,
            on_batch=self._measures.batches.observe,
        )
        self._measures.texts.labels(first.model.name).inc(sum(job.size for job in jobs))
        return list(values)


def _future() -> asyncio.Future[Any]:
    return asyncio.get_running_loop().create_future()


def _told_error(model: Model, error: Exception) -> Exception:
    """Returns what a request is told of an error; of an unknown one it learns nothing."""
    if isinstance(error, RecurraError):
        return refusal_of(error)
    if isinstance(error, AskError):
        return error
    _LOG.error("an answer of model %s failed", model.name, exc_info=error)
    return AskError(500, "the model failed on this request; the server's log has the reason")


def _deliver(result: asyncio.Future[Any], value: Any) -> None:
    if result.done():  # cancelled: the request does not wait any more
        return
    if isinstance(value, Exception):
        result.set_exception(value)
    else:
        result.set_result(value)
