"""Whether probabilities mean what they say: reliability curve, expected calibration error, temperature.

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


class Reliability(BaseModel):
    """A reliability curve: predictions in equal-width bins of confidence, empty bins included.

    ``edges`` has one entry more than the other lists; ``confidence`` and ``accuracy`` are the means of
    each bin, None where ``counts`` is 0; ``ece`` is the expected calibration error, 0 to 1.
    """

    edges: list[float]
    counts: list[int]
    confidence: list[float | None]
    accuracy: list[float | None]
    ece: float


def reliability(
    probabilities: NDArray[np.float64], labels: NDArray[Any], label_kind: str, bins: int = BINS
) -> Reliability:
    """The reliability curve of the predicted label's probability.

    The m-th of ``M`` bins holds the confidences in ``((m - 1) / M, m / M]``. For multi-label every label
    of every row is one decision, whose confidence is ``max(p, 1 - p)``.

    Args:
        probabilities: ``(N, C)``.
        labels: ``(N,)`` class indices, or ``(N, C)`` of 0 and 1 for multi-label.
        label_kind: ``binary``, ``multiclass`` or ``multilabel``.
        bins: how many bins.

    Example:
        >>> curve = reliability(np.array([[0.2, 0.8], [0.4, 0.6]]), np.array([1, 0]), "binary", bins=2)
        >>> curve.counts, curve.confidence, curve.accuracy, round(curve.ece, 3)
        ([0, 2], [None, 0.7], [None, 0.5], 0.2)
    """
    confidence, correct = _decisions(np.asarray(probabilities, np.float64), np.asarray(labels), label_kind)
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    sums = np.bincount(place, confidence, minlength=bins)
    hits = np.bincount(place, correct, minlength=bins)
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
    """``(N, C)`` probabilities of the classes.

    Args:
        logits: ``(N, C)``; ``(N, 1)`` for binary labels, which gives two columns.
        label_kind: ``binary``, ``multiclass`` or ``multilabel``.
        temperature: the logits are divided by it; None leaves them as they are.

    Example:
        >>> probabilities(np.array([[0.0], [800.0]]), "binary").tolist()
        [[0.5, 0.5], [0.0, 1.0]]
    """
    scaled = logits if temperature is None else logits / temperature
    wide = np.asarray(scaled, dtype=np.float64)
    if label_kind == "multiclass":
        return np.asarray(softmax(wide, axis=1))
    if label_kind == "binary":
        # Each sign from its own side: 1 - expit(x) would lose the small one.
        return np.concatenate([expit(-wide), expit(wide)], axis=1)
    return np.asarray(expit(wide))


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.generic], label_kind: str) -> float:
    """The temperature ``T`` for which ``logits / T`` have the smallest log loss on these rows.

    Targets are Platt's rather than 0 and 1: a class of ``n`` rows counts as one that was seen right ``n + 1``
    times in ``n + C``. Where almost every validation row is right, plain targets ask for a temperature
    near 0, and a few mistakes elsewhere then cost more than all the sureness gains.

    It lies between 0.05 and 20 and is 1.0 where there is no row. Above 1: the model was too sure of itself.

    Args:
        logits: ``(N, C)``, or ``(N, 1)`` for binary; of rows the model was not trained on.
        labels: ``(N,)`` class indices, or ``(N, C)`` of 0 and 1 for multi-label.
        label_kind: ``binary``, ``multiclass`` or ``multilabel``.

    Sources: Guo et al. 2017, section 4.2; Platt, "Probabilistic Outputs for Support Vector Machines", 1999.
    """
    z = np.asarray(logits, np.float64)
    if len(z) == 0:
        return 1.0
    if label_kind == "multilabel" or z.shape[1] == 1:
        positive = np.asarray(labels).reshape(z.shape) > 0
        count = positive.sum(axis=0)
        target = np.where(positive, (count + 1) / (count + 2), 1 / (len(z) - count + 2))

        def log_loss(log_temperature: float) -> float:
            scaled = z / np.exp(log_temperature)
            return float((np.logaddexp(0, scaled) - target * scaled).mean())
    else:
        classes = z.shape[1]
        y = np.asarray(labels).astype(np.int64)
        sizes = np.bincount(y, minlength=classes)[y][:, None] + classes
        target = (np.eye(classes)[y] * (sizes - classes) + 1) / sizes

        def log_loss(log_temperature: float) -> float:
            return float(-(target * log_softmax(z / np.exp(log_temperature), axis=1)).sum(axis=1).mean())

    low, high = np.log(_TEMPERATURES)
    found = minimize_scalar(log_loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    # A flat loss (logits all zero) leaves the search anywhere: then nothing is to be scaled.
    return float(np.exp(found.x)) if found.fun < log_loss(0.0) else 1.0


def _decisions(
    p: NDArray[np.float64], y: NDArray[Any], label_kind: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Confidence and correctness (0 or 1) of each decision, both flat."""
    if label_kind == "multilabel":
        chosen = p >= 0.5
        return np.where(chosen, p, 1 - p).ravel(), (chosen == (y > 0)).ravel().astype(np.float64)
    best = p.argmax(axis=1)
    return p[np.arange(len(p)), best], (best == y).astype(np.float64)
