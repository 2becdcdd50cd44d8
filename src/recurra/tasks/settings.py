"""The settings of all tasks: which sections each has, built from recipes, files and ``--set``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from recurra.config import Config, load_recipe, merged_settings, setting_error
from recurra.config.section import Choice
from recurra.errors import ConfigError
from recurra.tasks import registry
from recurra.tasks.registry import task_info

__all__ = ["build_config", "describe_settings", "recipe_under", "setting_meaning"]


def build_config(*layers: dict[str, Any], where: str | Path | None = None) -> Config:
    """Settings merged from nested dictionaries, later ones winning.

    Args:
        layers: such as a recipe, a file of settings and what ``--set`` gave. ``task`` selects the class.
        where: the file they come from, for messages.

    Returns:
        The `Config` of the task, such as ``TaggerConfig`` for ``tag``.

    Raises:
        ConfigError: an unknown task or key (with the nearest known one), a section of another task, or a
            value out of range.

    Example:
        >>> from recurra.config import parse_set
        >>> build_config({"model": {"cell": "gru"}}, parse_set("model.units=64")).model.units
        64
    """
    merged = merged_settings(*layers)
    task = task_info(merged.get("task", registry.TASKS[0].name), where=where)
    kind = task.config_class()
    for name, tasks in _owners().items():
        if name in merged and name not in kind.model_fields:
            raise ConfigError(
                f"{name} has settings of {' and '.join(tasks)}, and the task is {task.name}", where=where
            )
    try:
        return kind.model_validate(merged)
    except ValidationError as error:
        raise setting_error(error, _known_keys(), where) from None


def recipe_under(name: str, *above: dict[str, Any]) -> dict[str, Any]:
    """The settings of a recipe by name, to be merged with those of ``above``, which win.

    Where ``above`` names another task than the recipe was made for, sections that it does not have are left
    out: any task may begin with a classifier's network.
    Where those begin from pretrained vectors, the recipe's ``model.embedding`` is left out: the vectors have
    a width of their own, and a width in the settings is then one that the user has set.

    Raises:
        ConfigError: there is no recipe or task of that name.
    """
    settings = load_recipe(name)
    merged = merged_settings(settings, *above)
    kind = task_info(merged.get("task", registry.TASKS[0].name)).config_class()
    for section in _owners():
        if section not in kind.model_fields:
            settings.pop(section, None)
    train = merged.get("train")
    if isinstance(train, dict) and train.get("pretrained") is not None:
        settings.get("model", {}).pop("embedding", None)
    return settings


def describe_settings() -> str:
    """Every setting with its default and meaning, as a Markdown table."""
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for section, kind in _sections().items():
        for key, field in kind.model_fields.items():
            default = json.dumps(field.get_default())
            lines.append(f"| `{section}.{key}` | `{default}` | {setting_meaning(section, key)} |")
    return "\n".join(lines)


def setting_meaning(section: str, key: str) -> str:
    """Returns the description of a setting and, where there are few, its possible values."""
    setting = _sections()[section].model_fields[key]
    named = [name for choice in setting.metadata if isinstance(choice, Choice) for name in choice.names()]
    choices = ", ".join(f"`{choice}`" for choice in named or _choices(setting.annotation))
    return f"{setting.description}: {choices}" if choices else str(setting.description)


def _choices(annotation: Any) -> list[str]:
    """The words that a setting of this type may be, if it is one of a few."""
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    found = [choice for part in get_args(annotation) for choice in _choices(part)]
    return list(dict.fromkeys(found))


def _owners() -> dict[str, list[str]]:
    """The sections that only some tasks have, with the names of these tasks."""
    owners: dict[str, list[str]] = {}
    for task in registry.TASKS:
        for name in task.config_class().sections():
            if name not in Config.model_fields:
                owners.setdefault(name, []).append(task.name)
    return owners


def _sections() -> dict[str, type[BaseModel]]:
    """The sections of all tasks: data, those of some tasks, model, train."""
    shared = Config.sections()
    own = {name: kind for task in registry.TASKS for name, kind in task.config_class().sections().items()}
    return {"data": shared["data"], **{n: k for n, k in own.items() if n not in shared}, **shared}


def _known_keys() -> list[str]:
    """Every section, and every setting by its dotted name."""
    sections = _sections()
    dotted = [f"{section}.{key}" for section, kind in sections.items() for key in kind.model_fields]
    return ["recipe", "task", *sections, *dotted]
