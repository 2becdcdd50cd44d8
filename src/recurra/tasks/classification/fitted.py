"""The experts of a classifier as they are fitted, saved and read: the n-gram model and the combination."""

from __future__ import annotations

import functools
import json
import math
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from importlib import resources
from pathlib import Path
from typing import Any, Self

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from recurra.errors import BundleError
from recurra.io.cache import cache_folder, replacing_cached
from recurra.io.labels import Labels
from recurra.io.usage import mark_used
from recurra.measure.calibration import fit_temperature, probabilities
from recurra.measure.thresholds import fit_thresholds
from recurra.tasks.base import Prepared
from recurra.tasks.classification import ngrams as ngrams_package
from recurra.tasks.classification.experts import Combination, Share, fit_combination, share_of_network
from recurra.tasks.classification.ngrams import NgramModel
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import Part, counted

__all__ = ["FILES", "FittedExperts", "fit_experts", "fit_ngrams", "fit_parts", "ngrams_as_fitted"]

FILES = "experts.json", "ngrams.safetensors"
"""The files of `FittedExperts.to_json` and of its n-gram model."""
_NGRAMS, _LOGITS = "n-grams", "logits of the n-grams on the validation rows"  # in Prepared.fitted
_SECONDS = "seconds of the n-grams for a row"
_CANDIDATES = ("both", "ngrams", "recurrent")


@dataclass(frozen=True)
class FittedExperts:
    """The n-gram model of a classifier, and how it is combined with the network.

    Attributes:
        ngrams: the n-gram model.
        combination: the weights of both.
        rows: number of the validation rows that the weights were fitted on.
        losses: cross-fitted log loss on these rows of ``both``, of the ``ngrams`` and of the ``recurrent``
            network, each with weights of its own; empty with a single row.
        share: share of the network in the variance of the log-odds on these rows.
        network_thresholds: for multi-label, the thresholds of the network alone; else empty.
    """

    ngrams: NgramModel
    combination: Combination
    rows: int
    losses: Mapping[str, float]
    share: Share
    network_thresholds: tuple[float, ...] = ()

    @property
    def network_used(self) -> bool:
        """Whether the network has a weight, so that it must be run."""
        return self.combination.recurrent > 0

    @property
    def ngrams_used(self) -> bool:
        """Whether the n-grams have a weight."""
        return self.combination.ngrams > 0

    @property
    def chosen(self) -> str:
        """The key of `losses` of the experts with a weight."""
        if self.network_used and self.ngrams_used:
            return "both"
        return "ngrams" if self.ngrams_used else "recurrent"

    @property
    def average(self) -> Combination:
        """The plain average of both logits, from which the weights are fitted."""
        return replace(self.combination, recurrent=0.5, ngrams=0.5, intercept=0.0)

    def as_json(self) -> dict[str, Any]:
        """Returns weights and figures as JSON values."""
        c = self.combination
        return {
            "weights": {"recurrent": c.recurrent, "ngrams": c.ngrams},
            "intercept": c.intercept,
            "offsets": list(c.offsets),
            "validation_rows": self.rows,
            "cross_fitted_log_loss": dict(self.losses),
            "network_share": self.share._asdict(),
            "network_thresholds": list(self.network_thresholds),
        }

    def to_json(self) -> str:
        """Returns the file ``experts.json``."""
        return json.dumps(self.as_json(), indent=1) + "\n"

    @classmethod
    def read(cls, text: str, arrays: Mapping[str, NDArray[Any]], label_kind: str, classes: int) -> Self:
        """Returns what `to_json` and ``ngrams.state()`` wrote, for labels of a kind.

        Raises:
            BundleError: a file is damaged.
        """
        saved, ngrams = json.loads(text), NgramModel.from_state(arrays)
        if (ngrams.label_kind, ngrams.n_classes) != (label_kind, classes):
            raise BundleError("the saved n-grams are those of other classes", where=FILES[1])
        weights, offsets = saved["weights"], saved["offsets"]
        share, losses, rows = saved["network_share"], saved["cross_fitted_log_loss"], saved["validation_rows"]
        thresholds = saved["network_thresholds"]
        numbers = [weights["recurrent"], weights["ngrams"], saved["intercept"], *offsets, *losses.values()]
        numbers += [*thresholds, *(share[name] for name in Share._fields)]
        if not all(type(number) in (int, float) and math.isfinite(number) for number in numbers):
            raise BundleError("a weight or figure is not a finite number", where=FILES[0])
        width = 1 if label_kind == "binary" else classes
        sound = min(weights.values()) >= 0 < max(weights.values()) and len(offsets) in (0, width)
        sound = sound and len(thresholds) in (0, classes)
        if not sound or type(rows) is not int or set(losses) - set(_CANDIDATES):
            raise BundleError("the weights of the experts are damaged", where=FILES[0])
        return cls(
            ngrams,
            Combination(weights["recurrent"], weights["ngrams"], saved["intercept"], tuple(offsets)),
            rows,
            losses,
            Share(*(share[name] for name in Share._fields)),
            tuple(thresholds),
        )


