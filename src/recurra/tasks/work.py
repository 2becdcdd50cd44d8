"""The rows of a request as parts that are answered one by one, in this process or in several."""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from recurra.errors import RecurraError
from recurra.runtime import end_with_parent, threads, use_threads

if TYPE_CHECKING:
    from concurrent.futures import Future

    from recurra.store import AnyBundle
    from recurra.tasks.answers import Answers

__all__ = ["AnswerPart", "Records", "Work", "answered", "in_processes"]

Records: TypeAlias = list[dict[str, Any]]
AnswerPart: TypeAlias = Callable[["AnyBundle", Any], list[Records]]
"""Returns the records of each row of a part. It is a function of a module, or a `partial` of one."""
_AHEAD = 2  # parts a process that are read before the first is answered


@dataclass(frozen=True)
class Work:
    """What is to be answered, and how.

    Attributes:
        bundle: the model.
        parts: the rows, as they are read.
        answer: answers the ``rows`` of a part.
        watch: passes the records through, and counts what the caller is told at the end.
    """

    bundle: AnyBundle
    parts: Iterator[tuple[Records, Any]]
    answer: AnswerPart
    watch: Callable[[Iterator[dict[str, Any]]], Iterator[dict[str, Any]]]


def answered(work: Work) -> Iterator[dict[str, Any]]:
    """Yields the records of all parts; each part is answered before the next one is read."""
    return work.watch(_joined((heads, work.answer(work.bundle, rows)) for heads, rows in work.parts))


def _joined(parts: Iterator[tuple[Records, list[Records]]]) -> Iterator[dict[str, Any]]:
    for heads, answers in parts:
        for head, records in zip(heads, answers, strict=True):
            for record in records:
                yield {**head, **record}


def in_processes(answers: Answers, jobs: int) -> Answers:
    """Returns the answers, computed by several processes and yielded in the order of the rows.

    The memory does not grow with the number of rows. Each process has its share of the threads.

    Args:
        answers: the answers, of which none was read yet.
        jobs: the number of processes; with 1, the answers are returned as they are.
    """
    if jobs <= 1 or answers.work is None:
        return answers
    return replace(answers, records=answers.work.watch(_joined(_shared(answers.work, jobs))))


def _shared(work: Work, jobs: int) -> Iterator[tuple[Records, list[Records]]]:
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    # A fork has the model already. Elsewhere, a process is started and the model is sent to it.
    context = get_context("fork" if sys.platform == "linux" else "spawn")
    share = max(1, threads() // jobs)
    begin = (work.bundle, work.answer, share, os.getpid())
    pool = ProcessPoolExecutor(jobs, context, initializer=_begin, initargs=begin)
    waiting: deque[tuple[Records, Future[list[Records]]]] = deque()
    try:
        for heads, rows in work.parts:
            waiting.append((heads, pool.submit(_answer, rows)))
            if len(waiting) >= _AHEAD * jobs:
                heads, future = waiting.popleft()
                yield heads, future.result()
        while waiting:
            heads, future = waiting.popleft()
            yield heads, future.result()
    except BrokenProcessPool as error:
        raise RecurraError(
            "a process that computes answers has ended before its time", hint="try fewer --jobs"
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_own: tuple[AnyBundle, AnswerPart] | None = None
"""In a process of `in_processes`: the model and the function that answers a part."""


def _begin(bundle: AnyBundle, answer: AnswerPart, share: int, parent: int) -> None:
    global _own
    end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    os.environ.update(RECURRA_THREADS=str(share), TOKENIZERS_PARALLELISM="false")
    use_threads()
    _own = bundle, answer


def _answer(rows: Any) -> list[Records]:
    if _own is None:
        raise RuntimeError("the process was not prepared")
    bundle, answer = _own
    return answer(bundle, rows)
