"""Initial weights from a pretrained model or a file of word vectors."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from recurra import store
from recurra.config import Config, ModelConfig, updated
from recurra.errors import ConfigError, DataError
from recurra.io.tokenizer import Vocabulary, spellings
from recurra.io.vectors import VectorFile, open_vectors, read_vectors
from recurra.layers.network import Network
from recurra.store import AnyBundle, Bundle
from recurra.tasks.reporter import Reporter
from recurra.tasks.use import load

__all__ = ["Pretrained", "Start", "open_pretrained", "start_from"]

C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class Pretrained:
    """A model or a file of word vectors whose weights initialize another network.

    Attributes:
        name: name of the directory or file.
        sha256: digest of the weights or of the file.
        width: width ``E`` of the vectors.
        source: the model or the file.
        with_layers: whether its recurrent layers come too, whatever ``train.pretrained_layers`` is.
    """

    name: str
    sha256: str
    width: int
    source: AnyBundle | VectorFile
    with_layers: bool = False

    def vectors(self, words: Collection[str]) -> dict[str, NDArray[np.float32]]:
        """Returns the vectors, of shape ``(E,)``, of those of ``words`` that it has.

        Raises:
            DataError: a row of the file can't be used.
        """
        if isinstance(self.source, VectorFile):
            return read_vectors(self.source, words)
        table = self.source.model.embedding.weight.detach().cpu().numpy()
        known = self.source.assets.words()
        return {word: table[id] for id, word in enumerate(known) if word and word in words}


@dataclass(frozen=True)
class Start:
    """The initial weights of a network.

    Attributes:
        table: weights of the embedding, float32 of shape ``(V, E)``.
        layers: weights of the recurrent layers by name.
        origin: the record for `Bundle.pretrained`.
    """

    table: NDArray[np.float32]
    layers: dict[str, torch.Tensor]
    origin: dict[str, Any]

    def apply(self, model: Network, *, freeze: bool) -> None:
        """Copies the weights into ``model`` and, if ``freeze``, freezes them there.

        Raises:
            ConfigError: a layer has another number of input features than the pretrained one.
        """
        for member in model.members():
            self._copy_to(member)
        if freeze:
            model.freeze(1 + self.origin["layers"])

    def _copy_to(self, model: Network) -> None:
        with torch.no_grad():
            model.embedding.weight.copy_(torch.from_numpy(self.table))
            for name, weight in self.layers.items():
                parameter = model.recurrent.get_parameter(name)
                if parameter.shape != weight.shape:
                    raise ConfigError(
                        f"the pretrained layers don't fit: {name} is {tuple(weight.shape)} there and "
                        f"{tuple(parameter.shape)} here (taggers read the spelling of words too)",
                        where="train.pretrained_layers",
                        hint="take the embedding alone",
                    )
                parameter.copy_(weight)


def open_pretrained(config: C, *, unlabeled: bool = False) -> tuple[C, Pretrained | None]:
    """Returns the settings with the width of the pretrained vectors, and the model or file of the vectors.

    Without ``train.pretrained``, the settings are unchanged and the second value is None. ``unlabeled`` is
    whether there are texts without labels, from whose language model the network may begin.

    Raises:
        ConfigError: a setting needs pretrained weights and there are none, two settings exclude each
            other, or ``model.embedding`` is set to another width.
        RecurraError: the model or file of vectors can't be used.
    """
    train = config.train
    if train.freeze and train.unfreeze_after is not None:
        raise ConfigError("train.freeze and train.unfreeze_after are both set", hint="choose one of them")
    unlabeled = unlabeled and getattr(config, "unlabeled", None) is not None
    unlabeled = unlabeled and config.unlabeled.method != "soft_labels"  # type: ignore[attr-defined]
    if unlabeled and train.pretrained is not None:
        what = "is set, and the network is to begin from a language model"
        raise ConfigError(what, where="train.pretrained", hint="choose one of them")
    if train.pretrained is None and not unlabeled:
        for name in ("freeze", "unfreeze_after", "pretrained_layers"):
            if getattr(train, name):
                raise ConfigError(
                    "there is nothing pretrained", where=f"train.{name}", hint="give --pretrained"
                )
    if train.pretrained is None:
        return config, None
    pretrained = _open(Path(train.pretrained))
    if train.pretrained_layers:
        if isinstance(pretrained.source, VectorFile):
            raise ConfigError(
                f"{pretrained.name} holds vectors, and no recurrent layers",
                where="train.pretrained_layers",
                hint="leave it out, or give a model",
            )
        _layers(pretrained.source, config.model)
    if "embedding" in config.model.model_fields_set and config.model.embedding != pretrained.width:
        raise ConfigError(
            f"is {config.model.embedding}, and the vectors of {pretrained.name} have "
            f"{pretrained.width} numbers",
            where="model.embedding",
            hint="leave it out: it is taken from the vectors",
        )
    return updated(config, {"model": {"embedding": pretrained.width}}), pretrained


def _open(path: Path) -> Pretrained:
    if path.is_dir():
        bundle = load(path)
        if not bundle.assets.words():
            raise ConfigError(f"a model of task {bundle.task} has no vectors of words", where=path)
        digest = store.weights_digest(path)
        return Pretrained(path.absolute().name, digest, bundle.config.model.embedding, bundle)
    file = open_vectors(path)
    return Pretrained(path.name, store.fingerprint(path)["sha256"], file.width, file)


def start_from(
    pretrained: Pretrained, config: Config, vocabulary: Vocabulary | None, reporter: Reporter
) -> Start:
    """Returns the initial weights for a vocabulary, and reports how much of it they cover.

    A word is looked up by its `spellings`. A word without a vector gets the mean of the vectors; padding is
    zero.

    Raises:
        DataError: a row of the file can't be used, or no word has a vector.
        ConfigError: ``vocabulary`` is None (the task has no words), or the first recurrent layer does not
            fit.
    """
    if vocabulary is None:
        raise ConfigError(
            f"task {config.task} has no words that could begin from vectors", where="train.pretrained"
        )
    layers: list[int] = []
    weights: dict[str, torch.Tensor] = {}
    with_layers = config.train.pretrained_layers or pretrained.with_layers
    if with_layers and isinstance(pretrained.source, Bundle):
        layers = _layers(pretrained.source, config.model)
        stack = pretrained.source.model.recurrent
        endings = tuple(f"_{suffix}" for layer in layers for suffix in stack.suffixes(layer))
        weights = {n: w.detach() for n, w in stack.named_parameters() if n.endswith(endings)}
    candidates = [spellings(word) for word in vocabulary.words]
    vectors = pretrained.vectors({spelling for group in candidates for spelling in group})
    table = np.zeros((len(candidates), pretrained.width), np.float32)
    known = np.zeros(len(candidates), bool)
    for id, group in enumerate(candidates):
        match = next((spelling for spelling in group if spelling in vectors), None)
        if match is not None:
            table[id], known[id] = vectors[match], True
    known[0] = False
    plain = known[vocabulary.specials :]
    if not plain.any():
        raise DataError(
            "has no vector for any word of the training texts",
            where=pretrained.name,
            hint="is it of this language?",
        )
    table[~known] = table[vocabulary.specials :][plain].mean(axis=0, dtype=np.float64)
    table[0] = 0
    # Special tokens are not counted: the vector of unknown words is not that of a word.
    covered = vocabulary.counts[vocabulary.specials :][plain].sum()
    share = float(covered / max(1, vocabulary.counts.sum()))
    facts = {
        "from": f"{pretrained.name}, {pretrained.width} numbers a word",
        "words": f"{plain.sum():,} of {len(plain):,} found ({100 * plain.mean():.1f}%), "
        "the others begin at their mean",
        "tokens": f"{100 * share:.1f}% of the training tokens have a pretrained vector",
    }
    if layers:
        facts["layers"] = f"{len(layers)} of {config.model.layers} recurrent layers begin from it"
    reporter.step("Pretrained")
    reporter.facts(facts)
    origin = {
        "name": pretrained.name,
        "sha256": pretrained.sha256,
        "words": int(plain.sum()),
        "vocabulary": len(plain),
        "token_share": round(share, 6),
        "layers": len(layers),
    }
    return Start(table, weights, origin)


def _layers(bundle: AnyBundle, config: ModelConfig) -> list[int]:
    """Returns the recurrent layers, from the first on, that are equal in both networks."""
    other = bundle.config.model
    for name in ("cell", "bidirectional"):
        if getattr(other, name) != getattr(config, name):
            raise _no_fit(name, getattr(other, name), getattr(config, name))
    fitting = []
    layers = [list(zip(model.layer_units, model.layer_activations, strict=True)) for model in (other, config)]
    for layer, (pretrained, new) in enumerate(zip(*layers, strict=False)):
        if pretrained != new:
            break
        fitting.append(layer)
    if not fitting:
        if other.layer_units[0] != config.layer_units[0]:
            raise _no_fit("units", other.units, config.units)
        raise _no_fit("activation", other.layer_activations[0], config.layer_activations[0])
    return fitting


def _no_fit(name: str, pretrained: object, new: object) -> ConfigError:
    return ConfigError(
        f"the pretrained layers don't fit: model.{name} is {pretrained} there and {new} here",
        where="train.pretrained_layers",
        hint="set it as it is there, or take the embedding alone",
    )