def fit_experts(
    prepared: Prepared[Any, Any, Part],
    recurrent: NDArray[Any],
    temperature: float,
    class_weights: NDArray[Any] | None,
    reporter: Reporter,
) -> tuple[FittedExperts, NDArray[np.float64]]:
    """Returns the experts of a classifier, and the combined logits (n, C) of the validation rows.

    Args:
        prepared: the data.
        recurrent: logits of the network on the validation rows, of shape (n, C).
        temperature: that of the network alone.
        class_weights: weights of the classes in the training loss, of shape (C,); None for equal weights.
        reporter: receives the progress.
    """
    ngrams, valid = fit_ngrams(prepared, reporter), prepared.valid
    logits = prepared.fitted[_LOGITS]
    recurrent = recurrent.reshape(logits.shape)  # without rows it has no columns
    fit = fit_combination(recurrent, logits, valid.labels, ngrams.label_kind, class_weights)
    share = share_of_network(fit.combination, recurrent, fit.combination.shifted(logits))
    limits: tuple[float, ...] = ()
    if ngrams.label_kind == "multilabel" and len(valid):
        p = probabilities(recurrent, ngrams.label_kind, temperature)
        limits = tuple(fit_thresholds(p, valid.labels).tolist())
    experts = FittedExperts(ngrams, fit.combination, len(valid), fit.losses, share, limits)
    return experts, fit.combination.logits(recurrent, logits)


def fit_parts(prepared: Prepared[Any, Any, Part], reporter: Reporter) -> float | None:
    """Fits the n-grams of a classifier before its network; see `Task.fit_parts`."""
    if "ngrams" not in prepared.config.model.experts:
        return None
    fit_ngrams(prepared, reporter)
    return float(prepared.fitted[_SECONDS])


def fit_ngrams(prepared: Prepared[Any, Any, Part], reporter: Reporter, *, cached: bool = True) -> NgramModel:
    """Returns the n-gram model of the training rows, with probabilities calibrated on the validation rows.

    It is trained once for the same prepared data. For rows from files it is also kept on disk beside the
    token cache, under a key of texts and labels, so that the runs of a comparison train it once.

    Args:
        prepared: the data.
        reporter: receives the progress and the time.
        cached: whether a model on disk is used; if not, it is trained and replaced.
    """
    if _NGRAMS in prepared.fitted:
        found: NgramModel = prepared.fitted[_NGRAMS]
        return found
    start = time.perf_counter()
    train, labels = prepared.train, prepared.assets.labels
    if train.weights is not None:  # a row of weight 0 is not there
        train = replace(train, rows=train.rows[train.weights[train.rows] > 0])
    model, pieces = None, prepared.config.model.pieces
    if cached and prepared.key:
        key = _Key(train, labels, pieces)
        with reporter.counting("looking for the n-grams in the cache", len(train)) as tick:
            for _ in counted(key.read(train.texts(train.rows)), tick):
                pass
        model = _read_cached(key.path)
    if model is None:
        model, key = NgramModel(pieces=pieces), _Key(train, labels, pieces)
        texts, kind, classes = train.texts(train.rows), labels.label_kind, len(labels.names)
        model.fit(key.read(texts), train.labels, kind, classes, reporter.counting)
        if prepared.key:
            with replacing_cached(key.path) as draft:
                safetensors.numpy.save_file(model.state(), draft)
    began = time.perf_counter()
    prepared.fitted.update({_NGRAMS: model, _LOGITS: _calibrate(model, prepared.valid, reporter)})
    prepared.fitted[_SECONDS] = (time.perf_counter() - began) / max(1, len(prepared.valid))
    note = f"; {model.note}" if model.note else ""
    reporter.note(f"n-grams ({model.method}): {time.perf_counter() - start:.1f} s{note}")
    return model


def ngrams_as_fitted(ngrams: NgramModel, valid: Part) -> dict[str, Any]:
    """Returns the entries of `Prepared.fitted` with which a model's n-grams are used, and not fitted anew."""
    began = time.perf_counter()
    logits = ngrams.logits(valid.texts(valid.rows))
    seconds = (time.perf_counter() - began) / max(1, len(valid))
    return {_NGRAMS: ngrams, _LOGITS: logits, _SECONDS: seconds}


def _calibrate(model: NgramModel, valid: Part, reporter: Reporter) -> NDArray[np.float64]:
    """Fits temperature and, for multi-label, thresholds of the n-grams alone; returns their logits (n, C)."""
    with reporter.counting("calibrating the n-grams", len(valid)) as tick:
        logits = model.logits(valid.texts(valid.rows), tick)
    model.temperature = fit_temperature(logits, valid.labels, model.label_kind)
    if model.label_kind == "multilabel" and len(logits):
        p = probabilities(logits, model.label_kind, model.temperature)
        model.thresholds = fit_thresholds(p, valid.labels)
    return logits


def _read_cached(path: Path) -> NgramModel | None:
    """Returns the model of a file of the cache; None if it is not there or damaged."""
    try:
        model = NgramModel.from_state(safetensors.numpy.load_file(path))
        mark_used(path)
        return model
    except (OSError, BundleError, safetensors.SafetensorError, KeyError, ValueError, TypeError):
        return None


class _Key:
    """A key of texts, labels, pieces and the code of the n-grams: the same rows have the same model."""

    def __init__(self, train: Part, labels: Labels, pieces: bool) -> None:
        self._digest = blake2b(_code() + labels.to_json().encode("utf-8", "surrogatepass"), digest_size=16)
        self._digest.update(b"pieces" if pieces else b"words")
        self._digest.update(np.ascontiguousarray(train.labels).tobytes())

    def read(self, texts: Iterable[str]) -> Iterator[str]:
        """Yields the texts, which the key is of when all were read."""
        for text in texts:
            self._digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
            yield text

    @property
    def path(self) -> Path:
        """The file of the model in the cache."""
        return cache_folder() / f"{self._digest.hexdigest()}.{FILES[1]}"


@functools.cache
def _code() -> bytes:
    """Returns a digest of the sources of the n-gram model and of its solver."""
    kernels = resources.files("recurra.kernels")
    files = sorted(resources.files(ngrams_package).iterdir(), key=lambda file: file.name)
    digest = blake2b(digest_size=16)
    for file in (*files, kernels / "linear.py", kernels / "cpu" / "descent.py"):
        if file.name.endswith(".py"):
            digest.update(file.read_bytes())
    return digest.digest()
