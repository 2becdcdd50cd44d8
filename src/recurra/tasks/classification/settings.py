"""The settings of classification."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from recurra.config import ModelConfig, TextConfig, updated
from recurra.tasks.reporter import Reporter

__all__ = ["ClassifierConfig", "ClassifierModelConfig", "Expert", "for_labels"]

Expert = Literal["ngrams", "recurrent"]


def _distinct(experts: list[Expert]) -> list[Expert]:
    if len(set(experts)) < len(experts):
        raise ValueError("it should name each expert once")
    if "recurrent" not in experts:
        raise ValueError("it should include recurrent; the n-grams alone are the baseline of every fit")
    return experts


class ClassifierModelConfig(ModelConfig):
    """The model of a classifier: the network, and what answers beside it."""

    experts: Annotated[
        list[Expert],
        BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
        AfterValidator(_distinct),
    ] = Field(
        ["recurrent"],
        description="what answers, in classification: recurrent, the network; with ngrams, an n-gram model "
        "too, and both are combined with weights fitted on the validation rows",
    )


class ClassifierConfig(TextConfig):
    """All settings of a classifier."""

    task: Literal["classify"] = "classify"
    model: ClassifierModelConfig = ClassifierModelConfig()
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
