"""Predictions of a classifier for texts, computed in chunks with constant memory."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.io.batcher import Batches
from recurra.io.detect import detect
from recurra.io.examples import Examples
from recurra.io.formats import Rows, read
from recurra.io.stream import read_stream
from recurra.measure.calibration import probabilities
from recurra.tasks.answers import Answers
from recurra.tasks.base import PredictRequest
from recurra.tasks.classification.bundle import ClassifierBundle
from recurra.tasks.classification.network import predict_logits

__all__ = ["Answer", "answers", "predict_proba", "predict_rows"]

BATCH = 256


@dataclass(frozen=True)
class Answer:
    """The prediction for one text.

    Attributes:
        row: number of the text in the file or stream, from 1.
        labels: the predicted class; for multi-label, all classes with a probability of at least 0.5, maybe
            none.
        probabilities: calibrated probability of each class, of shape (C,).
    """

    row: int
    labels: tuple[str, ...]
    probabilities: NDArray[np.float64]


def predict_proba(bundle: ClassifierBundle, texts: Sequence[str]) -> NDArray[np.float64]:
    """Returns the calibrated class probabilities of ``N`` texts, of shape (N, C)."""
    if not len(texts):
        return np.empty((0, len(bundle.assets.labels.names)))
    examples = Examples.from_arrays(bundle.assets.tokenizer.encode(texts).ids)
    logits = predict_logits(bundle.model, Batches(examples, None, BATCH))
    return probabilities(logits, bundle.assets.labels.label_kind, bundle.temperature)


def predict_rows(bundle: ClassifierBundle, chunks: Iterable[Rows]) -> Iterator[Answer]:
    """Yields predictions for a stream of chunks; each chunk is predicted before the next one is read."""
    names, multilabel = bundle.assets.labels.names, bundle.assets.labels.label_kind == "multilabel"
    for rows in chunks:
        proba = predict_proba(bundle, rows.texts)
        for number, p in zip(rows.numbers, proba, strict=True):
            predicted = np.flatnonzero(p >= 0.5) if multilabel else [int(p.argmax())]
            yield Answer(number, tuple(names[c] for c in predicted), p)


def answers(bundle: ClassifierBundle, request: PredictRequest) -> Answers:
    """Returns the label and the class probabilities of each text of a request."""
    chunks: Iterable[Rows]
    if request.texts:
        chunks = [Rows(list(range(1, len(request.texts) + 1)), list(request.texts), None, None)]
    elif request.file is None or str(request.file) == "-":
        chunks = read_stream(sys.stdin.buffer, bundle.assets.source, bundle.config.data)
    else:
        chunks = read(detect(request.file, bundle.config.data, labelled=False, like=bundle.assets.source))
    names = bundle.assets.labels.names
    return Answers(
        ["row", "label", *(f"p_{name}" for name in names)],
        (_record(answer, names) for answer in predict_rows(bundle, chunks)),
        _cells,
    )


def _record(answer: Answer, names: tuple[str, ...]) -> dict[str, Any]:
    by_class = dict(zip(names, (round(float(p), 6) for p in answer.probabilities), strict=True))
    label = answer.labels[0] if len(answer.labels) == 1 else list(answer.labels)
    return {"row": answer.row, "label": label, "probabilities": by_class}


def _cells(record: Mapping[str, Any]) -> list[Any]:
    label = record["label"]
    joined = label if isinstance(label, str) else "|".join(label)
    return [record["row"], joined, *record["probabilities"].values()]
