"""The arms of a comparison: a recipe, and techniques that are added to it with ``+``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recurra.comparison.origins import Origin
from recurra.config import load_recipe
from recurra.errors import ConfigError
from recurra.tasks.settings import parse_assignment

__all__ = ["Arm", "parse_arm", "parse_arms", "require_several"]

_RECIPES = {
    "simple-rnn": "SimpleRNN",
    "lstm": "LSTM",
    "gru": "GRU",
    "bi-lstm": "Bidirectional LSTM",
    "stacked-lstm": "Stacked LSTM",
    "stacked-gru": "Stacked GRU",
    "default": "Default recipe",
}
# The value of Chollet (Deep Learning with Python, 2021, chapter 10), there for both kinds of dropout.
_RECURRENT_DROPOUT = {"model": {"recurrent_dropout": 0.2}}
_SETTINGS = (  # display names of some settings; others are shown as they are
    (re.compile(r"model\.bidirectional=true"), "bidirectional"),
    (re.compile(r"model\.(layers|units)=(\d+)"), r"\2 \1"),
)
_TECHNIQUES = ("recurrent-dropout", "pretrained", "pretrained-tuned")
_PARTS = re.compile(r"[,+](?![^\[{]*[\]}])")  # a comma or plus that is not within a list


@dataclass(frozen=True)
class Arm:
    """One way of training.

    Attributes:
        key: The arm as it was given, such as ``lstm+recurrent-dropout``.
        name: Its display name, such as ``LSTM + recurrent dropout``.
        recipe: Name of the recipe.
        settings: Layers of settings that override the recipe, nested as in `Config`.
        estimator: Where the estimator of another library comes from; None for a network of recurra.
    """

    key: str
    name: str
    recipe: str
    settings: tuple[dict[str, Any], ...]
    estimator: Origin | None = None


def parse_arms(typed: str, pretrained: Path | None = None) -> list[Arm]:
    """Returns the arms of a list such as ``"lstm,gru,lstm+recurrent-dropout,lstm+model.units=64"``.

    Args:
        typed: Names of recipes, separated by commas; each may be followed by ``+recurrent-dropout``,
            ``+pretrained`` (frozen), ``+pretrained-tuned``, or ``+KEY=VALUE`` for any setting.
        pretrained: Word vectors for ``+pretrained``.

    Raises:
        ConfigError: If a recipe or technique is unknown, there are fewer than two arms, an arm is given
            twice, or there are no vectors for ``+pretrained``.

    Example:
        >>> [arm.name for arm in parse_arms("lstm+model.layers=2,gru+recurrent-dropout+model.units=[3,6]")]
        ['LSTM + 2 layers', 'GRU + recurrent dropout + model.units=[3,6]']
    """
    keys = [key for part in _split(typed, ",") if (key := part.strip())]
    arms = [parse_arm(key, pretrained) for key in keys]
    require_several(arms)
    return arms


def require_several(arms: Sequence[Arm]) -> None:
    """Checks that there are two arms or more, each once.

    Raises:
        ConfigError: If there are not.
    """
    keys = [arm.key for arm in arms]
    repeated = next((key for number, key in enumerate(keys) if key in keys[:number]), None)
    if repeated is not None:
        raise ConfigError(f"{repeated} is named twice", where="--recipes", hint="name each arm once")
    if len(arms) < 2:
        raise ConfigError(
            "there is nothing to compare", where="--recipes", hint="name two recipes or more: lstm,gru"
        )


def parse_arm(key: str, pretrained: Path | None = None) -> Arm:
    """Returns one arm of a list as `parse_arms` reads it.

    Raises:
        ConfigError: If a recipe or technique is unknown, or there are no vectors for ``+pretrained``.
    """
    recipe, *techniques = (part.strip() for part in _split(key, "+"))
    load_recipe(recipe)
    names = [_RECIPES.get(recipe, recipe.replace("-", " ").capitalize())]
    settings = []
    for technique in techniques:
        name, layer = _technique(technique, key, pretrained)
        names.append(name)
        settings.append(layer)
    return Arm(key, " + ".join(names), recipe, tuple(settings))


def _technique(technique: str, key: str, pretrained: Path | None) -> tuple[str, dict[str, Any]]:
    if "=" in technique:
        names = (pattern.sub(name, technique) for pattern, name in _SETTINGS if pattern.fullmatch(technique))
        return next(names, technique), parse_assignment(technique)
    if technique == "recurrent-dropout":
        return "recurrent dropout", _RECURRENT_DROPOUT
    if technique not in _TECHNIQUES:
        raise ConfigError(
            f"there is no technique {technique!r} (in {key!r})",
            where="--recipes",
            hint=f"there are {', '.join(_TECHNIQUES)}, or any setting such as model.units=64",
        )
    if pretrained is None:
        raise ConfigError(
            f"{key} needs word vectors",
            where="--recipes",
            hint="give --pretrained EMB, a model or a file of word vectors",
        )
    freeze = technique == "pretrained"
    name = f"pretrained embedding, {'frozen' if freeze else 'tuned'}"
    return name, {"train": {"pretrained": str(pretrained.absolute()), "freeze": freeze}}


def _split(text: str, separator: str) -> list[str]:
    """``text`` split at a separator, except within lists."""
    pieces, begin = [], 0
    for match in _PARTS.finditer(text):
        if match.group() == separator:
            pieces.append(text[begin : match.start()])
            begin = match.end()
    return [*pieces, text[begin:]]
