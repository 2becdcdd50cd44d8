"""From probabilities to decisions: thresholds for a metric, a cost matrix, and when not to answer.

Everything here is fitted on validation rows, which were not trained on.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recurra.errors import ConfigError

__all__ = [
    "MOST_CLASSES",
    "Abstention",
    "Goal",
    "fit_abstention",
    "fit_divisors",
    "fit_label_thresholds",
    "held_out_value",
    "least_rows",
    "upper_bound",
]

MOST_CLASSES = 100
"""Classes beyond which no thresholds are fitted: each is tried against all others."""
CANDIDATES = 20
"""Shares of answered rows that `fit_abstention` tries."""
ERROR = 0.05
_PRIOR = 10.0
_SWEEPS = 3
_FOLDS = 5
_GOAL = re.compile(
    r"(accuracy|macro_f1|micro_f1|balanced_accuracy|f1|precision|recall)(?:>=([0-9.]+))?(?::(.+))?"
)


class Goal(NamedTuple):
    """What thresholds are fitted for.

    Attributes:
        metric: ``accuracy``, ``macro_f1``, ``micro_f1``, ``balanced_accuracy``, ``f1``, ``precision`` or
            ``recall``; the last three of the class ``label``.
        least: the value that precision or recall must reach; None for a metric to make as large as possible.
        label: the number of the class; None for all classes.
    """

    metric: str
    least: float | None = None
    label: int | None = None

    @classmethod
    def parse(cls, text: str, names: Sequence[str], label_kind: str) -> Goal:
        """Returns the goal of a setting such as ``macro_f1``, ``f1:spam`` or ``precision>=0.95:spam``.

        Without a class, ``f1``, ``precision`` and ``recall`` are those of the second class of two, and of
        each label of multi-label rows.

        Raises:
            ConfigError: it is no such text, or names no class.

        Example:
            >>> Goal.parse("precision>=0.95:spam", ["ham", "spam"], "binary")
            Goal(metric='precision', least=0.95, label=1)
        """
        where = "predict.metric"
        found = _GOAL.fullmatch(text.strip())
        hint = (
            "use accuracy, macro_f1, balanced_accuracy, f1:CLASS, precision>=0.95:CLASS or recall>=0.9:CLASS"
        )
        if found is None:
            raise ConfigError(f"{text!r} is not a goal for thresholds", where=where, hint=hint)
        metric, level, name = found.groups()
        try:
            least = None if level is None else float(level)
        except ValueError:
            raise ConfigError(f"{text!r}: {level!r} is not a number", where=where, hint=hint) from None
        of_class = metric in ("f1", "precision", "recall")
        if (least is not None) != (metric in ("precision", "recall")) or (least or 1) > 1 or least == 0:
            raise ConfigError(f"{text!r} is not a goal for thresholds", where=where, hint=hint)
        if name is not None and (not of_class or name not in names):
            what = "is not of one class" if not of_class else f"names {name!r}, which is not a class"
            raise ConfigError(
                f"{text!r} {what}", where=where, hint=f"the classes are {', '.join(names[:20])}"
            )
        if metric == "micro_f1" and label_kind != "multilabel":
            what = "micro_f1 is the accuracy where each row has one class"
            raise ConfigError(what, where=where, hint=hint)
        if metric in ("accuracy", "balanced_accuracy") and label_kind == "multilabel":
            raise ConfigError(f"{metric} is for rows of one class", where=where, hint="use macro_f1")
        label = names.index(name) if name is not None else 1 if label_kind == "binary" else None
        if of_class and label is None and label_kind == "multiclass":
            raise ConfigError(f"{text!r} needs a class", where=where, hint=f"write {text}:{names[0]}")
        return cls(metric, least, label if of_class else None)


def fit_divisors(p: NDArray[np.float64], y: NDArray[Any], goal: Goal) -> NDArray[np.float64] | None:
    """Returns thresholds (C,) that sum to 1: the class with the largest probability over threshold is chosen.

    With two classes, the second threshold is the probability from which on the second class is chosen. They
    are found by turns, one class at a time, each exactly; for ``macro_f1``, the log of a factor is multiplied
    by ``n / (n + 10)`` for a class of ``n`` rows. For ``precision`` and ``recall``, only the class of the
    goal has another threshold: the one with the largest recall, or precision, where the goal is reached.

    Args:
        p: probabilities (N, C) of rows that were not trained on.
        y: their classes (N,).
        goal: what to make large, or to reach.

    Returns:
        None if the goal is not reached by any threshold.
    """
    classes = p.shape[1]
    weights = np.ones(classes)
    if goal.label is not None:
        turns = [goal.label]
    else:
        turns = [1] if classes == 2 else list(range(classes)) * _SWEEPS
    for c in turns:
        factor = _best_factor(p * weights, p[:, c], y, c, goal, weights[c])
        if factor is None:
            return None
        weights[c] = factor
    if goal.metric == "macro_f1":
        counts = np.bincount(y, minlength=classes)
        if classes == 2:
            weights[1] **= counts.min() / (counts.min() + _PRIOR)
        else:
            weights **= counts / (counts + _PRIOR)
    thresholds = 1 / weights
    return np.asarray(thresholds / thresholds.sum())


def _best_factor(
    weighted: NDArray[np.float64], own: NDArray[np.float64], y: NDArray[Any], c: int, goal: Goal, now: float
) -> float | None:
    """Returns the best factor of class ``c``, with those of the other classes as they are."""
    rows, classes = weighted.shape
    others = weighted.copy()
    others[:, c] = -1.0
    rival = others.argmax(axis=1)
    ratio = others[np.arange(rows), rival] / np.maximum(own, 1e-12)
    order = np.argsort(ratio, kind="stable")
    ratio, rival, truth = ratio[order], rival[order], y[order]
    # After m rows of the smallest ratios have gone to class c, for m = 0 to N: rows predicted, and right.
    switched = np.arange(rows + 1)
    predicted = np.zeros((rows + 1, classes))
    right = np.zeros((rows + 1, classes))
    lost = np.zeros((rows, classes))
    lost[np.arange(rows), rival] = 1
    predicted[0] = lost.sum(axis=0)
    predicted[1:] = predicted[0] - np.cumsum(lost, axis=0)
    lost[rival != truth] = 0
    right[0] = lost.sum(axis=0)
    right[1:] = right[0] - np.cumsum(lost, axis=0)
    predicted[:, c] = switched
    right[1:, c] = np.cumsum(truth == c)
    support = np.bincount(y, minlength=classes)
    possible = np.ones(rows + 1, bool)
    possible[1:-1] = ratio[1:] > ratio[:-1]  # rows of one ratio go together
    if goal.least is not None:
        share = right[:, c] / np.maximum(switched if goal.metric == "precision" else support[c], 1)
        possible &= (share >= goal.least) & (switched > 0)
        if not possible.any():
            return None
        m = int(np.flatnonzero(possible)[-1 if goal.metric == "precision" else 0])
    else:
        values = _values(goal, right, predicted, support, rows)
        values[~possible] = -1.0
        best = np.flatnonzero(values >= values.max() - 1e-12)
        at = np.searchsorted(ratio, now, side="right")  # of equal ones, the nearest to what there is
        m = int(best[np.argmin(np.abs(best - at))])
    low = ratio[m - 1] if m else ratio[0] / 4
    high = ratio[m] if m < rows else ratio[-1] * 4
    if low <= now < high:
        return now
    return float(np.clip(math.sqrt(max(low, 1e-9) * max(high, 1e-9)), 1e-6, 1e6))


def _values(
    goal: Goal, right: NDArray[Any], predicted: NDArray[Any], support: NDArray[Any], rows: int
) -> NDArray[np.float64]:
    """Returns the metric for each row of counts (M, C)."""
    if goal.metric == "accuracy":
        return np.asarray(right.sum(axis=1) / rows)
    if goal.metric == "balanced_accuracy":
        there = support > 0
        return np.asarray((right[:, there] / support[there]).mean(axis=1))
    either = predicted + support
    f1 = 2 * right / np.maximum(either, 1)
    if goal.metric == "f1":
        return np.asarray(f1[:, goal.label])
    return np.asarray(f1.sum(axis=1) / np.maximum((either > 0).sum(axis=1), 1))


def held_out_value(
    p: NDArray[np.float64], y: NDArray[Any], goal: Goal, *, fitted: bool, seed: int = 1
) -> float | None:
    """Returns the metric of the rows, each with thresholds that were ``fitted`` without it (5 folds).

    Without ``fitted``, the most probable class is chosen. None if a fold can't be fitted.
    """
    chosen = p.argmax(axis=1)
    if fitted:
        fold = np.random.default_rng(seed).permutation(len(y)) % _FOLDS
        for k in range(_FOLDS):
            inside = fold == k
            thresholds = fit_divisors(p[~inside], y[~inside], goal) if (~inside).any() else None
            if thresholds is None:
                return None
            chosen[inside] = (p[inside] / thresholds).argmax(axis=1)
    classes = p.shape[1]
    right, predicted, support = (
        np.bincount(of, minlength=classes)[None] for of in (y[chosen == y], chosen, y)
    )
    return float(_values(goal, right, predicted, support[0], len(y))[0])


def fit_label_thresholds(
    p: NDArray[np.float64], truth: NDArray[Any], goal: Goal, thresholds: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Returns the thresholds (C,) of the labels of multi-label rows; others than of the goal stay.

    ``f1`` is made as large as possible; for ``precision`` and ``recall`` the threshold is the lowest, or
    highest, that reaches the goal. For ``micro_f1`` one threshold for all labels is fitted.

    Args:
        p, truth: probabilities and zeros and ones (N, C) of rows that were not trained on.
        goal: what to make large, or to reach.
        thresholds: those so far, (C,).

    Returns:
        None if the goal is not reached for a label.
    """
    y = (np.asarray(truth) > 0).astype(np.int64)
    if goal.metric == "micro_f1":
        both = np.stack([1 - p.ravel(), p.ravel()], axis=1)
        fitted = fit_divisors(both, y.ravel(), Goal("f1", None, 1))
        return None if fitted is None else np.full(len(thresholds), fitted[1])
    result = thresholds.copy()
    for c in range(len(thresholds)) if goal.label is None else [goal.label]:
        both = np.stack([1 - p[:, c], p[:, c]], axis=1)
        fitted = fit_divisors(both, y[:, c], Goal(goal.metric, goal.least, 1))
        if fitted is None:
            return None
        result[c] = fitted[1]
    return result


