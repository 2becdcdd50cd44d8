"""The assets of a classifier: tokenizer, classes, thresholds, experts. Builds the network from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recurra.config import TextConfig
from recurra.errors import BundleError
from recurra.io.labels import Labels
from recurra.store import Bundle
from recurra.tasks.classification.decisions import DECISION, Decision
from recurra.tasks.classification.ensemble import Ensemble
from recurra.tasks.classification.fitted import FILES, FittedExperts
from recurra.tasks.classification.network import Classifier
from recurra.tasks.classification.settings import ClassifierConfig
from recurra.tasks.texts import TextAssets

__all__ = ["ClassifierAssets", "ClassifierBundle", "build"]

_LABELS, _THRESHOLDS = "labels.json", "thresholds.json"
_EXPERTS, _NGRAMS = FILES


@dataclass(frozen=True)
class ClassifierAssets(TextAssets):
    """What a classifier needs besides settings and weights.

    Attributes:
        labels: the classes of the outputs.
        thresholds: for multi-label, the probability from which on each label is predicted; if None, 0.5.
        experts: the n-gram model beside the network and the weights of both; None for the network alone.
        decision: how it is decided, if not for the most probable class; None for that.
    """

    labels: Labels = field(kw_only=True)
    thresholds: tuple[float, ...] | None = field(default=None, kw_only=True)
    experts: FittedExperts | None = field(default=None, kw_only=True)
    decision: Decision | None = field(default=None, kw_only=True)

    @property
    def limits(self) -> NDArray[np.float64]:
        """The argument ``thresholds`` of `predicted_labels`: (C,), or gains (C, C)."""
        gains = None if self.decision is None else self.decision.gains
        if gains is not None and self.labels.label_kind != "multilabel":
            return gains
        return np.full(len(self.labels.names), 0.5) if self.thresholds is None else np.array(self.thresholds)

    def files(self) -> dict[str, str]:
        """Returns the text files: tokenizer, classes, thresholds, experts, decision, source."""
        fitted = {} if self.thresholds is None else {_THRESHOLDS: json.dumps(self.thresholds)}
        if self.experts is not None:
            fitted[_EXPERTS] = self.experts.to_json()
        if self.decision is not None:
            fitted[DECISION] = self.decision.to_json()
        return {**super().files(), _LABELS: self.labels.to_json(), **fitted}

    def arrays(self) -> dict[str, dict[str, NDArray[Any]]]:
        """Returns the file of the n-gram model, if there is one."""
        return {} if self.experts is None else {_NGRAMS: self.experts.ngrams.state()}

    @classmethod
    def read(cls, config: TextConfig, files: Mapping[str, Any], **more: Labels) -> Self:
        """Returns the assets that `files` and `arrays` wrote.

        Raises:
            BundleError: a file is damaged.
            KeyError: a file is missing.
        """
        labels = Labels.from_json(files[_LABELS])
        thresholds = _read_thresholds(files[_THRESHOLDS], labels) if _THRESHOLDS in files else None
        experts = None
        if isinstance(config, ClassifierConfig) and "ngrams" in config.model.experts:
            kind, classes = labels.label_kind, len(labels.names)
            experts = FittedExperts.read(files[_EXPERTS], files[_NGRAMS], kind, classes)
        decision = Decision.from_json(files[DECISION], labels) if DECISION in files else None
        assets = super().read(config, files, labels=labels)
        return replace(assets, thresholds=thresholds, experts=experts, decision=decision)


def _read_thresholds(text: str, labels: Labels) -> tuple[float, ...]:
    values = json.loads(text)
    sound = labels.label_kind == "multilabel" and isinstance(values, list)
    if not sound or len(values) != len(labels.names):
        raise BundleError("the saved thresholds are damaged")
    if not all(type(value) in (int, float) and 0 <= value <= 1 for value in values):
        raise BundleError("the saved thresholds are not from 0 to 1")
    return tuple(values)


ClassifierBundle: TypeAlias = Bundle[ClassifierConfig, Classifier, ClassifierAssets]


def build(config: ClassifierConfig, assets: ClassifierAssets) -> Classifier:
    """Builds the network: embedding, recurrent layers, pooling, head; or several of them."""
    labels, rows = assets.labels, config.train.embedding_rows
    size = assets.tokenizer.vocab_size
    network = Ensemble if config.model.members > 1 else Classifier
    return network(config.model, size, len(labels.names), labels.label_kind, embedding_rows=rows)
