"""Settings of reading: where texts and labels stand in a file, and how a text becomes tokens."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from pydantic import Field

from recurra.config.section import Section
from recurra.config.train import TrainConfig

__all__ = ["DataConfig", "TextSettings", "TokenizerConfig"]

Labels = Literal["auto", "binary", "multiclass", "multilabel"]


class DataConfig(Section):
    """Where the texts and labels stand in a file; what is left at None is found by itself."""

    format: Literal["auto", "csv", "tsv", "jsonl", "parquet", "folder", "fasttext"] = Field(
        "auto", description="the file's format"
    )
    text: list[str] | None = Field(
        None, description="text column(s), joined by a space; a number counts from 0 without a header"
    )
    label: str | None = Field(None, description="label column")
    group: str | None = Field(
        None, description="column whose equal values stay on one side of the validation split"
    )
    header: bool | None = Field(None, description="whether the first row names the columns")
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="the character between the fields of a CSV"
    )
    label_separator: str | None = Field(
        None, min_length=1, description="splits one label cell into several labels (multi-label)"
    )
    label_kind: Labels = Field("auto", description="what the labels are")
    encoding: str = Field("utf-8", description="encoding of text files")
    skip_bad_rows: bool = Field(False, description="leave broken rows out, counted and listed")
    valid_fraction: Annotated[float, Field(gt=0, lt=0.9)] = Field(
        0.1, description="share of the training rows held out where no validation file is given"
    )
    split_seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        1, description="which rows are held out; apart from train.seed, so that seeds share a split"
    )


class TokenizerConfig(Section):
    """How a text becomes token ids."""

    level: Literal["word", "subword", "character", "whitespace"] = Field(
        "word",
        description="words; byte-pair pieces of words; characters, spaces too; or what stands between "
        "spaces, as it is, <unk> being the unknown word (for text that was cut into words before)",
    )
    vocab_size: Annotated[int, Field(ge=4, le=2_000_000)] = Field(
        10_000, description="entries, the three special ones (padding, start, unknown) included"
    )
    max_tokens: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        500, description="a longer text is cut to this many, the start token included"
    )
    cut: Literal["start", "end"] = Field("end", description="which end of a long text is cut off")
    lowercase: bool = Field(True, description="capitals become small letters")
    strip_html: bool = Field(True, description="tags out, entities such as &amp; or #39; resolved")
    punctuation: Literal["drop", "keep"] = Field("keep", description="whether marks are tokens")
    chinese: Literal["characters", "words"] = Field(
        "characters", description="Chinese by character, or by word (which needs the extra zh)"
    )
    start_token: bool = Field(True, description="every text begins with a start token")


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