class Abstention(NamedTuple):
    """A confidence below which no answer is given, fitted on validation rows.

    Attributes:
        threshold: the least confidence of an answer.
        risk: the share of wrong answers that was asked for.
        rows: number of validation rows.
        answered: number of those with an answer.
        errors: number of wrong answers among these.
        bound: the upper bound of the share of wrong answers.
    """

    threshold: float
    risk: float
    rows: int
    answered: int
    errors: int
    bound: float


def upper_bound(errors: int, rows: int, error: float) -> float:
    """Returns the one-sided Clopper-Pearson upper bound of a share with the confidence ``1 - error``.

    Source: Clopper and Pearson, Biometrika 26 (1934).

    Example:
        >>> round(upper_bound(0, 149, 0.05), 4)
        0.0199
    """
    from scipy.stats import beta

    return 1.0 if errors >= rows else float(beta.ppf(1 - error, errors + 1, rows - errors))


def least_rows(risk: float) -> int:
    """Returns the number of answered rows without an error from which on a ``risk`` can be shown."""
    return math.ceil(math.log(ERROR / CANDIDATES) / math.log(1 - risk))


def fit_abstention(
    confidence: NDArray[np.float64], right: NDArray[np.bool_], risk: float
) -> Abstention | None:
    """Returns the threshold with the most answers whose share of wrong ones is below ``risk``.

    20 thresholds are tried, those that answer 5%, 10%, ... of the rows. The upper bound of the share of wrong
    answers is that of Clopper and Pearson, and is valid for all 20 together with a confidence of 95%
    (Bonferroni), so also for the one that is chosen.

    Args:
        confidence: the probability of the answer of each row (N,), none of which was trained on.
        right: whether the answer is right, (N,).
        risk: the share, above 0 and below 1.

    Returns:
        None if no threshold is known to keep the risk.

    Example:
        >>> confidence = np.linspace(1, 0.5, 1000)
        >>> found = fit_abstention(confidence, confidence > 0.75, 0.02)
        >>> found.answered, found.errors, round(found.bound, 3)
        (500, 0, 0.012)
    """
    rows = len(confidence)
    order = np.argsort(-confidence, kind="stable")
    ranked, wrong = confidence[order], np.cumsum(~right[order])
    for step in range(CANDIDATES, 0, -1):
        answered = rows * step // CANDIDATES
        if not answered:
            break
        threshold = float(ranked[answered - 1])
        answered = int(np.searchsorted(-ranked, -threshold, side="right"))  # with those of equal confidence
        errors = int(wrong[answered - 1])
        bound = upper_bound(errors, answered, ERROR / CANDIDATES)
        if bound < risk:
            return Abstention(threshold, risk, rows, answered, errors, bound)
    return None
