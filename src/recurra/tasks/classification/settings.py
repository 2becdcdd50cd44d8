"""The settings of classification."""

from __future__ import annotations

from typing import Literal

from recurra.config import TextConfig

__all__ = ["ClassifierConfig"]


class ClassifierConfig(TextConfig):
    """All settings of a classifier."""

    task: Literal["classify"] = "classify"
