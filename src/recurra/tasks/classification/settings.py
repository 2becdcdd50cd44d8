"""The settings of classification."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from recurra.config import ModelConfig, TextConfig, UnlabeledConfig

__all__ = ["ClassifierConfig", "ClassifierModelConfig", "Expert"]

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
