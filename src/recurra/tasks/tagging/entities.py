"""Precision, recall and F1 of whole spans, for tags of the form ``B-X``, ``I-X`` and ``O``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

__all__ = ["EntityFigures", "entity_figures", "looks_like_spans", "spans"]

Span = tuple[int, int, str]


class EntityFigures(BaseModel):
    """Precision, recall and F1 of spans with correct start, end and kind; None if undefined.

    ``kinds`` has ``(precision, recall, f1, number of true spans)`` for each kind of span.
    """

    entities: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None
    kinds: dict[str, tuple[float | None, float | None, float | None, int]]


def looks_like_spans(names: Iterable[str]) -> bool:
    """Returns whether all tags are ``O``, ``B-X`` or ``I-X``, and at least one is not ``O``.

    Example:
        >>> looks_like_spans(["O", "B-PER", "I-PER"]), looks_like_spans(["NOUN", "VERB"])
        (True, False)
    """
    tags = list(names)
    return all(tag == "O" or tag[:2] in ("B-", "I-") for tag in tags) and any(tag != "O" for tag in tags)


def spans(tags: Sequence[str]) -> set[Span]:
    """Returns the spans of a sentence as (start, end, kind), with ``end`` exclusive.

    As in ``conlleval``, a span starts at ``B-X``, and at an ``I-X`` that does not continue a span of X.

    Example:
        >>> sorted(spans(["B-PER", "I-PER", "O", "I-LOC", "B-LOC", "I-ORG"]))
        [(0, 2, 'PER'), (3, 4, 'LOC'), (4, 5, 'LOC'), (5, 6, 'ORG')]
    """
    result: set[Span] = set()
    start, kind = 0, ""
    for position, tag in enumerate([*tags, "O"]):
        if kind and tag != f"I-{kind}":
            result.add((start, position, kind))
            kind = ""
        if tag != "O" and not kind:
            start, kind = position, tag[2:]
    return result


def entity_figures(
    true: NDArray[np.int64], chosen: NDArray[np.int64], names: Sequence[str], lengths: NDArray[Any]
) -> EntityFigures | None:
    """Computes metrics of whole spans; returns None if the tags do not have this form.

    Args:
        true: tag ids, sentence after sentence, of shape (N,); negative ids (unknown tags) count as ``O``.
        chosen: predicted tag ids, of shape (N,).
        names: the tags.
        lengths: number of words of each sentence, of shape (S,).
    """
    if not looks_like_spans(names):
        return None
    true_counts: Counter[str] = Counter()
    predicted_counts: Counter[str] = Counter()
    correct_counts: Counter[str] = Counter()
    ends = np.cumsum(lengths)[:-1]
    for sentence in zip(np.split(chosen, ends), np.split(true, ends), strict=True):
        predicted_spans, true_spans = (
            spans([names[tag] if tag >= 0 else "O" for tag in tags.tolist()]) for tags in sentence
        )
        true_counts.update(kind for _, _, kind in true_spans)
        predicted_counts.update(kind for _, _, kind in predicted_spans)
        correct_counts.update(kind for _, _, kind in predicted_spans & true_spans)
    kinds = {
        kind: (
            *_precision_recall_f1(correct_counts[kind], predicted_counts[kind], true_counts[kind]),
            true_counts[kind],
        )
        for kind in sorted({*true_counts, *predicted_counts})
    }
    entities, predicted = true_counts.total(), predicted_counts.total()
    precision, recall, f1 = _precision_recall_f1(correct_counts.total(), predicted, entities)
    return EntityFigures(
        entities=entities, predicted=predicted, precision=precision, recall=recall, f1=f1, kinds=kinds
    )


def _precision_recall_f1(
    correct: int, predicted: int, true: int
) -> tuple[float | None, float | None, float | None]:
    precision = correct / predicted if predicted else None
    recall = correct / true if true else None
    return precision, recall, 2 * correct / (predicted + true) if predicted + true else None
