"""All settings as one tree: built from recipes, files and the command line, written out, described."""

from __future__ import annotations

import copy
import difflib
import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, Field, ValidationError, model_validator

from recurra.config.data import DataConfig, TokenizerConfig
from recurra.config.model import ModelConfig
from recurra.config.section import Choice, Section, Task
from recurra.config.train import TrainConfig
from recurra.errors import ConfigError
from recurra.tasks.forecasting.settings import SeriesConfig
from recurra.tasks.language.settings import LanguageConfig
from recurra.tasks.tagging.settings import TaggingConfig

__all__ = [
    "Config",
    "describe_settings",
    "load_recipe",
    "parse_set",
    "read_settings",
    "recipe_names",
    "recipe_under",
    "setting_meaning",
    "updated",
]

S = TypeVar("S", bound=Section)

_OWN: dict[str, tuple[Task, ...]] = {
    "tokenizer": ("classify", "lm"),
    "language": ("lm",),
    "tagging": ("tag",),
    "series": ("forecast",),
}
"""Sections that only some tasks have."""


class Config(Section):
    """All settings of a task and its network, every default written out.

    Example:
        >>> Config.build({"model": {"cell": "gru"}}, parse_set("model.units=64")).model.units
        64
    """

    recipe: str | None = Field(None, description="the recipe these settings began from")
    task: Task = Field("classify", description="what is learned")
    data: DataConfig = DataConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    language: LanguageConfig = LanguageConfig()
    tagging: TaggingConfig = TaggingConfig()
    series: SeriesConfig = SeriesConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()

    @classmethod
    def build(cls, *layers: dict[str, Any], where: str | Path | None = None) -> Config:
        """Settings merged from nested dictionaries, later ones winning.

        Raises:
            ConfigError: an unknown key (with the nearest known one) or a value out of range.
        """
        merged: dict[str, Any] = {}
        for layer in layers:
            _merge(merged, _renamed(layer))
        try:
            return cls.model_validate(merged)
        except ValidationError as error:
            raise _explain(error, where) from None

    @model_validator(mode="after")
    def _sections_fit_task(self) -> Config:
        for name, tasks in _OWN.items():
            if self.task not in tasks and name in self.model_fields_set:
                raise ValueError(f"{name} has settings of {' and '.join(tasks)}, and the task is {self.task}")
        return self

    def plain(self) -> dict[str, Any]:
        """The settings that the task has, every default written out, as JSON values."""
        others = {name for name, tasks in _OWN.items() if self.task not in tasks}
        return self.model_dump(mode="json", exclude=others)

    def to_yaml(self) -> str:
        """The settings that the task has as YAML, every default written out."""
        return yaml.safe_dump(self.plain(), sort_keys=False, allow_unicode=True)


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


def recipe_under(name: str, *above: dict[str, Any]) -> dict[str, Any]:
    """The settings of a recipe by name, to be merged with those of ``above``, which win.

    Where ``above`` names another task than the recipe was made for, sections that it does not have are left
    out: any task may begin with a classifier's network.
    Where those begin from pretrained vectors, the recipe's ``model.embedding`` is left out: the vectors have
    a width of their own, and a width in the settings is then one that the user has set.

    Raises:
        ConfigError: there is no recipe of that name.
    """
    settings = load_recipe(name)
    merged: dict[str, Any] = {}
    for layer in above:
        _merge(merged, layer)
    task = merged.get("task", settings.get("task", "classify"))
    for section, tasks in _OWN.items():
        if task not in tasks:
            settings.pop(section, None)
    train = merged.get("train")
    if isinstance(train, dict) and train.get("pretrained") is not None:
        settings.get("model", {}).pop("embedding", None)
    return settings


def updated(section: S, changes: Mapping[str, Any]) -> S:
    """Returns a copy of some settings with ``changes``, validated as a whole.

    Args:
        section: a section, or all settings.
        changes: new values by name; for all settings nested dictionaries, as `Config.build` takes them.

    Raises:
        ConfigError: an unknown key or a value out of range.
    """
    merged = section.model_dump(exclude_unset=True)
    _merge(merged, changes)
    try:
        return type(section).model_validate(merged)
    except ValidationError as error:
        raise _explain(error, None) from None


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


def _explain(error: ValidationError, where: str | Path | None) -> ConfigError:
    """The first complaint as one line, with the nearest known key for an unknown one."""
    first = error.errors(include_url=False)[0]
    known = _known_keys()
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


def _known_keys() -> list[str]:
    """Every section, and every setting by its dotted name."""
    dotted = [f"{section}.{key}" for section, kind in _sections().items() for key in kind.model_fields]
    return [*Config.model_fields, *dotted]


def _sections() -> dict[str, type[BaseModel]]:
    return {
        name: field.annotation
        for name, field in Config.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
