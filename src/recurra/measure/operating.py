"""Operating points of a classifier: accuracy by the share answered, precision and recall by threshold."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recurra.measure.metrics import wilson_interval

__all__ = ["Answering", "Operating", "answering_curve", "operating_curve"]

_POINTS = 20


class Answering(NamedTuple):
    """The accuracy if only answers of at least a confidence are given.

    Attributes:
        threshold: the confidence.
        share: share of the rows with an answer.
        accuracy: share of right answers among these.
        low: lower end of its 95% Wilson interval.
        high: upper end.
    """

    threshold: float
    share: float
    accuracy: float
    low: float
    high: float


class Operating(NamedTuple):
    """Precision and recall of a class if it is predicted from a probability on, with 95% Wilson intervals."""

    threshold: float
    precision: float
    precision_low: float
    precision_high: float
    recall: float
    recall_low: float
    recall_high: float
    predicted: int


def answering_curve(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> list[Answering]:
    """Returns 20 points, from the 5% of the rows with the highest confidence to all rows.

    Args:
        confidence: the probability of each row's answer, (N,).
        right: whether the answer is right, (N,).

    Example:
        >>> points = answering_curve(np.linspace(1, 0.5, 100), np.arange(100) < 50)
        >>> [(round(p.share, 2), round(p.accuracy, 2)) for p in points[::5]]
        [(0.05, 1.0), (0.3, 1.0), (0.55, 0.91), (0.8, 0.62)]
    """
    rows = len(confidence)
    order = np.argsort(-confidence, kind="stable")
    ranked, hits = confidence[order], np.cumsum(right[order])
    points: list[Answering] = []
    for step in range(1, _POINTS + 1):
        count = rows * step // _POINTS
        if not count:
            continue
        # Rows of equal confidence are answered together.
        count = int(np.searchsorted(-ranked, -ranked[count - 1], side="right"))
        found = int(hits[count - 1])
        share = count / rows
        if not points or share > points[-1].share:
            ends = wilson_interval(found, count)
            points.append(Answering(float(ranked[count - 1]), share, found / count, *ends))
    return points


def operating_curve(p: NDArray[np.float64], truth: NDArray[np.bool_]) -> list[Operating]:
    """Returns precision and recall at up to 20 thresholds, ascending, that predict different rows.

    Args:
        p: the probability of the class for each row, (N,).
        truth: whether each row is of the class, (N,); one at least is.
    """
    order = np.argsort(-p, kind="stable")
    ranked, hits = p[order], np.cumsum(truth[order])
    support = int(truth.sum())
    # Evenly over the rows of the class, ranked by their probability.
    places = np.flatnonzero(truth[order])
    wanted = np.unique(places[np.linspace(0, len(places) - 1, min(_POINTS, len(places))).astype(int)])
    points: list[Operating] = []
    for place in wanted.tolist():
        count = int(np.searchsorted(-ranked, -ranked[place], side="right"))
        found = int(hits[count - 1])
        if points and points[-1].predicted == count:
            continue
        precision, recall = wilson_interval(found, count), wilson_interval(found, support)
        points.append(
            Operating(float(ranked[place]), found / count, *precision, found / support, *recall, count)
        )
    return points[::-1]
