"""The search space of a task: which settings are varied, over which values, and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ConfigDict

from recurra.cells import cell_named
from recurra.config import Config
from recurra.errors import ConfigError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

__all__ = ["Dimension", "Space", "changes", "names_in", "space_of"]


class Dimension(BaseModel):
    """The values that one setting may have: either ``values``, or numbers from ``low`` to ``high``.

    Attributes:
        values: the values, in no order.
        low: the smallest number; a whole one if all of its numbers are whole.
        high: the largest number.
        step: distance of the numbers; None for 1 of whole numbers, and for any number otherwise.
        log: whether the logarithm is spread evenly.
        why: the reason for the setting and its range.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    values: tuple[str | bool | int, ...] | None = None
    low: int | float = 0
    high: int | float = 0
    step: int | float | None = None
    log: bool = False
    why: str

    @property
    def whole(self) -> bool:
        """Whether its numbers are whole."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def distribution(self) -> BaseDistribution:
        """Returns its distribution for Optuna."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.values is not None:
            return CategoricalDistribution(self.values)
        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(self.low, self.high, log=self.log, step=self.step)

    def nearest(self, value: Any) -> Any:
        """Returns the value of the dimension that is nearest to ``value``.

        Example:
            >>> Dimension(low=16, high=128, step=16, why="width").nearest(100)
            96
            >>> Dimension(values=("lstm", "gru"), why="cell").nearest("slstm")
            'lstm'
        """
        if self.values is not None:
            numbers = [each for each in self.values if type(each) is type(value) is int]
            if value in self.values:
                return value
            return min(numbers, key=lambda each: abs(each - value)) if numbers else self.values[0]
        near = min(max(value, self.low), self.high)
        if self.step is None:
            return round(near) if self.whole else float(near)
        near = self.low + round((near - self.low) / self.step) * self.step
        near = near if near <= self.high else near - self.step
        return int(near) if self.whole else round(float(near), 10)

    @property
    def text(self) -> str:
        """The values in words."""
        if self.values is not None:
            return ", ".join(
                str(value).lower() if isinstance(value, bool) else str(value) for value in self.values
            )
        step = f", in steps of {self.step:g}" if self.step and self.step != 1 else ""
        return f"{self.low:g} to {self.high:g}{step}{', by its logarithm' if self.log else ''}"


Space = Mapping[str, Dimension]
"""The dimensions by dotted name of the setting."""


def space_of(task: str, config: Config | None = None, fixed: Iterable[str] = ()) -> Space:
    """Returns the search space of a task, which ``recipes/search/TASK.yaml`` declares.

    Args:
        task: name of the task.
        config: the settings that the search begins with; lists of one value per layer are not varied.
        fixed: settings that the user gave, which are not varied.

    Raises:
        ConfigError: nothing is left to vary.

    Example:
        >>> space_of("lm")["model.units"].text
        '64 to 512, in steps of 64'
    """
    text = resources.files("recurra.recipes").joinpath("search", f"{task}.yaml").read_text(encoding="utf-8")
    space = {name: Dimension.model_validate(fields) for name, fields in yaml.safe_load(text).items()}
    kept = set(fixed)
    if config is not None:
        lists = [name for name in space if isinstance(_value(config, name), list)]
        kept.update(lists, ["model.layers"] if lists else [])
        kept.update(["model.embedding"] if config.train.pretrained is not None else [])
        if config.train.pretrained_layers:
            kept.update(f"model.{name}" for name in ("cell", "units", "layers", "bidirectional"))
    space = {name: dimension for name, dimension in space.items() if name not in kept}
    if not space:
        raise ConfigError("every setting of the search is given, so there is nothing to vary", where="--set")
    return space


def names_in(settings: Mapping[str, Any]) -> list[str]:
    """Returns the dotted names of nested settings.

    Example:
        >>> names_in({"task": "tag", "model": {"units": 64}})
        ['model.units']
    """
    return [
        f"{section}.{key}" for section, keys in settings.items() if isinstance(keys, dict) for key in keys
    ]


def changes(values: Mapping[str, Any], config: Config) -> dict[str, Any]:
    """Returns nested settings with ``values`` by dotted name.

    A cell without a recurrent product has no recurrent dropout, whatever its value in the search.
    """
    nested: dict[str, Any] = {}
    for name, value in values.items():
        section, key = name.split(".")
        nested.setdefault(section, {})[key] = value
    model = nested.get("model", {})
    if (
        not cell_named(model.get("cell", config.model.cell)).recurrent_dropout
        and "recurrent_dropout" in model
    ):
        model["recurrent_dropout"] = 0.0
    return nested


def _value(config: Config, name: str) -> Any:
    section, key = name.split(".")
    return getattr(getattr(config, section), key)
