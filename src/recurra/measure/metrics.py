"""Metrics of class probabilities on labelled rows, computed by scikit-learn where it has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from scipy.stats import binomtest
from sklearn.metrics import confusion_matrix, f1_score, log_loss, roc_auc_score

from recurra.errors import DataError
from recurra.measure.calibration import reliability
from recurra.measure.formatting import percent, percents

__all__ = ["ClassFigures", "Metrics", "classification_metrics", "correct_rows", "wilson_interval"]


class ClassFigures(BaseModel):
    """Metrics of one class, from 0 to 1; None if undefined.

    Attributes:
        name: The class.
        precision: None if the class was never predicted.
        recall: None if no row is of the class.
        f1: None if neither precision nor recall is defined.
        auc: None if all rows or no row are of the class.
        support: Number of rows of the class.
        predicted: Number of rows predicted as the class.
    """

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    auc: float | None
    support: int
    predicted: int


class Metrics(BaseModel):
    """All metrics of one model on one set of rows; shares are from 0 to 1.

    Attributes:
        label_kind: ``binary``, ``multiclass`` or ``multilabel``.
        rows: Number of rows.
        accuracy: Share of rows predicted right; for multi-label, of rows whose whole label set is right.
        accuracy_low: Lower end of its 95% Wilson interval.
        accuracy_high: Upper end of the interval.
        log_loss: In nats, mean over rows (multi-label: over rows and labels).
        macro_f1: Mean F1 of the classes that occur or were predicted.
        micro_f1: F1 over all labels of all rows; None unless multi-label.
        auc: Mean of one class against the rest (binary: of the second class); None if undefined.
        ece: Expected calibration error with 15 bins.
        classes: Metrics of each class.
        confusion: ``confusion[i][j]`` is the number of rows of class i predicted as j; None for multi-label.
    """

    label_kind: str
    rows: int
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    log_loss: float
    macro_f1: float
    micro_f1: float | None
    auc: float | None
    ece: float
    classes: list[ClassFigures]
    confusion: list[list[int]] | None

    @property
    def accuracy_text(self) -> str:
        """The accuracy and its interval in percent, such as ``81.25% (80.10 to 82.30)``."""
        return f"{percent(self.accuracy)} ({percents(self.accuracy_low, self.accuracy_high)})"


def classification_metrics(
    labels_true: NDArray[Any], probabilities: NDArray[np.floating], names: Sequence[str], label_kind: str
) -> Metrics:
    """Returns the metrics of predicted probabilities.

    Args:
        labels_true: Class indices of shape ``(N,)``, or 0 and 1 of shape ``(N, C)`` for multi-label.
        probabilities: Probabilities of shape ``(N, C)``; two columns for binary. The class with the largest
            one is predicted; for multi-label, each class with at least 0.5.
        names: The ``C`` classes.
        label_kind: ``binary``, ``multiclass`` or ``multilabel``.

    Raises:
        DataError: If there is no row.
        ValueError: If shapes do not match, or a probability is not a number from 0 to 1.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
        >>> metrics = classification_metrics(np.array([0, 1, 1]), p, ["neg", "pos"], "binary")
        >>> metrics.confusion, round(metrics.accuracy, 3), metrics.auc
        ([[1, 0], [1, 1]], 0.667, 1.0)
    """
    y, p = _checked(labels_true, probabilities, len(names), label_kind)
    multilabel = label_kind == "multilabel"
    truth = y if multilabel else np.eye(len(names), dtype=np.int64)[y]
    chosen = _predicted(p, label_kind)
    right = (truth * chosen).sum(axis=0)
    support, predicted = truth.sum(axis=0), chosen.sum(axis=0)
    aucs = [
        float(roc_auc_score(truth[:, c], p[:, c])) if 0 < support[c] < len(p) else None
        for c in range(len(names))
    ]
    seen = np.flatnonzero((support + predicted) > 0)
    f1 = f1_score(truth, chosen, average=None, zero_division=0)
    hits = int((truth == chosen).all(axis=1).sum())
    low, high = wilson_interval(hits, len(p))
    defined = [auc for auc in (aucs[1:] if label_kind == "binary" else aucs) if auc is not None]
    return Metrics(
        label_kind=label_kind,
        rows=len(p),
        accuracy=hits / len(p),
        accuracy_low=low,
        accuracy_high=high,
        log_loss=_log_loss(y, p, label_kind),
        macro_f1=float(f1[seen].mean()) if len(seen) else 0.0,
        micro_f1=float(f1_score(truth, chosen, average="micro", zero_division=0)) if multilabel else None,
        auc=float(np.mean(defined)) if defined else None,
        ece=reliability(p, y, label_kind).ece,
        classes=[
            ClassFigures(
                name=str(name),
                precision=float(right[c] / predicted[c]) if predicted[c] else None,
                recall=float(right[c] / support[c]) if support[c] else None,
                f1=float(f1[c]) if support[c] + predicted[c] else None,
                auc=aucs[c],
                support=int(support[c]),
                predicted=int(predicted[c]),
            )
            for c, name in enumerate(names)
        ],
        confusion=None
        if multilabel
        else confusion_matrix(y, p.argmax(axis=1), labels=range(len(names))).tolist(),
    )


def correct_rows(
    labels_true: NDArray[Any], probabilities: NDArray[np.floating], label_kind: str
) -> NDArray[np.bool_]:
    """Returns whether each row is predicted right (multi-label: its whole label set), of shape ``(N,)``."""
    p = np.asarray(probabilities, np.float64)
    if label_kind == "multilabel":
        return np.asarray((_predicted(p, label_kind) == (np.asarray(labels_true) > 0)).all(axis=1))
    return np.asarray(p.argmax(axis=1) == np.asarray(labels_true))


def wilson_interval(hits: int, rows: int) -> tuple[float, float]:
    """Returns Wilson's 95% score interval of a share, valid for small counts and shares near 0 and 1.

    Source: Wilson, JASA 22 (1927).

    Example:
        >>> [round(end, 4) for end in wilson_interval(81, 263)]
        [0.2553, 0.3662]
    """
    interval = binomtest(hits, rows).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def _checked(
    labels: NDArray[Any], probabilities: NDArray[np.floating], classes: int, label_kind: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    p = np.asarray(probabilities, np.float64)
    y = np.asarray(labels)
    if len(p) == 0:
        raise DataError("there is no row to evaluate", hint="give a file with at least one labelled row")
    if label_kind not in ("binary", "multiclass", "multilabel"):
        raise ValueError(f"there is no kind of labels {label_kind!r}")
    if p.shape != (len(p), classes):
        raise ValueError(f"probabilities have shape {p.shape}, but there are {classes} classes")
    if y.shape != (p.shape if label_kind == "multilabel" else p.shape[:1]):
        raise ValueError(f"labels have shape {y.shape}, probabilities {p.shape} ({label_kind})")
    if not (np.isfinite(p).all() and p.min() >= 0 and p.max() <= 1 + 1e-6):
        raise ValueError("a probability is not a number from 0 to 1")
    y = (y > 0).astype(np.int64) if label_kind == "multilabel" else y.astype(np.int64)
    if y.min() < 0 or y.max() >= max(classes, 2):
        raise ValueError(f"a label is outside 0..{classes - 1}")
    return y, np.minimum(p, 1.0)


def _predicted(p: NDArray[np.float64], label_kind: str) -> NDArray[np.int64]:
    """The predictions as 0 and 1, of shape ``(N, C)``."""
    if label_kind == "multilabel":
        return (p >= 0.5).astype(np.int64)
    return np.asarray(np.eye(p.shape[1], dtype=np.int64)[p.argmax(axis=1)])


def _log_loss(y: NDArray[np.int64], p: NDArray[np.float64], label_kind: str) -> float:
    if label_kind == "multilabel":
        return float(log_loss(y.ravel(), p.ravel(), labels=[0, 1]))
    # The sum of float32 probabilities may differ from 1, of which scikit-learn would warn.
    return float(log_loss(y, p / p.sum(axis=1, keepdims=True), labels=list(range(p.shape[1]))))
