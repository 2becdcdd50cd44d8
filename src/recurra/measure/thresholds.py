"""The probability from which on a label is predicted, for each label of multi-label rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

__all__ = ["fit_thresholds"]

_PRIOR = 10
_MOST = 1.5
_EDGE = 1e-9


def fit_thresholds(probabilities: NDArray[np.floating], labels: NDArray[Any]) -> NDArray[np.float64]:
    """Returns the threshold of each label with the highest F1 on these rows, of shape ``(C,)``.

    With a threshold of 0.5, a rare label is hardly ever predicted: few rows are more probably of it than not.
    A label is predicted for at most 1.5 times as many rows as have it: a label that the model can't tell
    apart would have its highest F1 if it were predicted for all of them. The threshold of a label with ``n``
    rows is drawn to the one that is best for all labels together: it is the mean of both log-odds with the
    weights ``n`` and 10.

    Args:
        probabilities: Probabilities of shape ``(N, C)`` of rows that were not trained on.
        labels: 0 and 1 of shape ``(N, C)``.

    Example:
        >>> p = np.array([[0.9], [0.3], [0.25], [0.1]] * 5)
        >>> fit_thresholds(p, np.array([[1], [1], [0], [0]] * 5)).round(3).tolist()
        [0.275]
    """
    p, truth = np.asarray(probabilities, np.float64), np.asarray(labels) > 0
    if not truth.any():
        return np.full(p.shape[1], 0.5)
    together = _best(p.ravel(), truth.ravel())
    counts = truth.sum(axis=0)
    own = np.array([_best(p[:, c], truth[:, c]) if counts[c] else together for c in range(p.shape[1])])
    odds = [logit(np.clip(values, _EDGE, 1 - _EDGE)) for values in (own, np.full_like(own, together))]
    drawn = expit((counts * odds[0] + _PRIOR * odds[1]) / (counts + _PRIOR))
    return np.where(own == together, own, drawn)


def _best(p: NDArray[np.float64], truth: NDArray[np.bool_]) -> float:
    """The threshold with the highest F1, in the middle of two probabilities; the highest of equal ones."""
    order = np.argsort(-p, kind="stable")
    ranked, hits = p[order], np.cumsum(truth[order])
    f1 = 2 * hits / (np.arange(1, len(p) + 1) + truth.sum())
    f1[int(_MOST * truth.sum()) :] = -1
    f1[:-1][ranked[1:] == ranked[:-1]] = -1  # rows of equal probability are predicted together
    last = int(np.argmax(f1))
    if f1[last] < 0:  # the most probable rows are too many, and all equal
        return float(min(1.0, np.nextafter(ranked[0], 2.0)))
    below = ranked[last + 1] if last + 1 < len(ranked) else 0.0
    return float((ranked[last] + below) / 2)
