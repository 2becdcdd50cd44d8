"""Calibration of probabilities: reliability curve, expected calibration error, temperature scaling.

Source: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from scipy.special import expit, log_softmax, softmax

__all__ = ["Reliability", "calibrated_loss", "fit_temperature", "probabilities", "reliability"]

BINS = 15
_TEMPERATURES = (0.05, 20.0)
_CELLS = 10_000_000
"""Logits that a temperature is fitted on at most: it is one number, and each takes some 60 bytes."""
_CROSS_CELLS = 1_000_000
_PRIOR = 0.5
"""Standard deviation of ``log T`` before any row was seen: T is between 0.4 and 2.7 with 95%."""
_FOLDS = 5
_SAMPLES = 2_000
_SHARES = (0.0, 0.5, 1.0)


class Reliability(BaseModel):
    """A reliability curve: predictions grouped by confidence in bins of equal width, including empty bins.

    Attributes:
        edges: Edges of the bins, one more than there are bins.
        counts: Number of predictions in each bin.
        confidence: Mean confidence of each bin; None for an empty bin.
        accuracy: Accuracy in each bin; None for an empty bin.
        ece: Expected calibration error, from 0 to 1.
        ece_by_chance: The calibration error that right probabilities have on as many decisions, on average.
        ece_by_chance_high: What that error stays below in 95% of such samples. An ``ece`` below it is no
            evidence against the probabilities.
    """

    edges: list[float]
    counts: list[int]
    confidence: list[float | None]
    accuracy: list[float | None]
    ece: float
    ece_by_chance: float
    ece_by_chance_high: float


def reliability(
    probabilities: NDArray[np.float64], labels: NDArray[Any], label_kind: str, bins: int = BINS
) -> Reliability:
    """Returns the reliability curve of the probability of the predicted class.

    The m-th of ``M`` bins holds the confidences in ``((m - 1) / M, m / M]``. For multi-label, each label of
    each row is one decision with the confidence ``max(p, 1 - p)``.

    Args:
        probabilities: Probabilities of shape ``(N, C)``.
        labels: Class indices of shape ``(N,)``, or 0 and 1 of shape ``(N, C)`` for multi-label.
        label_kind: ``binary``, ``multiclass`` or ``multilabel``.
        bins: Number of bins.

    Example:
        >>> curve = reliability(np.array([[0.2, 0.8], [0.4, 0.6]]), np.array([1, 0]), "binary", bins=2)
        >>> curve.counts, curve.confidence, curve.accuracy, round(curve.ece, 3)
        ([0, 2], [None, 0.7], [None, 0.5], 0.2)
    """
    confidence, correct = _decisions(np.asarray(probabilities, np.float64), np.asarray(labels), label_kind)
    bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(bin_of, minlength=bins)
    sums = np.bincount(bin_of, confidence, minlength=bins)
    hits = np.bincount(bin_of, correct, minlength=bins)
    filled = np.maximum(counts, 1)
    variances = np.bincount(bin_of, confidence * (1 - confidence), minlength=bins).astype(np.float64)
    chance = _errors_by_chance(variances)
    decisions = max(1, int(counts.sum()))
    return Reliability(
        edges=(np.arange(bins + 1) / bins).tolist(),
        counts=counts.tolist(),
        confidence=[float(s) if n else None for s, n in zip(sums / filled, counts, strict=True)],
        accuracy=[float(h) if n else None for h, n in zip(hits / filled, counts, strict=True)],
        ece=float(np.abs(sums - hits).sum() / decisions),
        ece_by_chance=float(chance.mean() / decisions),
        ece_by_chance_high=float(np.quantile(chance, 0.95) / decisions),
    )


def _errors_by_chance(variances: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns samples of the summed distances of hits and confidence if every probability is right.

    The hits of a bin then have the sum of the confidences as mean and the sum of ``c (1 - c)`` as variance,
    given for each bin; they are drawn from the normal distribution.

    Source: Bröcker and Smith, "Increasing the Reliability of Reliability Diagrams", Weather and Forecasting
    22 (2007), consistency resampling.
    """
    draws = np.random.default_rng(0).standard_normal((_SAMPLES, len(variances)))
    return np.asarray(np.abs(draws * np.sqrt(variances)).sum(axis=1))


