"""The settings of classification."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from recurra.config import TextConfig, UnlabeledConfig, updated
from recurra.tasks.reporter import Reporter

__all__ = ["ClassifierConfig", "for_labels"]


class ClassifierConfig(TextConfig):
    """All settings of a classifier."""

    task: Literal["classify"] = "classify"
    unlabeled: UnlabeledConfig = UnlabeledConfig()
    multilabel: dict[str, dict[str, Any]] = Field(
        {}, description="settings of the recipe for rows with several labels, without those that the user set"
    )


def for_labels(config: ClassifierConfig, label_kind: str, reporter: Reporter) -> ClassifierConfig:
    """Returns the settings for a kind of labels: for multi-label, those of the recipe for it are merged."""
    changes = {section: values for section, values in config.multilabel.items() if values}
    if label_kind != "multilabel" or not changes:
        return config
    told = [
        f"{section}.{key}={value}" for section, values in changes.items() for key, value in values.items()
    ]
    reporter.facts({"several labels": ", ".join(told)})
    return updated(config, changes)
