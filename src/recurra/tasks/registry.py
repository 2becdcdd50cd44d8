"""Which tasks there are: the steps of each, its first recipe, and the files that are plainly its own."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recurra.config import Task
from recurra.errors import ConfigError

if TYPE_CHECKING:
    from recurra.tasks.base import TaskPath

__all__ = ["default_recipe", "refuse_foreign_options", "task_named", "task_of_file"]

_RECIPES: dict[Task, str] = {
    "classify": "default",
    "tag": "tagger",
    "lm": "language-model",
    "forecast": "forecaster",
}

_PATHS: dict[Task, tuple[str, str]] = {
    "classify": ("classification", "Classification"),
    "forecast": ("forecasting", "Forecasting"),
    "lm": ("language", "LanguageModelling"),
    "tag": ("tagging", "Tagging"),
}
"""Where the steps of each task stand."""

_OPTIONS: dict[Task, frozenset[str]] = {
    "forecast": frozenset({"all"}),
    "lm": frozenset({"next", "generate", "temperature", "top_k", "seed", "tokens"}),
}
"""What a task's answers can be asked to be besides the usual."""


def task_named(name: Task) -> TaskPath[Any, Any]:
    """The steps of a task; its modules are loaded where it is used."""
    module, kind = _PATHS[name]
    found: TaskPath[Any, Any] = getattr(importlib.import_module(f"recurra.tasks.{module}.task"), kind)()
    return found


def task_of_file(data: Path) -> Task:
    """The task that a file's name speaks for: tagging for CoNLL-U and its like, else classification."""
    from recurra.tasks.tagging.sentences.formats import is_sentences

    return "tag" if is_sentences(data) else "classify"


def refuse_foreign_options(task: Task, options: Iterable[str]) -> None:
    """Refuses options of `recurra predict` that belong to another task.

    Raises:
        ConfigError: there is such an option.
    """
    for name in options:
        if name not in _OPTIONS.get(task, frozenset()):
            whose = " or ".join(other for other, known in _OPTIONS.items() if name in known)
            raise ConfigError(
                f"a model of task {task} takes no --{name.replace('_', '-')}",
                hint=f"it is for task {whose}" if whose else "leave it out",
            )


def default_recipe(task: Task) -> str:
    """The recipe that a task begins with where none is named."""
    return _RECIPES.get(task, "default")
