"""Pretrained vectors and layers taken over: words matched, coverage told, what is frozen frozen."""

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
    """A model, or a file of vectors, that training may begin from.

    Attributes:
        name: of the directory or file, without the way to it.
        sha256: of the weights or the file.
        width: ``E`` of its vectors.
        source: the model or the file.
    """

    name: str
    sha256: str
    width: int
    source: AnyBundle | VectorFile

    def vectors(self, wanted: Collection[str]) -> dict[str, NDArray[np.float32]]:
        """The vectors ``(E,)`` of those of the wanted words that it has.

        Raises:
            DataError: a row of the file can't be used.
        """
        if isinstance(self.source, VectorFile):
            return read_vectors(self.source, wanted)
        table = self.source.model.embedding.weight.detach().numpy()
        return {w: table[id] for id, w in enumerate(self.source.assets.words()) if w and w in wanted}


@dataclass(frozen=True)
class Start:
    """The weights that a network begins from.

    Attributes:
        table: ``(V, E)`` float32 of the embedding.
        layers: the recurrent layers' weights by name.
        origin: what `Bundle.pretrained` records.
    """

    table: NDArray[np.float32]
    layers: dict[str, torch.Tensor]
    origin: dict[str, Any]

    def give(self, model: Network, *, freeze: bool) -> None:
        """Puts the weights into ``model``, and freezes them if asked.

        Raises:
            ConfigError: a layer reads another number of features than the one it is taken from.
        """
        with torch.no_grad():
            model.embedding.weight.copy_(torch.from_numpy(self.table))
            for name, weight in self.layers.items():
                mine = model.recurrent.get_parameter(name)
                if mine.shape != weight.shape:
                    raise ConfigError(
                        f"the pretrained layers don't fit: {name} is {tuple(weight.shape)} there and "
                        f"{tuple(mine.shape)} here (a tagger's layers read the words' spelling too)",
                        where="train.pretrained_layers",
                        hint="take the embedding alone",
                    )
                mine.copy_(weight)
        if freeze:
            model.freeze(1 + self.origin["layers"])


def open_pretrained(config: C) -> tuple[C, Pretrained | None]:
    """What ``config.train.pretrained`` names, and the settings with its embedding width.

    Raises:
        ConfigError: a setting needs pretrained weights and there are none, two contradict each other, or
            ``model.embedding`` was set to another width.
        RecurraError: there is no usable model or file of vectors at that place.
    """
    train = config.train
    if train.freeze and train.unfreeze_after is not None:
        raise ConfigError("train.freeze and train.unfreeze_after are both set", hint="choose one of them")
    if train.pretrained is None:
        for name in ("freeze", "unfreeze_after", "pretrained_layers"):
            if getattr(train, name):
                raise ConfigError(
                    "there is nothing pretrained", where=f"train.{name}", hint="give --pretrained"
                )
        return config, None
    found = _open(Path(train.pretrained))
    if train.pretrained_layers and isinstance(found.source, VectorFile):
        raise ConfigError(
            f"{found.name} holds vectors, and no recurrent layers",
            where="train.pretrained_layers",
            hint="leave it out, or give a model",
        )
    if train.pretrained_layers and isinstance(found.source, Bundle):
        _layers(found.source, config.model)
    set_by_user = "embedding" in config.model.model_fields_set
    if set_by_user and config.model.embedding != found.width:
        raise ConfigError(
            f"is {config.model.embedding}, and the vectors of {found.name} have {found.width} numbers",
            where="model.embedding",
            hint="leave it out: it is taken from the vectors",
        )
    return updated(config, {"model": {"embedding": found.width}}), found


def _open(path: Path) -> Pretrained:
    if path.is_dir():
        bundle = load(path)
        if not bundle.assets.words():
            raise ConfigError(f"a model of task {bundle.task} has no vectors of words", where=path)
        digest = store.weights_digest(path)
        return Pretrained(path.absolute().name, digest, bundle.config.model.embedding, bundle)
    file = open_vectors(path)
    return Pretrained(path.name, store.fingerprint(path)["sha256"], file.width, file)


