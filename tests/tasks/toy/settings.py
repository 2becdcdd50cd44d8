"""The settings of the toy task."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from recurra.config import Config, Section


class CountingConfig(Section):
    """What is counted."""

    letters: str = Field("aeiou", description="the letters to count")


class VowelConfig(Config):
    """All settings of a vowel counter."""

    task: Literal["vowels"] = "vowels"
    counting: CountingConfig = CountingConfig()
