"""Every setting, in one place: its default, its range and what it means."""

from __future__ import annotations

import copy
import difflib
import json
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from recurra.errors import ConfigError

__all__ = [
    "Config",
    "DataConfig",
    "ModelConfig",
    "TokenizerConfig",
    "TrainConfig",
    "describe_settings",
    "load_recipe",
    "parse_set",
    "read_settings",
    "recipe_names",
    "recipe_under",
]

Cell = Literal["simple_rnn", "lstm", "gru"]
Activation = Literal["tanh", "relu"]
Pooling = Literal["last", "mean", "max", "attention"]
Backend = Literal["auto", "cpu", "reference", "torch"]
Precision = Literal["float32", "bfloat16"]
Task = Literal["auto", "binary", "multiclass", "multilabel"]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Width = Annotated[int, Field(ge=1, le=65_536)]


class _Section(BaseModel):
    """Settings that refuse an unknown key."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DataConfig(_Section):
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
    task: Task = Field("auto", description="what the labels are")
    encoding: str = Field("utf-8", description="encoding of text files")
    skip_bad_rows: bool = Field(False, description="leave broken rows out, counted and listed")
    valid_fraction: Annotated[float, Field(gt=0, lt=0.9)] = Field(
        0.1, description="share of the training rows held out where no validation file is given"
    )
    split_seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        1, description="which rows are held out; apart from train.seed, so that seeds share a split"
    )


class TokenizerConfig(_Section):
    """How a text becomes token ids."""

    level: Literal["word", "subword"] = Field("word", description="words, or byte-pair pieces of words")
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


class ModelConfig(_Section):
    """The network."""

    cell: Cell = Field("lstm", description="the recurrent cell")
    units: Width | list[Width] = Field(100, description="hidden units; a list gives each layer its own")
    layers: Annotated[int, Field(ge=1, le=64)] = Field(1, description="recurrent layers")
    bidirectional: bool = Field(False, description="read from both ends")
    dropout: Fraction = Field(0.0, description="on the input of every recurrent layer, one mask a sequence")
    recurrent_dropout: Fraction = Field(
        0.0, description="on the state entering the recurrent product, one mask a sequence"
    )
    activation: Activation | list[Activation] = Field(
        "tanh", description="of the candidate (and LSTM's output); a list gives each layer its own"
    )
    pooling: Pooling = Field("last", description="how all states become one vector")
    embedding: Width = Field(32, description="features of a token")
    head_dropout: Fraction = Field(0.0, description="on the pooled vector, before the head")
    backend: Backend = Field("auto", description="the kernels that compute the recurrence")
    precision: Precision = Field(
        "float32",
        description="bfloat16 rounds the factors of the recurrent layers' products, forwards and backwards",
    )

    @model_validator(mode="before")
    @classmethod
    def _lists_give_layers(cls, given: Any) -> Any:
        if isinstance(given, dict) and "layers" not in given:
            for name in ("units", "activation"):
                if isinstance(given.get(name), list):
                    return {**given, "layers": len(given[name])}
        return given

    @model_validator(mode="after")
    def _lists_fit_layers(self) -> ModelConfig:
        for name, value in (("units", self.units), ("activation", self.activation)):
            if isinstance(value, list) and len(value) != self.layers:
                raise ValueError(f"{name} lists {len(value)} layers where there are {self.layers}")
        return self

    @property
    def layer_units(self) -> list[int]:
        """The width of each layer, first to last."""
        return self.units if isinstance(self.units, list) else [self.units] * self.layers

    @property
    def layer_activations(self) -> list[Activation]:
        """The activation of each layer, first to last."""
        if isinstance(self.activation, list):
            return self.activation
        return [self.activation] * self.layers


class TrainConfig(_Section):
    """Training: optimizer, schedule, stopping, checkpoints."""

    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] = Field("adam", description="the step rule")
    learning_rate: Annotated[float, Field(gt=0, le=100)] = Field(0.001, description="its step size")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        "constant", description="how the learning rate falls towards the last epoch"
    )
    warmup_steps: Annotated[int, Field(ge=0)] = Field(0, description="steps in which the rate rises from 0")
    weight_decay: Annotated[float, Field(ge=0, le=10)] = Field(
        0.0, description="pull towards 0; decoupled in adamw"
    )
    momentum: Annotated[float, Field(ge=0, lt=1)] = Field(0.0, description="of sgd")
    embedding_rows: Literal["auto", "all", "touched"] = Field(
        "auto",
        description="rows of the embedding that a step moves; touched: those of the batch's words alone, so "
        "that neither momentum nor decay moves others; auto: touched if the table has 5,000,000 numbers",
    )
    clip_norm: Annotated[float, Field(gt=0)] | None = Field(
        1.0, description="gradients are scaled down to this norm; null for none"
    )
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = Field(64, description="texts a step")
    epochs: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        10, description="passes over the training rows, at most"
    )
    patience: Annotated[int, Field(ge=1)] = Field(
        3, description="epochs without improvement of the monitor before training stops"
    )
    monitor: Literal["loss", "accuracy", "macro_f1", "auc"] = Field(
        "loss", description="the figure on the validation part that stops training"
    )
    class_weight: Literal["none", "balanced"] | dict[str, Annotated[float, Field(gt=0)]] = Field(
        "none", description="weights in the loss: none, balanced, or by class name"
    )
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        1, description="of weights, masks and the order of batches"
    )
    device: str = Field(
        "cpu", description="cpu, cuda, or auto for a GPU where there is one (so far run on the CPU alone)"
    )
    pretrained: str | None = Field(
        None,
        description="a model's directory or a file of word vectors (word2vec, GloVe, fastText) that the "
        "embedding begins from; its width is model.embedding",
    )
    pretrained_layers: bool = Field(
        False, description="begin from the pretrained model's recurrent layers too, as many as fit"
    )
    freeze: bool = Field(False, description="what was pretrained stays as it is")
    unfreeze_after: Annotated[int, Field(ge=1)] | None = Field(
        None, description="what was pretrained stays as it is for so many epochs, then is trained too"
    )
    layerwise_lr: Annotated[float, Field(gt=0, le=1)] | None = Field(
        None,
        description="each layer's learning rate as a share of that of the layer above; null for one rate",
    )
    checkpoint_minutes: Annotated[float, Field(gt=0)] = Field(
        10.0, description="a checkpoint at least this often, besides one each epoch"
    )
    tensorboard: bool = Field(False, description="write TensorBoard logs beside the model")


class Config(_Section):
    """All settings of a classifier, every default written out.

    Example:
        >>> Config.build({"model": {"cell": "gru"}}, parse_set("model.units=64")).model.units
        64
    """

    recipe: str | None = Field(None, description="the recipe these settings began from")
    data: DataConfig = DataConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()

    @classmethod
    def build(cls, *layers: dict[str, Any], where: str | Path | None = None) -> Config:
        """Settings merged from nested dictionaries, later ones winning.

        Raises:
            ConfigError: an unknown key (with the nearest known one) or a value out of range.
        """
        merged: dict[str, Any] = {}
        for layer in layers:
            _merge(merged, layer)
        try:
            return cls.model_validate(merged)
        except ValidationError as error:
            raise _explain(error, where) from None

    def to_yaml(self) -> str:
        """The settings as YAML, every default written out."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def read_settings(path: Path) -> dict[str, Any]:
    """The nested dictionary of a YAML file.

    Raises:
        ConfigError: the file is missing, is not YAML, or is not a mapping.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"can't be read ({error.strerror})", where=path) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"is not YAML: {error}", where=path) from error
    if found is None:
        return {}
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise ConfigError("is not a mapping of settings", where=path)
    return found


def parse_set(assignment: str) -> dict[str, Any]:
    """``"model.units=64"`` as ``{"model": {"units": 64}}``; the value is read as YAML.

    Raises:
        ConfigError: there is no ``=``, no key, or the value is not YAML.
    """
    key, equals, value = assignment.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(
            f"--set {assignment!r} is not KEY=VALUE", mend="write for example --set model.units=64"
        )
    try:
        parsed: Any = yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(f"the value in --set {assignment!r} is not YAML") from error
    for part in reversed(parts):
        parsed = {part: parsed}
    return dict(parsed)


def describe_settings() -> str:
    """Every setting with its default and meaning, as a Markdown table."""
    lines = ["| setting | default | meaning |", "|---|---|---|"]
    for section, kind in _sections().items():
        for key, field in kind.model_fields.items():
            default = json.dumps(field.get_default())
            choices = ", ".join(f"`{choice}`" for choice in _choices(field.annotation))
            meaning = f"{field.description}: {choices}" if choices else field.description
            lines.append(f"| `{section}.{key}` | `{default}` | {meaning} |")
    return "\n".join(lines)


def _choices(annotation: Any) -> list[str]:
    """The words that a setting of this type may be, if it is one of a few."""
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    found = [choice for part in get_args(annotation) for choice in _choices(part)]
    return list(dict.fromkeys(found))


def recipe_names() -> list[str]:
    """The recipes that come with the package, sorted."""
    folder = resources.files("recurra.recipes")
    return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))


def load_recipe(name: str) -> dict[str, Any]:
    """The settings of a recipe by name, as a nested dictionary that records the name.

    Raises:
        ConfigError: there is no recipe of that name.
    """
    names = recipe_names()
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
        raise ConfigError(f"there is no recipe {name!r}", mend=hint)
    text = resources.files("recurra.recipes").joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return {**yaml.safe_load(text), "recipe": name}


def recipe_under(name: str, *above: dict[str, Any]) -> dict[str, Any]:
    """The settings of a recipe by name, to be merged with those of ``above``, which win.

    Where those begin from pretrained vectors, the recipe's ``model.embedding`` is left out: the vectors have
    a width of their own, and a width in the settings is then one that the user has set.

    Raises:
        ConfigError: there is no recipe of that name.
    """
    settings = load_recipe(name)
    merged: dict[str, Any] = {}
    for layer in above:
        _merge(merged, layer)
    train = merged.get("train")
    if isinstance(train, dict) and train.get("pretrained") is not None:
        settings.get("model", {}).pop("embedding", None)
    return settings


def _merge(into: dict[str, Any], other: dict[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = copy.deepcopy(value)


def _explain(error: ValidationError, where: str | Path | None) -> ConfigError:
    """The first complaint as one line, with the nearest known key for an unknown one."""
    first = error.errors(include_url=False)[0]
    known = _known_keys()
    path = [str(part) for part in first["loc"]]
    if first["type"] == "extra_forbidden":
        name = ".".join(path)
        near = [key for key in known if key.endswith(f".{path[-1]}")] or difflib.get_close_matches(
            name, known, 1, cutoff=0.5
        )
        mend = f"did you mean {near[0]}?" if near else "see recurra fit --help"
        return ConfigError(f"there is no setting {name!r}", where=where, mend=mend)
    # Beyond section and key pydantic names the branches of a union, which mean nothing to a user.
    name = next((".".join(path[:n]) for n in (2, 1) if ".".join(path[:n]) in known), "")
    reason = first["msg"].removeprefix("Value error, ")
    reason = reason[:1].lower() + reason[1:]
    return ConfigError(f"setting {name} = {first['input']!r}: {reason}", where=where)


def _known_keys() -> list[str]:
    """Every section, and every setting by its dotted name."""
    dotted = [f"{section}.{key}" for section, kind in _sections().items() for key in kind.model_fields]
    return [*Config.model_fields, *dotted]


def _sections() -> dict[str, type[BaseModel]]:
    return {
        name: field.annotation
        for name, field in Config.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)
    }
