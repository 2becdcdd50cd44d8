"""The rows of a request as parts that are answered one by one, in this process or by an engine."""

from __future__ import annotations

import tempfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from recurra import store
from recurra.engines import Call, Engine, RunError, open_engine
from recurra.errors import ConfigError, RecurraError

if TYPE_CHECKING:
    from recurra.store import AnyBundle
    from recurra.tasks.answers import Answers
    from recurra.tasks.base import PredictRequest

__all__ = ["AnswerPart", "Records", "Work", "answered", "computed"]

Records: TypeAlias = list[dict[str, Any]]
AnswerPart: TypeAlias = Callable[["AnyBundle", Any], list[Records]]
"""Returns the records of each row of a part. It is a function of a module, or a `partial` of one."""
_AHEAD = 3  # parts a process that are read before the first is answered
_PART = "recurra.tasks.part"


def _same(rows: Any) -> Any:
    return rows


@dataclass(frozen=True)
class Work:
    """What is to be answered, and how.

    Attributes:
        bundle: the model.
        parts: the rows, as they are read.
        answer: answers the ``rows`` of a part.
        watch: passes the records through, and counts what the caller is told at the end.
        packed: returns the ``rows`` of a part as JSON values, for another process.
        unpacked: returns the ``rows`` that ``packed`` was given.
    """

    bundle: AnyBundle
    parts: Iterator[tuple[Records, Any]]
    answer: AnswerPart
    watch: Callable[[Iterator[dict[str, Any]]], Iterator[dict[str, Any]]]
    packed: Callable[[Any], Any] = _same
    unpacked: Callable[[Any], Any] = _same


def answered(work: Work) -> Iterator[dict[str, Any]]:
    """Yields the records of all parts; each part is answered before the next one is read."""
    return work.watch(_joined((heads, work.answer(work.bundle, rows)) for heads, rows in work.parts))


def _joined(parts: Iterator[tuple[Records, list[Records]]]) -> Iterator[dict[str, Any]]:
    for heads, answers in parts:
        for head, records in zip(heads, answers, strict=True):
            for record in records:
                yield {**head, **record}


@contextmanager
def computed(
    model: Path | AnyBundle,
    requests: Sequence[PredictRequest],
    answers_to: Callable[[PredictRequest], Answers],
    *,
    jobs: int | None = None,
    engine: str | None = None,
    address: str | None = None,
) -> Iterator[Iterator[Answers]]:
    """Context of the answers to each request, in their order; they are computed as they are read.

    All records of a request must be read before the next one. The memory does not grow with the number of
    rows. A part whose process dies is answered again; what is read is each answer once, in the order of the
    rows, and the same as without an engine.

    Args:
        model: the model's directory, or the model.
        requests: at least one.
        answers_to: returns the answers to a request in this process.
        jobs: number of processes; None for one, or with an engine for one per processor.
        engine: name of the engine that makes the parts; None for ``processes`` if there is more than one job.
        address: of a Ray cluster.

    Raises:
        RecurraError: the first request can't be answered, or the engine can't be opened.
    """
    first = answers_to(requests[0])
    opened = chain([first], (answers_to(request) for request in requests[1:]))
    if engine is None and address is None and jobs in (None, 1):
        yield opened
        return
    if first.work is None:
        if engine is not None:
            raise ConfigError(
                "the rows of a forecast depend on one another", where="--engine", hint="leave it out"
            )
        yield opened
        return
    with (
        _folder_of(model) as folder,
        open_engine(engine or "processes", jobs, address=address, preload=[_PART], lasting=True) as runs,
    ):
        yield _Ahead(runs, folder, requests, opened).answers()


@contextmanager
def _folder_of(model: Path | AnyBundle) -> Iterator[Path]:
    """Context of the directory of a model, in which one that is only in memory is written."""
    if isinstance(model, Path):
        yield model
        return
    with tempfile.TemporaryDirectory(prefix="recurra-model-") as place:
        store.save(model, Path(place, "model"))
        yield Path(place, "model")


@dataclass(frozen=True)
class _Sent:
    """A part that an engine answers."""

    heads: Records
    future: Future[Any]


class _Ahead:
    """Reads some parts ahead, over the ends of files, and yields their answers in the order of the rows."""

    def __init__(
        self, engine: Engine, model: Path, requests: Sequence[PredictRequest], opened: Iterator[Answers]
    ) -> None:
        self._engine, self._model, self._requests, self._opened = engine, model, iter(requests), opened
        self._parts: Iterator[tuple[Records, Any]] | None = None
        self._work: Work | None = None
        self._request: dict[str, Any] = {}
        self._waiting: deque[Answers | _Sent | RecurraError] = deque()
        self._ended = False

    def answers(self) -> Iterator[Answers]:
        """Yields the answers to each request."""
        while True:
            self._read()
            if not self._waiting:
                return
            answers = self._waiting.popleft()
            if isinstance(answers, RecurraError):
                raise answers
            if isinstance(answers, _Sent) or answers.work is None:
                raise RuntimeError("the answers to the request before were not all read")
            yield replace(answers, records=answers.work.watch(_joined(self._of_request())))

    def _of_request(self) -> Iterator[tuple[Records, list[Records]]]:
        while True:
            self._read()
            if not self._waiting or not isinstance(part := self._waiting[0], _Sent):
                return
            self._waiting.popleft()
            try:
                yield part.heads, part.future.result()
            except RunError as error:
                raise RecurraError(
                    f"some rows can't be answered: {error}", hint="try fewer --jobs"
                ) from error

    def _read(self) -> None:
        """Reads parts until enough are sent. An error waits for its turn, after the answers before it."""
        while not self._ended and len(self._waiting) < _AHEAD * self._engine.at_once:
            try:
                self._read_next()
            except RecurraError as error:
                self._ended = True
                if self._parts is None:  # of the next request
                    self._waiting.append(error)
                    return
                failed: Future[Any] = Future()
                failed.set_exception(error)
                self._waiting.append(_Sent([], failed))

    def _read_next(self) -> None:
        if self._parts is None:
            answers = next(self._opened, None)
            if answers is None:
                self._ended = True
                return
            request = next(self._requests)
            self._request = {"options": request.options, "settings": request.settings}
            self._work = answers.work
            self._parts = iter(()) if answers.work is None else answers.work.parts
            self._waiting.append(answers)
        part = next(self._parts, None)
        if part is None or self._work is None:
            self._parts = None
            return
        heads, rows = part
        argument = {"model": str(self._model), "rows": self._work.packed(rows), **self._request}
        call = Call(f"{_PART}:answer", argument, [str(self._model)])
        self._waiting.append(_Sent(heads, self._engine.submit(call)))
