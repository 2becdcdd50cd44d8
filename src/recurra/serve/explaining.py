"""Which words an answer hangs on, for the page and ``POST /explain``."""

from __future__ import annotations

import re
from typing import Any

from recurra.io.text import HAN
from recurra.serve.bodies import Question
from recurra.serve.limits import Limits
from recurra.serve.models import Model
from recurra.serve.refusals import AskError
from recurra.tasks.use import explanation_of

__all__ = ["explained"]

_WORD = re.compile(f"[{HAN}]|[^\\s{HAN}]+")  # a Chinese character counts as a word, as spaces don't part them


def explained(model: Model, question: Question, limits: Limits) -> dict[str, Any]:
    """Returns the label, its probability, and the contribution of each word to its log-odds.

    Raises:
        AskError: there is not exactly one text, it is too long, or the task has no explanations.
    """
    if len(question.texts) != 1:
        raise AskError(400, "give one text to explain")
    words = len(_WORD.findall(question.texts[0]))
    if words > limits.explain:
        raise AskError(400, f"the text has {words:,} words; give {limits.explain:,} at most to explain")
    found = explanation_of(model.bundle, question.texts[0])
    if found is None:
        raise AskError(400, f"answers of a model of task {model.bundle.task} can't be explained")
    value: dict[str, Any] = found.model_dump(mode="json")
    return value
