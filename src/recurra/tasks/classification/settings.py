"""The settings of classification."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from recurra.config import TextConfig, UnlabeledConfig

__all__ = ["ClassifierConfig"]


class ClassifierConfig(TextConfig):
    """All settings of a classifier."""

    task: Literal["classify"] = "classify"
    unlabeled: UnlabeledConfig = UnlabeledConfig()
    rules: bool = Field(
        False,
        description="whether rules on rows, classes, lengths and script of the training data change settings "
        "that the user did not set",
    )
    fixed: list[str] = Field([], description="settings that the user set, which no rule changes")
    set_by_rule: list[str] = Field([], description="settings that rules changed, with the reason")

    def plain(self) -> dict[str, Any]:
        """Returns the settings, with defaults, as JSON values, and the list of those that rules changed."""
        changed = {"set_by_rule": self.set_by_rule} if self.set_by_rule else {}
        return {**super().plain(), **changed}
