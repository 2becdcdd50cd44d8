"""A saved model's answers to texts, a chunk at a time, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recurra.io.batcher import Batches
from recurra.io.examples import Examples
from recurra.io.formats import Rows
from recurra.measure.calibration import probabilities
from recurra.store import ClassifierBundle
from recurra.tasks.classification.logits import predict_logits

__all__ = ["Answer", "predict_proba", "predict_rows"]

BATCH = 256


@dataclass(frozen=True)
class Answer:
    """The answer to one text.

    Attributes:
        row: its number in the file or stream, from 1.
        labels: the predicted class; for multi-label all classes from 0.5, which may be none.
        probabilities: ``(C,)`` of each class, calibrated by the temperature.
    """

    row: int
    labels: tuple[str, ...]
    probabilities: NDArray[np.float64]


def predict_proba(bundle: ClassifierBundle, texts: Sequence[str]) -> NDArray[np.float64]:
    """``(N, C)`` calibrated probabilities of ``N`` texts, in order."""
    if not len(texts):
        return np.empty((0, len(bundle.labels.names)))
    examples = Examples.from_arrays(bundle.tokenizer.encode(texts).ids)
    logits = predict_logits(bundle.model, Batches(examples, None, BATCH))
    return probabilities(logits, bundle.labels.label_kind, bundle.temperature)


def predict_rows(bundle: ClassifierBundle, chunks: Iterable[Rows]) -> Iterator[Answer]:
    """Answers to a stream of chunks, each given before the next chunk is read."""
    names, several = bundle.labels.names, bundle.labels.label_kind == "multilabel"
    for rows in chunks:
        found = predict_proba(bundle, rows.texts)
        for number, p in zip(rows.numbers, found, strict=True):
            chosen = np.flatnonzero(p >= 0.5) if several else [int(p.argmax())]
            yield Answer(number, tuple(names[c] for c in chosen), p)
