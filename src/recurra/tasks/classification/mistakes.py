"""The worst mistakes: rows predicted wrong with the highest probability, with an excerpt of their text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from recurra.measure.metrics import predicted_labels

__all__ = ["Mistake", "excerpt", "worst_mistakes"]


class Mistake(BaseModel):
    """One row predicted wrong.

    Attributes:
        row: Its number in the data file.
        true: True class; for multi-label, classes joined by commas, "none" for the empty set.
        predicted: Predicted class, in the same form.
        probability: Probability of the wrong prediction.
        true_probability: Probability of the true class; None for multi-label.
        text: `excerpt` of the text.
    """

    row: int
    true: str
    predicted: str
    probability: float
    true_probability: float | None
    text: str


def worst_mistakes(
    labels: NDArray[Any],
    probabilities: NDArray[np.floating],
    names: Sequence[str],
    label_kind: str,
    texts_of: Callable[[NDArray[np.int64]], Sequence[str]],
    *,
    numbers: NDArray[np.int64] | None = None,
    thresholds: NDArray[np.float64] | None = None,
    count: int = 12,
) -> list[Mistake]:
    """Returns the wrong rows with the highest probability, highest first, ties by index.

    Args:
        labels: Class indices of shape ``(N,)``, or 0 and 1 of shape ``(N, C)`` for multi-label.
        probabilities: Probabilities of shape ``(N, C)``.
        names: The ``C`` classes.
        label_kind: ``binary``, ``multiclass`` or ``multilabel``.
        texts_of: Function from ascending row indices to their texts; called once, so that one pass over a
            large file is enough.
        numbers: Row numbers in the data file of shape ``(N,)``. If None, rows are numbered from 1.
        thresholds: As in `classification_metrics`.
        count: Maximum number of mistakes.
    """
    y, p = np.asarray(labels), np.asarray(probabilities, np.float64)
    multilabel = label_kind == "multilabel"
    chosen = predicted_labels(p, label_kind, thresholds)
    wrongness = _wrongness(y, p, chosen)
    rows = np.argsort(-wrongness, kind="stable")[:count]
    rows = rows[wrongness[rows] > 0]
    ascending = np.sort(rows)
    row_texts = texts_of(ascending) if len(rows) else []
    if len(row_texts) != len(rows):
        raise ValueError(f"{len(row_texts)} texts were given for {len(rows)} rows")
    texts = dict(zip(ascending.tolist(), row_texts, strict=True))
    mistakes = []
    for row in rows.tolist():
        if multilabel:
            true, predicted = np.flatnonzero(y[row] > 0).tolist(), np.flatnonzero(chosen[row]).tolist()
        else:
            true, predicted = [int(y[row])], [int(chosen[row])]
        mistakes.append(
            Mistake(
                row=row + 1 if numbers is None else int(numbers[row]),
                true=", ".join(str(names[c]) for c in true) or "none",
                predicted=", ".join(str(names[c]) for c in predicted) or "none",
                probability=float(wrongness[row]),
                true_probability=None if multilabel else float(p[row, true[0]]),
                text=excerpt(texts[row]),
            )
        )
    return mistakes


def excerpt(text: str, characters: int = 320) -> str:
    """Returns ``text`` on one line; the middle of a text longer than ``characters`` is left out.

    Example:
        >>> excerpt("one two  three four five six", 21)
        'one two … five six'
    """
    # The ends of a very long text are enough.
    if len(text) > 8 * characters:
        text = text[: 4 * characters] + " " + text[-4 * characters :]
    # A lone surrogate, as broken JSON may contain, cannot be encoded as UTF-8.
    line = " ".join(text.encode("utf-8", "replace").decode("utf-8").split())
    if len(line) <= characters:
        return line
    half = (characters - 3) // 2
    head, tail = line[:half], line[-half:]
    # A cut inside a word is moved to the edge of the word, unless there is none nearby (Chinese).
    if " " in head[-20:] and line[half] != " ":
        head = head.rsplit(" ", 1)[0]
    if " " in tail[:20] and line[-half - 1] != " ":
        tail = tail.split(" ", 1)[1]
    return f"{head.rstrip()} … {tail.lstrip()}"


def _wrongness(y: NDArray[Any], p: NDArray[np.float64], chosen: NDArray[np.int64]) -> NDArray[np.float64]:
    """The probability of each wrong prediction, 0 for rows that are right, of shape ``(N,)``.

    ``chosen`` are the predictions (N,), or (N, C) of multi-label rows.
    """
    if chosen.ndim == 2:
        return np.asarray(np.where(chosen != (y > 0), np.where(chosen, p, 1 - p), 0.0).max(axis=1))
    return np.asarray(np.where(chosen != y, p[np.arange(len(p)), chosen], 0.0))
