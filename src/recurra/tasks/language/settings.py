"""The settings of a language model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from recurra.config import ExpertsConfig, Section, TextConfig

__all__ = ["LanguageConfig", "LanguageModelConfig"]

Cutoff = Annotated[int, Field(ge=1)]


class LanguageConfig(Section):
    """Truncated backpropagation, the output layer and the n-gram baseline of a language model."""

    bptt: Annotated[int, Field(ge=1, le=100_000)] = Field(
        35,
        description="number of steps of truncated backpropagation; states are carried from window to window",
    )
    tie: bool = Field(
        False, description="tie the output weights to the embedding (with a projection if the sizes differ)"
    )
    output: Literal["full", "sampled", "adaptive"] = Field(
        "full",
        description="softmax in training: full; sampled, over the target and a sample of words; or adaptive, "
        "over clusters of words by frequency. Perplexity and predictions always use all words",
    )
    samples: Annotated[int, Field(ge=1)] = Field(1000, description="words drawn per step (sampled)")
    proposal: Literal["log_uniform", "uniform"] = Field(
        "log_uniform", description="distribution that samples are drawn from: by frequency rank, or uniform"
    )
    cutoffs: list[Cutoff] | None = Field(
        None,
        description="frequency ranks at which clusters end (adaptive); null: a tenth and half of the words",
    )
    vocabulary: str | None = Field(
        None,
        description="file of texts from which the vocabulary is learned; null: the training texts. Losses "
        "are comparable only with the same vocabulary",
    )
    ngram: Annotated[int, Field(ge=2, le=32)] | None = Field(
        None, description="order of the n-gram baseline; null: 5, and 9 for characters"
    )

    @model_validator(mode="after")
    def _fits(self) -> LanguageConfig:
        if self.cutoffs is not None and sorted(set(self.cutoffs)) != self.cutoffs:
            raise ValueError("cutoffs must be strictly increasing")
        return self


class LanguageModelConfig(TextConfig):
    """All settings of a language model."""

    task: Literal["lm"] = "lm"
    model: ExpertsConfig = ExpertsConfig()
    language: LanguageConfig = LanguageConfig()
