"""The settings of classification."""

from __future__ import annotations

from typing import Literal

from recurra.config import Config, TokenizerConfig

__all__ = ["ClassifierConfig"]


class ClassifierConfig(Config):
    """All settings of a classifier."""

    task: Literal["classify"] = "classify"
    tokenizer: TokenizerConfig = TokenizerConfig()
