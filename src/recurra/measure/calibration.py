"""Calibration of probabilities: reliability curve, expected calibration error, temperature scaling.

Source: Guo, Pleiss, Sun and Weinberger, "On Calibration of Modern Neural Networks", ICML 2017.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, softmax

__all__ = ["Reliability", "fit_temperature", "probabilities", "reliability"]

BINS = 15
_TEMPERATURES = (0.05, 20.0)
_CELLS = 10_000_000
"""Logits that a temperature is fitted on at most: it is one number, and each takes some 60 bytes."""


class Reliability(BaseModel):
    """A reliability curve: predictions grouped by confidence in bins of equal width, including empty bins.

    Attributes:
        edges: Edges of the bins, one more than there are bins.
        counts: Number of predictions in each bin.
        confidence: Mean confidence of each bin; None for an empty bin.
        accuracy: Accuracy in each bin; None for an empty bin.
        ece: Expected calibration error, from 0 to 1.
    """

    edges: list[float]
    counts: list[int]
    confidence: list[float | None]
    accuracy: list[float | None]
    ece: float


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
    return Reliability(
        edges=(np.arange(bins + 1) / bins).tolist(),
        counts=counts.tolist(),
        confidence=[float(s) if n else None for s, n in zip(sums / filled, counts, strict=True)],
        accuracy=[float(h) if n else None for h, n in zip(hits / filled, counts, strict=True)],
        ece=float(np.abs(sums - hits).sum() / max(1, counts.sum())),
    )


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
    """Returns the temperature ``T`` for which ``logits / T`` have the smallest log loss on these rows.

    The targets are those of Platt, not 0 and 1: a class of ``n`` rows has the target ``(n + 1) / (n + C)``.
    If almost all validation rows are right, the targets 0 and 1 would give a temperature near 0, and a few
    mistakes on other rows would then have a very large loss.

    The temperature is between 0.05 and 20, and 1.0 if there is no row. A value above 1 means that the model
    was overconfident. For many classes it is fitted on evenly spaced rows with at most 10 million logits.

    Args:
        logits: Logits of shape ``(N, C)``, or ``(N, 1)`` for binary, of rows that were not trained on.
        labels: Class indices of shape ``(N,)``, or 0 and 1 of shape ``(N, C)`` for multi-label.
        label_kind: ``binary``, ``multiclass`` or ``multilabel``.

    Sources: Guo et al. 2017, section 4.2; Platt, "Probabilistic Outputs for Support Vector Machines", 1999.
    """
    if len(logits) == 0:
        return 1.0
    labels, total = np.asarray(labels), len(logits)
    rows = slice(None) if logits.size <= _CELLS else _spaced(total, _CELLS // logits.shape[1])
    z = np.asarray(logits[rows], np.float64)
    if label_kind == "multilabel" or z.shape[1] == 1:
        positive = labels.reshape(logits.shape) > 0
        count = positive.sum(axis=0)
        target = np.where(positive[rows], (count + 1) / (count + 2), 1 / (total - count + 2))

        def log_loss(log_temperature: float) -> float:
            scaled = z / np.exp(log_temperature)
            return float((np.logaddexp(0, scaled) - target * scaled).mean())
    else:
        classes = z.shape[1]
        y = labels.astype(np.int64)[rows]
        sizes = np.bincount(labels.astype(np.int64), minlength=classes)[y][:, None] + classes
        target = (np.eye(classes)[y] * (sizes - classes) + 1) / sizes

        def log_loss(log_temperature: float) -> float:
            return float(-(target * log_softmax(z / np.exp(log_temperature), axis=1)).sum(axis=1).mean())

    low, high = np.log(_TEMPERATURES)
    minimum = minimize_scalar(log_loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    # If the loss is flat (all logits are 0), the search ends anywhere; 1 is then the right answer.
    return float(np.exp(minimum.x)) if minimum.fun < log_loss(0.0) else 1.0


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