def start_from(found: Pretrained, config: Config, vocabulary: Vocabulary | None, reporter: Reporter) -> Start:
    """The pretrained vectors of the vocabulary's words, and what they cover, which is told.

    A word is looked for by its `spellings`. What is not found begins at the mean of what is; padding is 0.

    Raises:
        DataError: a row of the file can't be used, or not one word is found.
        ConfigError: the task has no words, or recurrent layers are wanted and the first does not fit.
    """
    if vocabulary is None:
        raise ConfigError(
            f"task {config.task} has no words that could begin from vectors", where="train.pretrained"
        )
    layers: list[int] = []
    weights: dict[str, torch.Tensor] = {}
    if config.train.pretrained_layers and isinstance(found.source, Bundle):
        layers = _layers(found.source, config.model)
        stack = found.source.model.recurrent
        endings = tuple(f"_{suffix}" for layer in layers for suffix in stack.suffixes(layer))
        weights = {n: w.detach() for n, w in stack.named_parameters() if n.endswith(endings)}
    written = [spellings(word) for word in vocabulary.words]
    vectors = found.vectors({one for some in written for one in some})
    table = np.zeros((len(written), found.width), np.float32)
    known = np.zeros(len(written), bool)
    for id, some in enumerate(written):
        spelling = next((one for one in some if one in vectors), None)
        if spelling is not None:
            table[id], known[id] = vectors[spelling], True
    known[0] = False
    plain = known[vocabulary.specials :]
    if not plain.any():
        raise DataError(
            "has no vector for any word of the training texts",
            where=found.name,
            hint="is it of this language?",
        )
    table[~known] = table[vocabulary.specials :][plain].mean(axis=0, dtype=np.float64)
    table[0] = 0
    # The vector of unknown words, if there is one, is not the words' own.
    found_tokens = vocabulary.counts[vocabulary.specials :][plain].sum()
    share = float(found_tokens / max(1, vocabulary.counts.sum()))
    reporter.step("Pretrained")
    reporter.facts(
        {
            "from": f"{found.name}, {found.width} numbers a word",
            "words": f"{plain.sum():,} of {len(plain):,} found ({100 * plain.mean():.1f}%), "
            "the others begin at their mean",
            "tokens": f"{100 * share:.1f}% of the training texts' are such words",
        }
    )
    if layers:
        reporter.facts({"layers": f"{len(layers)} of {config.model.layers} recurrent layers begin from it"})
    origin = {
        "name": found.name,
        "sha256": found.sha256,
        "words": int(plain.sum()),
        "vocabulary": len(plain),
        "token_share": round(share, 6),
        "layers": len(layers),
    }
    return Start(table, weights, origin)


def _layers(bundle: AnyBundle, mine: ModelConfig) -> list[int]:
    """The recurrent layers, from the first on, that mean the same in both networks."""
    theirs = bundle.config.model
    for name in ("cell", "bidirectional"):
        if getattr(theirs, name) != getattr(mine, name):
            raise _no_fit(name, getattr(theirs, name), getattr(mine, name))
    fitting = []
    pairs = [list(zip(m.layer_units, m.layer_activations, strict=True)) for m in (theirs, mine)]
    for layer, (their, own) in enumerate(zip(*pairs, strict=False)):
        if their != own:
            break
        fitting.append(layer)
    if not fitting:
        name = "units" if theirs.layer_units[0] != mine.layer_units[0] else "activation"
        raise _no_fit(name, getattr(theirs, name), getattr(mine, name))
    return fitting


def _no_fit(name: str, theirs: object, mine: object) -> ConfigError:
    return ConfigError(
        f"the pretrained layers don't fit: model.{name} is {theirs} there and {mine} here",
        where="train.pretrained_layers",
        hint="set it as it is there, or take the embedding alone",
    )
