"""Predictions of a classifier for texts, computed in chunks with constant memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.io.batcher import Batches
from recurra.io.examples import Examples
from recurra.measure.calibration import probabilities
from recurra.tasks.answers import Answers
from recurra.tasks.base import PredictRequest
from recurra.tasks.classification.assets import ClassifierBundle
from recurra.tasks.classification.network import BATCH, predict_logits
from recurra.tasks.texts import RequestedRows, rows_of, skipped_in_words

__all__ = ["answers", "predict_ids", "predict_proba"]

EMPTY, NO_WORDS = "empty text", "no known word"
"""The notes on a text that says nothing to the network."""
MOST_CLASSES = 100  # up to here, an answer has the probabilities of all classes
TOP = 5  # beyond, those of this many


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

    The label is the most probable class, and its probability the ``confidence``; for multi-label, the label
    is the list of the classes with a probability of at least their threshold, or the class itself if there is
    only one.
    Of more than 100 classes, an answer has the five most probable and their probabilities, unless the option
    ``all_classes`` is set.
    The ``note`` marks a text that is empty or has no known word: its label is a guess by the other texts.
    """
    rows = rows_of(request, bundle.assets.source, bundle.config.data)
    names = bundle.assets.labels.names
    sure = [] if bundle.assets.labels.label_kind == "multilabel" else ["confidence"]
    warnings: list[str] = []
    some = len(names) > MOST_CLASSES and not request.options.get("all_classes")
    if some:
        classes = [f"{what}_{place}" for place in range(1, TOP + 1) for what in ("class", "p")]
    else:
        classes = [f"p_{name}" for name in names]
    return Answers(
        ["row", "label", *sure, "note", *classes],
        _records(bundle, rows, warnings, some),
        _top_cells if some else _cells,
        warnings,
        rows.columns,
    )


def _records(
    bundle: ClassifierBundle, requested: RequestedRows, warnings: list[str], some: bool
) -> Iterator[dict[str, Any]]:
    """Yields one record a text; each chunk is predicted before the next one is read.

    With ``some``, a record has only the probabilities of the most probable and of the predicted classes, the
    most probable first, and the number of the others as ``other_classes``.
    """
    names, multilabel = bundle.assets.labels.names, bundle.assets.labels.label_kind == "multilabel"
    tokenizer, limits = bundle.assets.tokenizer, bundle.assets.limits
    marked: dict[str, tuple[int, int]] = {}  # by note: the number of texts, and the first row
    for rows in requested.chunks:
        encoded = tokenizer.encode(rows.texts)
        probabilities = predict_ids(bundle, encoded.ids)
        for record, ids, unknown, p in zip(
            requested.heads(rows), encoded.ids, encoded.unknown, probabilities, strict=True
        ):
            chosen = np.flatnonzero(p >= limits) if multilabel else [p.argmax()]
            labels = [names[c] for c in chosen]
            record["label"] = labels[0] if len(labels) == 1 else labels
            if not multilabel:
                record["confidence"] = round(float(p.max()), 6)
            if np.isin(ids, (tokenizer.start_id, tokenizer.unknown_id)).all():
                note = record["note"] = NO_WORDS if unknown else EMPTY
                count, first = marked.get(note, (0, record["row"]))
                marked[note] = count + 1, first
            shown: Sequence[int] = range(len(names))
            if some:
                order = np.argsort(-p, kind="stable")
                shown = [*order[:TOP], *order[TOP:][np.isin(order[TOP:], chosen)]]
            record["probabilities"] = {names[c]: round(float(p[c]), 6) for c in shown}
            if some:
                record["other_classes"] = len(names) - len(shown)
            yield record
    for note, (count, first) in marked.items():
        texts = "1 answer is" if count == 1 else f"{count:,} answers are"
        warnings.append(f"{texts} marked {note!r} (first: row {first:,}): it does not depend on the text")
    warnings += skipped_in_words(requested.skipped)


def _cells(record: Mapping[str, Any]) -> list[Any]:
    return [*_first_cells(record), *record["probabilities"].values()]


def _top_cells(record: Mapping[str, Any]) -> list[Any]:
    pairs = islice(record["probabilities"].items(), TOP)
    return [*_first_cells(record), *chain.from_iterable(pairs)]


def _first_cells(record: Mapping[str, Any]) -> list[Any]:
    label = record["label"]
    joined = label if isinstance(label, str) else "|".join(label)
    sure = [record["confidence"]] if "confidence" in record else []
    return [record["row"], joined, *sure, record.get("note", "")]
