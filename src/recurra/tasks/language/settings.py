"""The settings of a language model."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from recurra.config import Config, TokenizerConfig
from recurra.config.section import Section

__all__ = ["LanguageConfig", "LanguageModelConfig"]

Cutoff = Annotated[int, Field(ge=1)]


class LanguageConfig(Section):
    """What only a language model has."""

    bptt: Annotated[int, Field(ge=1, le=100_000)] = Field(
        35, description="steps of a window: gradients go back no further, states are carried on"
    )
    tie: bool = Field(
        False, description="the output's weights are the embedding's (after a projection where widths differ)"
    )
    output: Literal["full", "sampled", "adaptive"] = Field(
        "full",
        description="softmax in training: over all words; over the target and a sample; or over clusters of "
        "words, the frequent ones first. Perplexity and answers are always of all words",
    )
    samples: Annotated[int, Field(ge=1)] = Field(1000, description="words drawn a step for sampled")
    proposal: Literal["log_uniform", "uniform"] = Field(
        "log_uniform", description="from which they are drawn: by rank in frequency, or all alike"
    )
    cutoffs: list[Cutoff] | None = Field(
        None, description="ranks at which the clusters of adaptive end; null: a tenth and half of all"
    )
    ngram: Annotated[int, Field(ge=2, le=32)] | None = Field(
        None, description="order of the n-gram baseline; null: 5, and 9 for characters"
    )

    @model_validator(mode="after")
    def _fits(self) -> LanguageConfig:
        if self.cutoffs is not None and sorted(set(self.cutoffs)) != self.cutoffs:
            raise ValueError("cutoffs must rise")
        return self


class LanguageModelConfig(Config):
    """All settings of a language model."""

    task: Literal["lm"] = "lm"
    tokenizer: TokenizerConfig = TokenizerConfig()
    language: LanguageConfig = LanguageConfig()