def probabilities(
    logits: NDArray[Any], label_kind: str, temperature: float | None = None
) -> NDArray[np.float64]:
    """Returns the probabilities of the classes, of shape ``(N, C)``.

    Args:
        logits: Logits of shape ``(N, C)``, or ``(N, 1)`` for binary labels, which gives two columns.
        label_kind: ``binary``, ``multiclass`` or ``multilabel``.
        temperature: Divisor of the logits. If None, they are not scaled.

    Example:
        >>> probabilities(np.array([[0.0], [800.0]]), "binary").tolist()
        [[0.5, 0.5], [0.0, 1.0]]
    """
    scaled = logits if temperature is None else logits / temperature
    wide = np.asarray(scaled, dtype=np.float64)
    if label_kind == "multiclass":
        return np.asarray(softmax(wide, axis=1))
    if label_kind == "binary":
        # Both columns are computed directly: 1 - expit(x) would lose precision near 0.
        return np.concatenate([expit(-wide), expit(wide)], axis=1)
    return np.asarray(expit(wide))


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[Any], label_kind: str) -> float:
    """Returns the temperature ``T`` that makes ``logits / T`` the logarithms of the true odds.

    ``T`` minimizes the log loss of the ``N`` rows, summed, with a normal prior on ``log T`` around 0::

        sum_i loss(y_i, z_i / T) + (log T)^2 / (2 s^2),    s = 0.5

    The prior counts as much as some 10 rows. It bounds the confidence if all of a few rows are right, when
    the likelihood alone has no minimum; from some hundred rows on it is negligible.

    Five-fold cross-fitting then decides how much of ``log T`` is used: all, half or nothing, whichever has
    the lowest loss on rows that ``T`` was not fitted on. On these rows, ``T`` is never worse than 1.

    The result is between 0.05 and 20, and 1.0 if there is no row. A value above 1 means that the model was
    overconfident. For many classes it is fitted on evenly spaced rows with at most 10 million logits, and
    cross-fitted on at most 1 million.

    Args:
        logits: Logits of shape ``(N, C)``, or ``(N, 1)`` for binary, of rows that were not trained on.
        labels: Class indices of shape ``(N,)``, or 0 and 1 of shape ``(N, C)`` for multi-label.
        label_kind: ``binary``, ``multiclass`` or ``multilabel``.

    Source: Guo et al. 2017, section 4.2, with a prior. Smoothed targets (Platt 1999) were tried before: with
    ``C`` classes, ``(n + 1) / (n + C)`` is far below the share of right rows, and made 100 classes of 10 rows
    each, calibrated by construction, 4 times too unsure.

    Example:
        >>> logits = np.array([[4.0], [4.0], [4.0], [-4.0], [-4.0], [4.0]])
        >>> round(fit_temperature(np.tile(logits, (50, 1)), np.tile([1, 1, 1, 0, 0, 0], 50), "binary"), 1)
        2.4
    """
    labels = np.asarray(labels)
    if label_kind == "multilabel" or logits.shape[1] == 1:
        labels = labels.reshape(logits.shape) > 0
    log_temperature = _best_log_temperature(*_some_rows(logits, labels, _CELLS))
    return float(np.exp(log_temperature * _supported_share(*_some_rows(logits, labels, _CROSS_CELLS))))


def calibrated_loss(logits: NDArray[np.floating], labels: NDArray[Any], label_kind: str) -> float:
    """Returns the mean log loss of ``logits / T`` for the temperature that makes it lowest on these rows.

    It compares epochs of a model that is calibrated on the same rows after training. The loss as trained
    rises with the confidence while more rows are still predicted right, and then chooses too early an epoch.
    The arguments are those of `fit_temperature`; the mean is over at most 1 million logits.
    """
    labels = np.asarray(labels)
    if label_kind == "multilabel" or logits.shape[1] == 1:
        labels = labels.reshape(logits.shape) > 0
    z, y = _some_rows(logits, labels, _CROSS_CELLS)
    return _loss(z, y, _best_log_temperature(z, y)) / max(y.size, 1)


def _some_rows(
    logits: NDArray[np.floating], targets: NDArray[Any], cells: int
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """Returns logits and targets of evenly spaced rows, all of them if they are few."""
    rows = slice(None) if logits.size <= cells else _spaced(len(logits), cells // logits.shape[1])
    return np.asarray(logits[rows], np.float64), targets[rows]


def _loss(z: NDArray[np.float64], y: NDArray[Any], log_temperature: float) -> float:
    """Returns the summed log loss of ``z / T``; ``y`` has classes (N,), or truth values (N, C)."""
    scaled = z / np.exp(log_temperature)
    if y.ndim == 2:
        return float(np.logaddexp(0, np.where(y, -scaled, scaled)).sum())
    return float(-log_softmax(scaled, axis=1)[np.arange(len(y)), y.astype(np.int64)].sum())


def _best_log_temperature(z: NDArray[np.float64], y: NDArray[Any]) -> float:
    """Returns the logarithm of the temperature with the highest posterior probability."""
    from scipy.optimize import minimize_scalar

    def penalized(log_temperature: float) -> float:
        return _loss(z, y, log_temperature) + log_temperature**2 / (2 * _PRIOR**2)

    low, high = np.log(_TEMPERATURES)
    minimum = minimize_scalar(penalized, bounds=(low, high), method="bounded", options={"xatol": 1e-5})
    # The search never ends exactly at 0, which is right if the logits say nothing (all are 0, or no row).
    return float(minimum.x) if minimum.fun < penalized(0.0) else 0.0


def _supported_share(z: NDArray[np.float64], y: NDArray[Any]) -> float:
    """Returns the share of the fitted log temperature with the lowest loss on cross-fitted rows."""
    fold = np.random.default_rng(0).permutation(len(z)) % _FOLDS
    totals = dict.fromkeys(_SHARES, 0.0)
    for held in (fold == k for k in range(min(_FOLDS, len(z)))):
        fitted = _best_log_temperature(z[~held], y[~held])
        for share in _SHARES:
            totals[share] += _loss(z[held], y[held], share * fitted)
    return min(_SHARES, key=lambda share: totals[share])


def _spaced(rows: int, count: int) -> NDArray[np.int64]:
    """Returns ``count`` evenly spaced rows of ``rows``, at least one."""
    return np.linspace(0, rows - 1, max(count, 1)).astype(np.int64)


def _decisions(
    p: NDArray[np.float64], y: NDArray[Any], label_kind: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Confidence and correctness (0 or 1) of each decision, as flat arrays."""
    if label_kind == "multilabel":
        chosen = p >= 0.5
        return np.where(chosen, p, 1 - p).ravel(), (chosen == (y > 0)).ravel().astype(np.float64)
    best = p.argmax(axis=1)
    return p[np.arange(len(p)), best], (best == y).astype(np.float64)
