"""The list of all tasks. A task is added by one entry in `TASKS`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from recurra.errors import ConfigError
from recurra.tasks import classification, forecasting, language, tagging
from recurra.tasks.base import Task, TaskInfo

__all__ = [
    "TASKS",
    "refuse_foreign_options",
    "refuse_other_settings",
    "task_info",
    "task_named",
    "task_of_file",
]

TASKS: tuple[TaskInfo, ...] = (classification.INFO, tagging.INFO, language.INFO, forecasting.INFO)
"""All tasks, the default one first."""


def task_info(name: Any, where: str | Path | None = None) -> TaskInfo:
    """Returns the description of the task called ``name``.

    Raises:
        ConfigError: there is no such task; ``where`` is the file of the setting.
    """
    for task in TASKS:
        if task.name == name:
            return task
    *others, last = (repr(task.name) for task in TASKS)
    raise ConfigError(f"setting task = {name!r}: input should be {', '.join(others)} or {last}", where=where)


def task_named(name: str) -> Task[Any, Any]:
    """Imports the task called ``name`` and returns its functions.

    Raises:
        ConfigError: there is no such task.
    """
    return task_info(name).load()


def task_of_file(data: Path) -> TaskInfo:
    """Returns the task whose files have a name or a beginning such as those of ``data``, or the default."""
    return next((task for task in TASKS if task.owns_file(data)), TASKS[0])


def refuse_foreign_options(name: str, options: Iterable[str]) -> None:
    """Refuses options of `recurra predict` that the task called ``name`` does not have.

    Raises:
        ConfigError: there is such an option.
    """
    known = task_info(name).options
    for option in options:
        if option not in known:
            owners = " or ".join(task.name for task in TASKS if option in task.options)
            raise ConfigError(
                f"a model of task {name} takes no --{option.replace('_', '-')}",
                hint=f"it is for task {owners}" if owners else "leave it out",
            )


def refuse_other_settings(name: str, settings: Mapping[str, Any]) -> None:
    """Refuses settings that do not describe a file of the task called ``name``, given with a saved model.

    Raises:
        ConfigError: there is such a setting.
    """
    known = task_info(name).file_settings
    for section, values in settings.items():
        for setting in [f"{section}.{key}" for key in values] if isinstance(values, Mapping) else [section]:
            if setting not in known:
                raise ConfigError(
                    f"{setting} does not describe a file, and a saved model keeps its other settings",
                    hint=f"for a model of task {name}, --set takes {', '.join(sorted(known))}",
                )
