"""Answers of a model to the texts of several requests, computed together and given back to each request."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from recurra.store import AnyBundle
from recurra.tasks.answer_files import write_answers
from recurra.tasks.answers import Answers
from recurra.tasks.base import PredictRequest
from recurra.tasks.registry import task_info
from recurra.tasks.use import answers_of

__all__ = ["Answered", "answer_table", "answer_texts"]


@dataclass(frozen=True)
class Answered:
    """The answers to one request.

    Attributes:
        answers: their columns.
        records: for each text its records, whose row is the number of the text in the request, from 1.
    """

    answers: Answers
    records: list[list[dict[str, Any]]]

    def written(self, form: str) -> str:
        """Returns the answers as ``recurra predict --format`` writes them: ``csv`` or ``jsonl``."""
        file = io.StringIO()
        flat = (record for records in self.records for record in records)
        write_answers(replace(self.answers, records=flat), file, form)
        return file.getvalue()


def answer_texts(
    bundle: AnyBundle,
    requests: Sequence[Sequence[str]],
    options: Mapping[str, Any],
    *,
    together: int = 64,
    on_batch: Callable[[int], object] = lambda texts: None,
) -> list[Answered]:
    """Returns the answers to the texts of each request.

    Where the answer to a text does not depend on the others, the texts of all requests are sorted by length
    and computed together; otherwise those of each request.

    Args:
        bundle: the model.
        requests: the texts of each request.
        options: the options of the task, the same for all of them.
        together: the number of texts of several requests that are computed at once.
        on_batch: called before each of these batches with its number of texts.

    Raises:
        RecurraError: an option is not for the model, or out of its range.
    """
    if not task_info(bundle.task).independent:
        return [_alone(bundle, texts, options, on_batch) for texts in requests]
    places = [(request, text) for request, texts in enumerate(requests) for text in range(len(texts))]
    places.sort(key=lambda place: len(requests[place[0]][place[1]]))
    found: list[list[list[dict[str, Any]]]] = [[[] for _ in texts] for texts in requests]
    answers = None
    for start in range(0, len(places), together):
        batch = places[start : start + together]
        on_batch(len(batch))
        texts = [requests[request][text] for request, text in batch]
        answers = answers_of(bundle, PredictRequest(texts=texts, options=dict(options)))
        number = answers.fields[0]
        for record in answers.records:
            request, text = batch[record[number] - 1]
            found[request][text].append({**record, number: text + 1})
    assert answers is not None  # noqa: S101  # a request has a text
    return [Answered(answers, records) for records in found]


def _alone(
    bundle: AnyBundle,
    texts: Sequence[str],
    options: Mapping[str, Any],
    on_batch: Callable[[int], object],
) -> Answered:
    """Returns the answers to one request, computed as ``recurra predict`` does for its texts."""
    on_batch(len(texts))
    answers = answers_of(bundle, PredictRequest(texts=list(texts), options=dict(options)))
    found: list[list[dict[str, Any]]] = [[] for _ in texts]
    for record in answers.records:
        found[record[answers.fields[0]] - 1].append(record)
    return Answered(answers, found)


def answer_table(
    bundle: AnyBundle, table: str | Mapping[str, Sequence[Any]], options: Mapping[str, Any]
) -> Answered:
    """Returns the answers to the rows of a series, given as CSV text or as columns.

    Raises:
        RecurraError: the rows or an option can't be used.
    """
    answers = answers_of(bundle, PredictRequest(table=table, options=dict(options)))
    return Answered(answers, [list(answers.records)])
