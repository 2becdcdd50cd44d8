"""One thread that computes: texts of requests that arrive within milliseconds are answered together."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from recurra.errors import RecurraError
from recurra.serve.answering import Answered, answer_texts
from recurra.serve.limits import Limits
from recurra.serve.measures import Measures
from recurra.serve.models import Model
from recurra.serve.refusals import AskError, refusal_of

__all__ = ["Worker"]

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


class Worker:
    """Answers requests one batch after another, in a thread of its own.

    Args:
        limits: those of the server.
        measures: counts batches and texts.
    """

    def __init__(self, limits: Limits, measures: Measures) -> None:
        self._limits, self._measures = limits, measures
        self._jobs: deque[_Job] = deque()
        self._waiting = 0  # texts
        self._arriving = 0  # requests that are read
        self._told = False  # whether the thread will be woken
        self._changed = threading.Condition()
        self._closing = False
        self._pace = 0.01  # seconds for a text, a moving mean
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

    @contextmanager
    def arriving(self) -> Iterator[None]:
        """Context in which a request is read: a batch waits for it, for some milliseconds."""
        with self._changed:
            self._arriving += 1
        try:
            yield
        finally:
            with self._changed:
                self._arriving -= 1
                if not self._arriving and not self._told:
                    self._changed.notify()

    def _deadline(self) -> float:
        return time.monotonic() + self._limits.timeout

    def _put(self, job: _Job) -> asyncio.Future[Any]:
        with self._changed:
            if self._waiting and self._waiting + job.size > self._limits.queue:
                seconds = max(1, round(self._waiting * self._pace))
                line = f"{self._waiting:,} texts are waiting; try again in {seconds} s"
                raise AskError(429, line, {"Retry-After": str(seconds)})
            self._jobs.append(job)
            self._waiting += job.size
            self._measures.waiting.set(self._waiting)
        if not self._told:
            # After the other requests that came in the same turn of the loop: they are one batch, and the
            # thread is woken once.
            self._told = True
            job.result.get_loop().call_soon(self._tell)
        return job.result

    def _tell(self) -> None:
        self._told = False
        with self._changed:
            self._changed.notify()

    def _work(self) -> None:
        while (jobs := self._next()) is not None:
            begun = time.monotonic()
            try:
                self._answer(jobs)
            finally:
                size = sum(job.size for job in jobs)
                self._pace += 0.1 * ((time.monotonic() - begun) / size - self._pace)

    def _next(self) -> list[_Job] | None:
        """Returns the jobs to answer together; None at the end.

        These are the first one, and those with the same key among the others, up to a batch. While further
        requests are read, it waits for them, for some milliseconds: a single client does not wait.
        """
        limit, wait = self._limits.batch, self._limits.wait / 1_000
        with self._changed:
            while not self._jobs:
                if self._closing:
                    return None
                self._changed.wait()
            first = self._jobs[0]
            if first.key is not None:
                until = time.monotonic() + wait
                while self._arriving and not self._closing and self._waiting < limit:
                    left = until - time.monotonic()
                    if left <= 0:
                        break
                    self._changed.wait(left)
            chosen: list[_Job] = []
            others, size = deque[_Job](), 0
            for job in self._jobs:
                fits = not chosen or (job.key is not None and job.key == first.key and size < limit)
                if fits:
                    size += job.size
                (chosen if fits else others).append(job)
            self._jobs = others
            self._waiting -= size
            self._measures.waiting.set(self._waiting)
            return chosen

    def _answer(self, jobs: list[_Job]) -> None:
        now = time.monotonic()
        wanted = [job for job in jobs if now < job.deadline and not job.result.cancelled()]
        if not wanted:
            return
        try:
            _settle(wanted, self._values(wanted))
        except Exception as error:  # noqa: BLE001 - given to the requests, and written to the log
            if len(wanted) > 1:  # one request's fault must not fail the others
                for job in wanted:
                    self._answer([job])
            else:
                _settle(wanted, [_told_error(wanted[0].model, error)])

    def _values(self, jobs: list[_Job]) -> list[Any]:
        first = jobs[0]
        if first.call is not None:
            return [first.call()]
        model, together = first.model, self._limits.batch

        def count(texts: int) -> None:
            self._measures.batches.observe(texts)
            self._measures.texts.labels(model.name).inc(texts)

        return answer_texts(
            model.bundle, [job.texts for job in jobs], first.options, together=together, on_batch=count
        )


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


def _settle(jobs: list[_Job], values: list[Any]) -> None:
    """Gives jobs their values, or exceptions, with one message to the event loop."""
    with suppress(RuntimeError):  # the loop has ended: nobody waits any more
        jobs[0].result.get_loop().call_soon_threadsafe(_deliver, [job.result for job in jobs], values)


def _deliver(results: list[asyncio.Future[Any]], values: list[Any]) -> None:
    for result, value in zip(results, values, strict=True):
        if result.done():  # cancelled: the request does not wait any more
            continue
        if isinstance(value, Exception):
            result.set_exception(value)
        else:
            result.set_result(value)
