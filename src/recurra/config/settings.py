"""Settings that all tasks share: the common sections, merging, YAML files, ``--set`` and recipes."""

from __future__ import annotations

import copy
import difflib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, Field, ValidationError

from recurra.config.sections import DataConfig, ModelConfig, Section, TokenizerConfig
from recurra.config.training import TrainConfig
from recurra.config.typed import parse_value, spelling_of
from recurra.config.yaml import parse_yaml
from recurra.errors import ConfigError
from recurra.printable import shortened

_LONGEST_VALUE = 200  # characters of a value that a message repeats


class Config(Section):
    """The settings of every task; the class of a task adds its own sections (`recurra.tasks.settings`)."""

    recipe: str | None = Field(None, description="the recipe that these settings are based on")
    task: str = Field("classify", description="the task")
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()

    @classmethod
    def sections(cls) -> dict[str, type[BaseModel]]:
        """Returns the sections by name: data, those of the task, model, train."""
        sections = {
            name: field.annotation
            for name, field in cls.model_fields.items()
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
        }
        last = {name: sections.pop(name) for name in ("model", "train")}
        return {**sections, **last}

    def plain(self) -> dict[str, Any]:
        """Returns the settings, with defaults, as JSON values."""
        values = self.model_dump(mode="json")
        return {name: values[name] for name in ("recipe", "task", *self.sections())}

    def to_yaml(self) -> str:
        """Returns the settings, with defaults, as YAML."""
        return yaml.safe_dump(self.plain(), sort_keys=False, allow_unicode=True)


class TextConfig(Config):
    """The settings of a task that tokenizes texts."""

    tokenizer: TokenizerConfig = TokenizerConfig()


C = TypeVar("C", bound=Config)


def merged_settings(*layers: dict[str, Any]) -> dict[str, Any]:
    """Merges nested dictionaries into one; later values take precedence."""
    merged: dict[str, Any] = {}
    for layer in layers:
        _merge(merged, _renamed(layer))
    return merged


def read_settings(path: Path) -> dict[str, Any]:
    """Returns the nested dictionary of a YAML file.

    Raises:
        ConfigError: the file is missing, is not YAML, or is not a mapping.
    """
    try:
        settings = parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"can't be read ({error.strerror})", where=path) from error
    except ValueError as error:  # of the encoding too
        raise ConfigError(f"is not YAML for settings: {error}", where=path) from error
    if settings is None:
        return {}
    if not isinstance(settings, dict) or not all(isinstance(key, str) for key in settings):
        raise ConfigError("is not a mapping of settings", where=path)
    return settings


def parse_set(assignment: str, sections: Mapping[str, type[BaseModel]] | None = None) -> dict[str, Any]:
    """Converts ``"model.units=64"`` to ``{"model": {"units": 64}}``.

    The value is parsed as YAML, but that of a setting which is a string is taken as it is typed.

    Args:
        assignment: key and value.
        sections: the sections by name; those that several tasks share if it is None.

    Raises:
        ConfigError: ``=`` or the key is missing, or the value is not YAML.
    """
    key, equals, value = assignment.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"--set {assignment!r} is not KEY=VALUE", hint="for example: --set model.units=64")
    sections = TextConfig.sections() if sections is None else sections
    section = sections.get(parts[0]) if len(parts) == 2 else Config if len(parts) == 1 else None
    field = section.model_fields.get(parts[-1]) if section is not None else None
    try:
        parsed = parse_value(value, field)
    except ValueError as error:
        hint = spelling_of(".".join(parts), field) if field is not None else None
        what = f"the value in --set {assignment!r} is not YAML: {error}"
        raise ConfigError(what, hint=hint) from error
    for part in reversed(parts):
        parsed = {part: parsed}
    return dict(parsed)


def recipe_names() -> list[str]:
    """Returns the names of the recipes in the package, sorted."""
    folder = resources.files("recurra.recipes")
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))


def load_recipe(name: str) -> dict[str, Any]:
    """Returns the settings of a recipe as a nested dictionary, with its name as ``recipe``.

    Raises:
        ConfigError: there is no recipe of that name.
    """
    names = recipe_names()
    if name not in names:
        closest = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {closest[0]}?" if closest else f"choose one of {', '.join(names)}"
        raise ConfigError(f"there is no recipe {name!r}", hint=hint)
    text = resources.files("recurra.recipes").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return {**yaml.safe_load(text), "recipe": name}


def updated(config: C, changes: Mapping[str, Any]) -> C:
    """Returns a copy of ``config`` with ``changes``, a nested dictionary, validated as a whole.

    Raises:
        ConfigError: an unknown key or a value out of range.
    """
    merged = config.model_dump(exclude_unset=True)
    _merge(merged, changes)
    try:
        return type(config).model_validate(merged)
    except ValidationError as error:
        raise setting_error(error, config.sections()) from None


def _renamed(settings: dict[str, Any]) -> dict[str, Any]:
    """Replaces names of older versions: ``data.task`` is now ``data.label_kind``."""
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
    error: ValidationError, sections: Mapping[str, type[BaseModel]], where: str | Path | None = None
) -> ConfigError:
    """Converts the first error to one line, with the closest known key for an unknown one.

    Args:
        error: the error of pydantic.
        sections: the sections by name, whose settings are suggested for an unknown one.
        where: the file, for the message.
    """
    dotted = [f"{name}.{key}" for name, section in sections.items() for key in section.model_fields]
    known = ["recipe", "task", *sections, *dotted]
    errors = error.errors(include_url=False)
    # Of a value or a list of values, pydantic tries both: an entry of a list says more than "not a value".
    of_first = [each for each in errors if each["loc"][:2] == errors[0]["loc"][:2]]
    first = max(of_first, key=lambda each: any(isinstance(part, int) for part in each["loc"]))
    path = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        name = ".".join(path)
        closest = [key for key in known if key.endswith(f".{path[-1]}")] or difflib.get_close_matches(
            name, known, 1, cutoff=0.5
        )
        hint = f"did you mean {closest[0]}?" if closest else "see recurra fit --help"
        return ConfigError(f"there is no setting {name!r}", where=where, hint=hint)
    # After section and key, pydantic lists the branches of a union, which are not useful to users.
    name = next((".".join(path[:n]) for n in (2, 1) if ".".join(path[:n]) in known), "".join(path[:1]))
    reason = first["msg"].removeprefix("Value error, ")
    reason = reason[:1].lower() + reason[1:]
    if not path:
        return ConfigError(reason, where=where)
    if name in dotted and isinstance(first["input"], dict):  # the message says which entry is wrong
        return ConfigError(f"setting {name}: {reason}", where=where)
    if isinstance(first["input"], dict):  # settings that do not go together: their section is not repeated
        return ConfigError(f"section {name}: {reason}", where=where)
    value = shortened(repr(first["input"]), _LONGEST_VALUE)
    spelling = None
    if name in dotted and first["type"].endswith(("_type", "_parsing")):
        section, key = path[:2]
        spelling = spelling_of(name, sections[section].model_fields[key])
    entries = [f": entry {part + 1} is {value}" for part in first["loc"] if isinstance(part, int)]
    what = entries[0] if entries else f" = {value}"
    return ConfigError(f"setting {name}{what}: {reason}", where=where, hint=spelling)
