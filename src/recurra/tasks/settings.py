"""Builds the settings of any task from recipes, files and ``--set``, and describes all settings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel, ValidationError

from recurra.cells import cell_named
from recurra.config import Choice, Config, load_recipe, merged_settings, parse_set, setting_error, updated
from recurra.errors import ConfigError
from recurra.tasks import registry
from recurra.tasks.registry import task_info

__all__ = ["build_config", "describe_settings", "parse_assignment", "recipe_under", "setting_meaning"]


def build_config(*layers: dict[str, Any], where: str | Path | None = None) -> Config:
    """Merges nested dictionaries and validates the settings; later values take precedence.

    Args:
        layers: dictionaries, e.g. of a recipe, a settings file and ``--set``. Their ``task`` selects the
            class. If they turn on ``rules``, no rule changes a setting of the second and later ones.
        where: the file that they come from, for messages.

    Returns:
        The `Config` of the task, e.g. ``TaggerConfig`` for ``tag``.

    Raises:
        ConfigError: an unknown task or key (with the closest known one), a section of another task, or a
            value out of range.

    Example:
        >>> from recurra.config import parse_set
        >>> build_config({"model": {"cell": "gru"}}, parse_set("model.units=64")).model.units
        64
    """
    merged = merged_settings(*layers)
    task = task_info(merged.get("task", registry.TASKS[0].name), where=where)
    kind = task.config_class()
    if merged.get("rules") and "rules" in kind.model_fields:
        merged["fixed"] = _fixed(*layers[1:])
    for name, tasks in _owners().items():
        if name in merged and name not in kind.model_fields:
            raise ConfigError(
                f"the settings of {name} are for the task {' or '.join(tasks)}, not for {task.name}",
                where=where,
            )
    try:
        config = kind.model_validate(merged)
    except ValidationError as error:
        raise setting_error(error, _sections(), where) from None
    if config.model.activation is not None:
        return config
    # by its name, so that a saved model stays what it is
    return updated(config, {"model": {"activation": cell_named(config.model.cell).activation}})


def parse_assignment(assignment: str) -> dict[str, Any]:
    """`recurra.config.parse_set` with the sections of all tasks.

    Example:
        >>> parse_assignment("series.target=1"), parse_assignment("data.text=body")
        ({'series': {'target': '1'}}, {'data': {'text': ['body']}})
    """
    return parse_set(assignment, _sections())


def recipe_under(name: str, *above: dict[str, Any]) -> dict[str, Any]:
    """Returns the settings of a recipe, for merging with ``above``, which takes precedence.

    If ``above`` sets another task than that of the recipe, sections that this task does not have are removed,
    so that recipes of classification can be used for any task. If ``above`` sets pretrained vectors,
    ``model.embedding`` of the recipe is removed: the size is that of the vectors, and a size in the merged
    settings is then one that the user has set.

    Raises:
        ConfigError: there is no recipe or task of that name.
    """
    settings = load_recipe(name)
    merged = merged_settings(settings, *above)
    kind = task_info(merged.get("task", registry.TASKS[0].name)).config_class()
    for section in _owners():
        if section not in kind.model_fields:
            settings.pop(section, None)
    if "rules" not in kind.model_fields:
        settings.pop("rules", None)
    train = merged.get("train")
    if isinstance(train, dict) and train.get("pretrained") is not None:
        settings.get("model", {}).pop("embedding", None)
    return settings


def describe_settings() -> str:
    """Returns all settings with defaults and descriptions as a Markdown table."""
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for section, kind in _sections().items():
        for key, field in kind.model_fields.items():
            default = json.dumps(field.get_default())
            lines.append(f"| `{section}.{key}` | `{default}` | {setting_meaning(section, key)} |")
    return "\n".join(lines)


def setting_meaning(section: str, key: str) -> str:
    """Returns the description of a setting, with its choices if there are any."""
    setting = _sections()[section].model_fields[key]
    named = [name for choice in setting.metadata if isinstance(choice, Choice) for name in choice.names()]
    choices = ", ".join(f"`{choice}`" for choice in named or _choices(setting.annotation))
    return f"{setting.description}: {choices}" if choices else str(setting.description)


def _fixed(*given: dict[str, Any]) -> list[str]:
    """Returns the settings that the user gave, by dotted name, and those that follow from them."""
    above = merged_settings(*given)
    names = {f"{section}.{key}" for section, keys in above.items() if isinstance(keys, dict) for key in keys}
    train = above.get("train", {})
    if train.get("pretrained") is not None:
        names |= {"model.embedding"}  # its size is that of the vectors
        if train.get("pretrained_layers"):
            names |= {"model.cell", "model.units", "model.layers", "model.bidirectional"}
    return sorted(names)


def _choices(annotation: Any) -> list[str]:
    """Returns the choices of a setting of this type."""
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    choices = [choice for part in get_args(annotation) for choice in _choices(part)]
    return list(dict.fromkeys(choices))


def _owners() -> dict[str, list[str]]:
    """Returns the sections that only some tasks have, with the names of these tasks."""
    owners: dict[str, list[str]] = {}
    for task in registry.TASKS:
        for name in task.config_class().sections():
            if name not in Config.model_fields:
                owners.setdefault(name, []).append(task.name)
    return owners


def _sections() -> dict[str, type[BaseModel]]:
    """Returns the sections of all tasks: data, those of some tasks, model, train."""
    shared = Config.sections()
    own = {name: kind for task in registry.TASKS for name, kind in task.config_class().sections().items()}
    return {"data": shared["data"], **{n: k for n, k in own.items() if n not in shared}, **shared}
