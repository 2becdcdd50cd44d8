"""The settings of classification."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from recurra.config import ExpertsConfig, Section, TextConfig, UnlabeledConfig

__all__ = ["ClassifierConfig", "ClassifierModelConfig", "PredictConfig"]


class ClassifierModelConfig(ExpertsConfig):
    """The model of a classifier: the network, and what answers beside it."""

    pieces: bool = Field(
        False,
        description="whether the n-gram model, which is the baseline too, counts pieces of 4 characters of "
        "the words beside the n-grams (classification)",
    )


Headline = Annotated[
    str,
    Field(
        pattern=r"^(auto|accuracy|balanced_accuracy|macro_f1|micro_f1|auc|log_loss|(f1|precision|recall):.+)$"
    ),
]
Share = Annotated[float, Field(gt=0, lt=1)]


class PredictConfig(Section):
    """How a classifier decides, fitted on the validation rows at the end of training."""

    metric: str | None = Field(
        None,
        description="what thresholds of the classes are fitted for: accuracy, macro_f1, balanced_accuracy, "
        "f1:CLASS, precision>=0.95:CLASS or recall>=0.9:CLASS, for several labels a row also micro_f1; null: "
        "the most probable class, and the highest F1 of each label of several",
    )
    costs: dict[str, dict[str, Annotated[float, Field(ge=0, le=1e6)]]] | None = Field(
        None,
        description="costs of wrong answers: {TRUE: {PREDICTED: 5}}, 1 for what is not named; the class with "
        "the lowest expected cost is predicted; for several labels a row, {LABEL: {missed: 5, wrong: 1}}",
    )
    abstain: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="confidence below which the answer is unsure; null: each text is answered"
    )
    risk: Share | None = Field(
        None,
        description="share of wrong answers that abstain is fitted for: the most answers whose error is "
        "below it with 95% confidence on the validation rows; null: abstain is not fitted",
    )
    headline: Headline = Field(
        "auto",
        description="the first figure of the report: accuracy, balanced_accuracy, macro_f1, micro_f1, auc, "
        "log_loss, f1:CLASS, precision:CLASS or recall:CLASS; auto: macro_f1 where one class has more than "
        "60% of the training rows, else accuracy, and micro_f1 for several labels a row",
    )

    @model_validator(mode="after")
    def _one_of_two(self) -> Self:
        for one, other in (("abstain", "risk"), ("metric", "costs")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                raise ValueError(f"{one} and {other} exclude each other: set one of them")
        return self


class ClassifierConfig(TextConfig):
    """All settings of a classifier."""

    task: Literal["classify"] = "classify"
    model: ClassifierModelConfig = ClassifierModelConfig()
    unlabeled: UnlabeledConfig = UnlabeledConfig()
    predict: PredictConfig = PredictConfig()
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
