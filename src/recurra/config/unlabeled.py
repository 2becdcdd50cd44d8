"""The settings of texts without labels."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from recurra.config.sections import Fraction, Section

__all__ = ["UnlabeledConfig"]


class UnlabeledConfig(Section):
    """Texts without labels (``--unlabeled``): what is learned from them, and their language model."""

    method: Literal["soft_labels", "language_model", "both"] = Field(
        "soft_labels",
        description="soft_labels: the texts are training rows, labelled with the probabilities of n-grams "
        "and document vectors; language_model: the network begins from a language model of them; or both",
    )
    vectors: Annotated[int, Field(ge=0, le=4_096)] = Field(
        128,
        description="size of the document vectors that label the texts together with the n-grams; 0 for the "
        "n-grams alone, as with several labels a row or more than 20 classes",
    )
    passes: Annotated[int, Field(ge=1, le=1_000)] = Field(
        24,
        description="passes of the document vectors over all texts; more of few texts, fewer if they would "
        "take more than three tenths of train.minutes",
    )
    epochs: Annotated[int, Field(ge=1, le=1_000)] = Field(
        1, description="passes of the language model over the training rows and the unlabelled texts"
    )
    learning_rate: Annotated[float, Field(gt=0, le=100)] = Field(
        0.003, description="learning rate of the language model; it decreases to 0 along a cosine"
    )
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        64, description="number of parallel streams of text per step of the language model"
    )
    bptt: Annotated[int, Field(ge=1, le=100_000)] = Field(
        64, description="number of steps of truncated backpropagation in the language model"
    )
    samples: Annotated[int, Field(ge=1)] = Field(
        512, description="words drawn per step for the sampled softmax of the language model"
    )
    dropout: Fraction = Field(0.0, description="dropout on inputs and outputs of the language model")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        1,
        description="seed of the language model; separate from train.seed, so that all seeds have one",
    )
