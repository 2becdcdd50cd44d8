"""The parameters of an estimator: dataclass fields, passed on to the settings, and their docstrings."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, dataclass_transform, get_type_hints

from recurra.tasks.settings import setting_meaning

__all__ = ["parameters", "setting", "targets_of"]

T = TypeVar("T")


def setting(*targets: str, default: Any = None, meaning: str | None = None) -> Any:
    """Returns the field of a parameter that is passed on to the settings.

    Args:
        targets: the section that has a setting of the parameter's name, or dotted names of settings.
        default: the parameter's default; None leaves the recipe's value.
        meaning: for the docstring; the setting's description if None.
    """
    return field(default=default, metadata={"settings": targets, "meaning": meaning})


@dataclass_transform(eq_default=False, kw_only_default=True, field_specifiers=(field,))
def parameters(cls: type[T]) -> type[T]:
    """Class decorator: a dataclass whose fields are the parameters of an estimator.

    The section ``Parameters`` of the docstring is generated from the settings that the fields name.
    """
    made: Any = dataclass(eq=False, repr=False, kw_only=True)(cls)
    named = {parameter.name: parameter for parameter in fields(made) if parameter.init}
    hints = get_type_hints(cls)
    # Types in place of their names, which mean nothing in the module of a subclass.
    made.__init__.__annotations__ = {**{name: hints[name] for name in named}, "return": None}
    before, heading, after = inspect.cleandoc(cls.__doc__ or "").partition("Attributes\n----------")
    if heading:
        lines = [line for parameter in named.values() for line in _documented(parameter)]
        cls.__doc__ = "\n".join([f"{before}Parameters", "----------", *lines, "", f"{heading}{after}"])
    return cls


def _documented(parameter: Any) -> Iterator[str]:
    """The lines of a parameter in a docstring in the format of numpydoc."""
    targets = list(targets_of(parameter))
    meaning = parameter.metadata["meaning"] or setting_meaning(*targets[0])
    names = " and ".join(f"``{section}.{key}``" for section, key in targets)
    text = f"Setting {names}: {meaning}." if names else f"{meaning}."
    yield f"{parameter.name} : {parameter.type}, default={parameter.default!r}"
    yield from textwrap.wrap(text, 100, initial_indent="    ", subsequent_indent="    ")


def targets_of(parameter: Any) -> Iterator[tuple[str, str]]:
    """The section and the name of each setting that a parameter sets."""
    for target in parameter.metadata.get("settings", ()):
        section, _, key = target.partition(".")
        yield section, key or parameter.name
