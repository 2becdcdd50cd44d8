"""What all tasks' settings share: the common sections, merging, YAML, ``--set`` and recipes."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError

from recurra.config.data import DataConfig
from recurra.config.model import ModelConfig
from recurra.config.section import Section
from recurra.config.train import TrainConfig
from recurra.errors import ConfigError

__all__ = [
    "Config",
    "load_recipe",
    "merged_settings",
    "parse_set",
    "read_settings",
    "recipe_names",
    "setting_error",
    "updated",
]

S = TypeVar("S", bound=Section)


class Config(Section):
    """The settings that every task has. A task's own class adds its sections (`recurra.tasks.settings`)."""

    recipe: str | None = Field(None, description="the recipe these settings began from")
    task: str = Field("classify", description="what is learned")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()

    @classmethod
    def sections(cls) -> dict[str, type[BaseModel]]:
        """The sections by name: data, those of the task alone, model, train."""
        found = {
            name: field.annotation
            for name, field in cls.model_fields.items()
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        }
        last = {name: found.pop(name) for name in ("model", "train")}
        return {**found, **last}

    def plain(self) -> dict[str, Any]:
        """The settings as JSON values, every default included."""
        values = self.model_dump(mode="json")
        return {name: values[name] for name in ("recipe", "task", *self.sections())}

    def to_yaml(self) -> str:
        """The settings as YAML, every default included."""
        return yaml.safe_dump(self.plain(), sort_keys=False, allow_unicode=True)


def merged_settings(*layers: dict[str, Any]) -> dict[str, Any]:
    """Nested dictionaries merged into one, later ones winning."""
    merged: dict[str, Any] = {}
    for layer in layers:
        _merge(merged, _renamed(layer))
    return merged


def read_settings(path: Path) -> dict[str, Any]:
    """The nested dictionary of a YAML file.

    Raises:
        ConfigError: the file is missing, is not YAML, or is not a mapping.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"can't be read ({error.strerror})", where=path) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"is not YAML: {error}", where=path) from error
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ConfigError("is not a mapping of settings", where=path)
    return found


def parse_set(assignment: str) -> dict[str, Any]:
    """``"model.units=64"`` as ``{"model": {"units": 64}}``; the value is read as YAML.

    Raises:
        ConfigError: there is no ``=``, no key, or the value is not YAML.
    """
    key, equals, value = assignment.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(
            f"--set {assignment!r} is not KEY=VALUE", hint="write for example --set model.units=64"
        )
    try:
        parsed: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"the value in --set {assignment!r} is not YAML") from error
    for part in reversed(parts):
        parsed = {part: parsed}
    return dict(parsed)


def recipe_names() -> list[str]:
    """The recipes that come with the package, sorted."""
    folder = resources.files("recurra.recipes")
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))


def load_recipe(name: str) -> dict[str, Any]:
    """The settings of a recipe by name, as a nested dictionary that records the name.

    Raises:
        ConfigError: there is no recipe of that name.
    """
    names = recipe_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
        raise ConfigError(f"there is no recipe {name!r}", hint=hint)
    text = resources.files("recurra.recipes").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return {**yaml.safe_load(text), "recipe": name}


def updated(section: S, changes: Mapping[str, Any]) -> S:
    """Returns a copy of some settings with ``changes``, validated as a whole.

    Args:
        section: a section, or all settings.
        changes: new values by name; for all settings nested dictionaries.

    Raises:
        ConfigError: an unknown key or a value out of range.
    """
    merged = section.model_dump(exclude_unset=True)
    _merge(merged, changes)
    try:
        return type(section).model_validate(merged)
    except ValidationError as error:
        raise setting_error(error, _keys(type(section))) from None


def _keys(kind: type[BaseModel]) -> list[str]:
    """The names of the fields, and of those of sections among them."""
    sections = kind.sections() if issubclass(kind, Config) else {}
    return [
        *kind.model_fields,
        *(f"{name}.{key}" for name in sections for key in sections[name].model_fields),
    ]


def _renamed(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings with today's names in place of former ones: ``data.label_kind`` was once ``data.task``."""
    data = settings.get("data")
    if not isinstance(data, dict) or "task" not in data:
        return settings
    return {**settings, "data": {"label_kind" if key == "task" else key: data[key] for key in data}}


def _merge(into: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


def setting_error(
    error: ValidationError, known: Iterable[str], where: str | Path | None = None
) -> ConfigError:
    """The first complaint as one line, with the nearest known key for an unknown one.

    Args:
        error: what pydantic found.
        known: every section, and every setting by its dotted name.
        where: the file, for the message.
    """
    known = list(known)
    first = error.errors(include_url=False)[0]
    path = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        name = ".".join(path)
        near = [key for key in known if key.endswith(f".{path[-1]}")] or difflib.get_close_matches(
            name, known, 1, cutoff=0.5
        )
        hint = f"did you mean {near[0]}?" if near else "see recurra fit --help"
        return ConfigError(f"there is no setting {name!r}", where=where, hint=hint)
    # Beyond section and key pydantic names the branches of a union, which mean nothing to a user.
    name = next((".".join(path[:n]) for n in (2, 1) if ".".join(path[:n]) in known), "".join(path[:1]))
    reason = first["msg"].removeprefix("Value error, ")
    reason = reason[:1].lower() + reason[1:]
    if not path:
        return ConfigError(reason, where=where)
    return ConfigError(f"setting {name} = {first['input']!r}: {reason}", where=where)
