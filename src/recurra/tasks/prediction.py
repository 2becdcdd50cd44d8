"""A saved model's answers, whatever its task."""

from __future__ import annotations

from pathlib import Path

from recurra import store
from recurra.runtime import use_threads
from recurra.serve.answers import Answers
from recurra.tasks.base import PredictRequest
from recurra.tasks.registry import refuse_foreign_options, task_named

__all__ = ["answers_for"]


def answers_for(model: Path, request: PredictRequest) -> Answers:
    """The answers of the model in ``model``, as they are found.

    Raises:
        RecurraError: no model there, no usable file, or an option of another task.
    """
    use_threads()
    bundle = store.load(model)
    refuse_foreign_options(bundle.task, request.options)
    return task_named(bundle.task).predict(bundle, request)
