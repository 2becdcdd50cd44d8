"""Predictions of a classifier for texts, computed in chunks with constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.io.batcher import Batches
from recurra.io.examples import Examples
from recurra.io.formats import Rows
from recurra.measure.calibration import probabilities
from recurra.tasks.answers import Answers
from recurra.tasks.base import PredictRequest
from recurra.tasks.classification.network import BATCH, ClassifierBundle, predict_logits
from recurra.tasks.texts import rows_of

__all__ = ["answers", "predict_ids", "predict_proba"]


def predict_proba(bundle: ClassifierBundle, texts: Sequence[str]) -> NDArray[np.float64]:
    """Returns the calibrated class probabilities of ``N`` texts, of shape (N, C)."""
    if not len(texts):
        return np.empty((0, len(bundle.assets.labels.names)))
    return predict_ids(bundle, bundle.assets.tokenizer.encode(texts).ids)


def predict_ids(bundle: ClassifierBundle, ids: Sequence[NDArray[np.int32]]) -> NDArray[np.float64]:
    """Returns the calibrated class probabilities of ``N`` texts of token ids, of shape (N, C)."""
    logits = predict_logits(bundle.model, Batches(Examples.from_arrays(ids), None, BATCH))
    return probabilities(logits, bundle.assets.labels.label_kind, bundle.temperature)


def answers(bundle: ClassifierBundle, request: PredictRequest) -> Answers:
    """Returns the label and the class probabilities of each text of a request.

    The label is the most probable class; for multi-label, the list of the classes with a probability of at
    least 0.5, or the class itself if there is only one.
    """
    chunks = rows_of(request.texts, request.file, bundle.assets.source, bundle.config.data)
    names = bundle.assets.labels.names
    return Answers(["row", "label", *(f"p_{name}" for name in names)], _records(bundle, chunks), _cells)


def _records(bundle: ClassifierBundle, chunks: Iterable[Rows]) -> Iterator[dict[str, Any]]:
    """Yields one record a text; each chunk is predicted before the next one is read."""
    names, multilabel = bundle.assets.labels.names, bundle.assets.labels.label_kind == "multilabel"
    for rows in chunks:
        for number, p in zip(rows.numbers, predict_proba(bundle, rows.texts), strict=True):
            labels = [names[c] for c in (np.flatnonzero(p >= 0.5) if multilabel else [p.argmax()])]
            yield {
                "row": number,
                "label": labels[0] if len(labels) == 1 else labels,
                "probabilities": {name: round(float(x), 6) for name, x in zip(names, p, strict=True)},
            }


def _cells(record: Mapping[str, Any]) -> list[Any]:
    label = record["label"]
    joined = label if isinstance(label, str) else "|".join(label)
    return [record["row"], joined, *record["probabilities"].values()]
