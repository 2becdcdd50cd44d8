"""Settings of data files (columns, labels, the validation split) and of the tokenizer."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from pydantic import Field

from recurra.config.section import Choice, Section
from recurra.config.train import TrainConfig
from recurra.io.formats import format_names

__all__ = ["DataConfig", "TextSettings", "TokenizerConfig"]

Labels = Literal["auto", "binary", "multiclass", "multilabel"]


class DataConfig(Section):
    """The columns and format of a data file; settings that are None are detected."""

    format: Annotated[str, Choice(lambda: ["auto", *format_names()])] = Field(
        "auto", description="format of the data file"
    )
    text: list[str] | None = Field(
        None, description="text columns, joined by a space; without a header, column numbers from 0"
    )
    label: str | None = Field(None, description="label column")
    group: str | None = Field(
        None,
        description="column of groups: rows of one group are never split between training and validation",
    )
    header: bool | None = Field(None, description="whether the first row names the columns")
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="field separator of a CSV file"
    )
    label_separator: str | None = Field(
        None, min_length=1, description="separator between the labels of one row (multi-label)"
    )
    label_kind: Labels = Field("auto", description="kind of the labels")
    encoding: str = Field("utf-8", description="encoding of text files")
    skip_bad_rows: bool = Field(False, description="skip malformed rows and report them")
    valid_fraction: Annotated[float, Field(gt=0, lt=0.9)] = Field(
        0.1,
        description="fraction of the training rows held out for validation, if no validation file is given",
    )
    split_seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        1,
        description="seed of the validation split; separate from train.seed, so that all seeds have one "
        "split",
    )


class TokenizerConfig(Section):
    """The tokenizer."""

    level: Literal["word", "subword", "character", "whitespace"] = Field(
        "word",
        description="unit of a token: word; subword, by byte-pair encoding; character, spaces included; or "
        "whitespace, for text that is already tokenized, where <unk> is the unknown word",
    )
    vocab_size: Annotated[int, Field(ge=4, le=2_000_000)] = Field(
        10_000, description="size of the vocabulary, with the three special tokens (padding, start, unknown)"
    )
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        500,
        description="maximum number of tokens of a text, with the start token; longer texts are truncated",
    )
    cut: Literal["start", "end"] = Field("end", description="end at which a long text is truncated")
    lowercase: bool = Field(True, description="convert to lower case")
    strip_html: bool = Field(True, description="remove HTML tags and decode entities such as &amp; or #39;")
    punctuation: Literal["drop", "keep"] = Field("keep", description="drop punctuation, or keep it as tokens")
    chinese: Literal["characters", "words"] = Field(
        "characters", description="split Chinese into characters, or into words (requires the extra zh)"
    )
    start_token: bool = Field(True, description="add a start token to every text")


class TextSettings(Protocol):
    """The settings of a task that tokenizes texts."""

    @property
    def data(self) -> DataConfig:
        """How the file is read."""

    @property
    def tokenizer(self) -> TokenizerConfig:
        """How a text becomes token ids."""

    @property
    def train(self) -> TrainConfig:
        """How the network is trained."""
