"""The sections of settings that several tasks share, each setting with its default, range and meaning."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from recurra.cells import cell_named, cell_names
from recurra.config.typed import refuse_truth_value, spelled
from recurra.io.formats import format_names

Fraction = Annotated[float, Field(ge=0, lt=1)]
Width = Annotated[int, Field(ge=1, le=65_536)]
Activation = Literal["tanh", "relu", "identity", "linear_sigmoid"]
Pooling = Literal["last", "mean", "max", "attention"]
Backend = Literal["auto", "cpu", "reference", "torch"]
Precision = Literal["float32", "bfloat16"]
Expert = Literal["ngrams", "recurrent"]
Labels = Literal["auto", "binary", "multiclass", "multilabel"]


@dataclass(frozen=True)
class Choice:
    """Annotates a string setting whose values are the names of a table, which can be extended at run time.

    Attributes:
        names: a function that returns the names.
        others: a description of other values, for the error message.
    """

    names: Callable[[], Iterable[str]]
    others: str = ""

    def check(self, value: str) -> str:
        """Returns ``value`` if it is one of the names.

        Raises:
            ValueError: ``value`` is not one of the names.
        """
        names = list(self.names())
        if value not in names:
            others = f", or {self.others}" if self.others else ""
            raise ValueError(f"it should be one of {', '.join(names)}{others}")
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))


class Section(BaseModel):
    """Base class of settings; an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _as_spelled(cls, settings: Any) -> Any:
        if not isinstance(settings, dict):
            return settings
        return {name: spelled(value, cls.model_fields.get(name)) for name, value in settings.items()}

    @field_validator("*", mode="before")
    @classmethod
    def _no_truth_value_as_number(cls, value: Any, info: ValidationInfo) -> Any:
        if info.field_name is not None:
            refuse_truth_value(value, cls.model_fields[info.field_name])
        return value


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
    sheet: str | None = Field(None, description="sheet of a spreadsheet; null: the first with rows")
    encoding: str = Field("utf-8", description="encoding of text files")
    skip_bad_rows: bool = Field(False, description="skip malformed rows and report them")
    valid_fraction: Annotated[float, Field(gt=0, lt=0.9)] = Field(
        0.1,
        description="fraction of the training rows held out for validation, if no validation file is given",
    )
    valid_rows: Annotated[int, Field(ge=1)] | None = Field(
        None, description="number of the first rows held out for validation, in place of a random fraction"
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


class ModelConfig(Section):
    """The network."""

    cell: Annotated[str, Choice(cell_names, "one registered with recurra.register_cell")] = Field(
        "lstm", description="the recurrent cell"
    )
    units: Width | list[Width] = Field(
        100, description="hidden units, or a list with the units of each layer"
    )
    layers: Annotated[int, Field(ge=1, le=64)] = Field(1, description="number of recurrent layers")
    bidirectional: bool = Field(False, description="process the sequence in both directions")
    merge_mode: Literal["concat", "sum", "mul", "ave"] = Field(
        "concat", description="how the outputs of both directions are combined"
    )
    dropout: Fraction | list[Fraction] = Field(
        0.0,
        description="dropout on the input of every recurrent layer, one mask per sequence, or a list with "
        "that of each layer",
    )
    recurrent_dropout: Fraction | list[Fraction] = Field(
        0.0,
        description="dropout on the state before the recurrent product, one mask per sequence, or a list "
        "with that of each layer",
    )
    activation: Activation | list[Activation] | None = Field(
        None,
        description="activation of the candidate (and of the LSTM's output), or a list with that of each "
        "layer; null: the cell's own, as in its paper",
    )
    pooling: Pooling | list[Pooling] = Field(
        "last",
        description="how the states of all steps are reduced to one vector, or a list of several ways whose "
        "vectors are concatenated",
    )
    embedding: Width = Field(32, description="size of the token embedding")
    bigrams: Annotated[int, Field(ge=0, le=2_000_000)] = Field(
        0,
        description="rows of a table with vectors of pairs of neighbouring words, by a hash of the pair, "
        "which are added to those of the words (classification); 0: none",
    )
    evidence: Annotated[int, Field(ge=0, le=4_000_000)] = Field(
        0,
        description="number of n-grams whose weights in a linear model, which is fitted first, the network "
        "reads at each word (classification); 0: none",
    )
    words: Annotated[int, Field(ge=0)] = Field(
        0,
        description="number of the most frequent words that have a vector of their own; the others have that "
        "of the unknown word, but count in `bigrams` and `evidence` (classification); 0: all",
    )
    members: Annotated[int, Field(ge=1, le=16)] = Field(
        1,
        description="number of networks that are trained side by side, from different initial weights, and "
        "whose logits are averaged (classification)",
    )
    word_dropout: Fraction = Field(
        0.0,
        description="probability with which a word of a training text is read as the unknown word "
        "(classification, language models)",
    )
    head_dropout: Fraction = Field(
        0.0,
        description="dropout on the pooled vector before the head, or on all states in a language model",
    )
    initial_embedding: Literal["random", "neighbours"] = Field(
        "random",
        description="initial word vectors of a classifier: random; or neighbours, by which words of the "
        "training texts stand beside each other (some 15 seconds for 5 million words)",
    )
    backend: Backend = Field("auto", description="implementation of the recurrence")
    initial_weights: Literal["keras", "torch"] = Field(
        "keras",
        description="initialization of the recurrent layers: keras, with orthogonal recurrent weights and a "
        "forget bias of 1; torch, uniform within 1 / sqrt(units)",
    )
    precision: Precision = Field(
        "float32",
        description="bfloat16 rounds the factors of the recurrent layers' matrix products, forward and "
        "backward; with torch's kernels, as on a GPU, their states too, and training is under "
        "torch.autocast. float32 on a GPU is without TF32",
    )

    @model_validator(mode="before")
    @classmethod
    def _lists_set_layers(cls, settings: Any) -> Any:
        if isinstance(settings, dict) and "layers" not in settings:
            for name in ("units", "activation", "dropout", "recurrent_dropout"):
                if isinstance(settings.get(name), list):
                    return {**settings, "layers": len(settings[name])}
        return settings

    @model_validator(mode="after")
    def _recurrent_dropout_has_a_product(self) -> ModelConfig:
        rates = self.recurrent_dropout
        if (any(rates) if isinstance(rates, list) else rates) and not cell_named(self.cell).recurrent_dropout:
            raise ValueError(
                f"recurrent_dropout needs a recurrent product, which {self.cell} does not have; use dropout"
            )
        return self

    @model_validator(mode="after")
    def _activation_is_one_of_the_cell(self) -> ModelConfig:
        if self.activation is not None:
            allowed = cell_named(self.cell).activations
            for name in set(self.layer_activations) - set(allowed):
                raise ValueError(f"{self.cell} has no activation {name}; use {', '.join(allowed)}")
        return self

    @model_validator(mode="after")
    def _lists_fit_layers(self) -> ModelConfig:
        for name in ("units", "activation", "dropout", "recurrent_dropout"):
            value = getattr(self, name)
            if isinstance(value, list) and len(value) != self.layers:
                raise ValueError(f"{name} has {len(value)} entries, but layers = {self.layers}")
        return self

    @field_validator("pooling")
    @classmethod
    def _poolings_differ(cls, value: Pooling | list[Pooling]) -> Pooling | list[Pooling]:
        if isinstance(value, list) and len(set(value)) < max(len(value), 1):
            raise ValueError("give each way once, and at least one")
        return value

    @property
    def poolings(self) -> list[str]:
        """The ways in which the states are reduced, one or several."""
        return [*self.pooling] if isinstance(self.pooling, list) else [self.pooling]

    @property
    def layer_units(self) -> list[int]:
        """Number of hidden units of each layer, first to last."""
        return self.units if isinstance(self.units, list) else [self.units] * self.layers

    @property
    def layer_dropouts(self) -> list[float]:
        """Dropout on the input of each layer, first to last."""
        return self.dropout if isinstance(self.dropout, list) else [self.dropout] * self.layers

    @property
    def layer_activations(self) -> list[str]:
        """Activation of each layer, first to last."""
        if isinstance(self.activation, list):
            return [*self.activation]
        return [self.activation or cell_named(self.cell).activation] * self.layers


def _distinct(experts: list[Expert]) -> list[Expert]:
    if len(set(experts)) < len(experts):
        raise ValueError("it should name each expert once")
    if "recurrent" not in experts:
        raise ValueError("it should include recurrent; the n-grams alone are the baseline of every fit")
    return experts


class ExpertsConfig(ModelConfig):
    """The network, and what answers beside it."""

    experts: Annotated[
        list[Expert],
        BeforeValidator(lambda value: [value] if isinstance(value, str) else value),
        AfterValidator(_distinct),
    ] = Field(
        ["recurrent"],
        description="what answers: recurrent, the network; with ngrams, an n-gram model too, and both are "
        "combined with weights fitted on the validation rows (classification, language models)",
    )
