"""Answers that come in parts: server-sent events, one after each word, row or generated token."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any

from recurra.serve.bodies import Question
from recurra.serve.limits import Limits
from recurra.serve.models import Model
from recurra.serve.refusals import AskError
from recurra.serve.shapes import with_known_names
from recurra.tasks.streaming import pieces_of
from recurra.tasks.use import stream_of

__all__ = ["END", "answers_in_parts", "event", "stream_events", "stream_options"]

END: Any = object()
"""What follows the last part."""


def stream_options(task: str, parameters: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """Returns the options of the task, and whether each prefix is to be computed anew (``recompute``).

    A language model generates 50 tokens by default.

    Raises:
        AskError: ``recompute`` is not true or false.
    """
    chosen = dict(parameters)
    recompute = chosen.pop("recompute", False)
    if not isinstance(recompute, bool):
        raise AskError(400, "parameter recompute is not true or false")
    options, _ = with_known_names(task, chosen)
    if task == "lm":
        options.setdefault("generate", 50)
    return options, recompute


def answers_in_parts(
    model: Model, question: Question, options: Mapping[str, Any], recompute: bool, limits: Limits
) -> Iterator[dict[str, Any]]:
    """Returns the answers after each part; each is computed as it is asked for.

    Those of a language model also have the form that clients of Hugging Face read: ``index``, ``token`` and,
    with the last one, ``generated_text``.

    Raises:
        AskError: there is not exactly one text, or it has too many words.
        RecurraError: the model can't stream, or an option can't be used.
    """
    task = model.bundle.task
    if question.table is None and len(question.texts) != 1:
        raise AskError(400, "give one text to stream")
    if task not in ("lm", "forecast") and len(pieces_of(question.texts[0])) > limits.steps:
        raise AskError(400, f"the text has more than {limits.steps:,} words")
    table = question.table
    rows = len(table.splitlines()) if isinstance(table, str) else max(map(len, (table or {"": []}).values()))
    if rows > limits.steps:
        raise AskError(400, f"the series has {rows:,} rows; give {limits.steps:,} at most")
    inputs: Any = question.texts[0] if table is None else table
    parts = stream_of(model.bundle, inputs, options, recompute=recompute)
    return _for_clients(parts, options["generate"]) if task == "lm" else parts


def _for_clients(parts: Iterator[dict[str, Any]], count: int) -> Iterator[dict[str, Any]]:
    for part in parts:
        token = {"id": part["step"], "text": part["piece"], "logprob": None, "special": False}
        last = part["text"] if part["step"] == count else None
        yield {**part, "index": part["step"], "token": token, "generated_text": last}


def event(value: Mapping[str, Any]) -> str:
    """Returns an answer as a server-sent event.

    Example:
        >>> event({"step": 1})
        'data: {"step": 1}\\n\\n'
    """
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


async def stream_events(first: Mapping[str, Any], more: AsyncIterator[Any]) -> AsyncIterator[str]:
    """Yields events; an error that comes later is an event too, since the status is sent already."""
    if first is END:
        return
    yield event(first)
    try:
        async for part in more:
            yield event(part)
    except AskError as error:
        yield event({"error": error.line})
