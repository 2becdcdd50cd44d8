"""Metrics of class probabilities on labelled rows, computed by scikit-learn where it has them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from recurra.errors import DataError
from recurra.measure.calibration import reliability
from recurra.measure.formatting import percent, percents

__all__ = [
    "ClassFigures", "Confused", "Metrics", "classification_metrics", "correct_rows",
    "predicted_labels", "wilson_interval",
]  # fmt: skip

AUC_CLASSES = 1_000
"""Classes beyond which no AUC is computed: each needs all rows sorted by its probability."""
MATRIX_CLASSES = 100
"""Classes beyond which there is no confusion matrix, which has the square of their number of cells."""
_PAIRS = 10


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


class Confused(BaseModel):
    """Rows of one class that were predicted as another one.

    Attributes:
        true: The class of the rows.
        predicted: The class that was predicted.
        count: Number of rows.
        share: Share of all rows of the true class.
    """

    true: str
    predicted: str
    count: int
    share: float


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
        auc: Mean of one class against the rest (binary: of the second class); None if undefined, and for more
            than 1,000 classes.
        ece: Expected calibration error with 15 bins.
        classes: Metrics of each class.
        confusion: ``confusion[i][j]`` is the number of rows of class i predicted as j; None for multi-label
            and for more than 100 classes.
        confused: The ten most frequent confusions, most frequent first; empty for multi-label.
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
    confused: list[Confused] = []

    @property
    def accuracy_text(self) -> str:
        """The accuracy and its interval in percent, such as ``81.25% (80.10 to 82.30)``."""
        return f"{percent(self.accuracy)} ({percents(self.accuracy_low, self.accuracy_high)})"


def classification_metrics(
    labels_true: NDArray[Any],
    probabilities: NDArray[np.floating],
    names: Sequence[str],
    label_kind: str,
    thresholds: NDArray[np.float64] | None = None,
) -> Metrics:
    """Returns the metrics of predicted probabilities.

    Args:
        labels_true: Class indices of shape ``(N,)``, or 0 and 1 of shape ``(N, C)`` for multi-label.
        probabilities: Probabilities of shape ``(N, C)``; two columns for binary. The class with the largest
            one is predicted, or what ``thresholds`` say; for multi-label, each class with at least its
            threshold.
        names: The ``C`` classes.
        label_kind: ``binary``, ``multiclass`` or ``multilabel``.
        thresholds: For multi-label, the thresholds of shape ``(C,)``; if None, all are 0.5. For one class a
            row, the class with the largest probability over threshold is predicted; or, of shape ``(C, C)``,
            the gain of predicting a class (second axis) for a row of another (first axis): the class with the
            largest expected gain is predicted.

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
    chosen = predicted_labels(p, label_kind, thresholds)
    counts = _set_counts(y, chosen) if multilabel else _class_counts(y, chosen, len(names))
    right, support, predicted = counts
    aucs = _aucs(y, p, support, multilabel) if len(names) <= AUC_CLASSES else [None] * len(names)
    seen = support + predicted > 0
    f1 = 2 * right / np.maximum(support + predicted, 1)
    hits = int((y == chosen).reshape(len(p), -1).all(axis=1).sum())
    low, high = wilson_interval(hits, len(p))
    defined = [auc for auc in (aucs[1:] if label_kind == "binary" else aucs) if auc is not None]
    either = int(support.sum() + predicted.sum())
    return Metrics(
        label_kind=label_kind,
        rows=len(p),
        accuracy=hits / len(p),
        accuracy_low=low,
        accuracy_high=high,
        log_loss=_log_loss(y, p, label_kind),
        macro_f1=float(f1[seen].mean()) if seen.any() else 0.0,
        micro_f1=2 * int(right.sum()) / max(either, 1) if multilabel else None,
        auc=float(np.mean(defined)) if defined else None,
        ece=reliability(p, y, label_kind).ece,
        classes=[
            ClassFigures(
                name=str(name),
                precision=float(right[c] / predicted[c]) if predicted[c] else None,
                recall=float(right[c] / support[c]) if support[c] else None,
                f1=float(f1[c]) if seen[c] else None,
                auc=aucs[c],
                support=int(support[c]),
                predicted=int(predicted[c]),
            )
            for c, name in enumerate(names)
        ],
        confusion=None if multilabel or len(names) > MATRIX_CLASSES else _confusion(y, chosen, len(names)),
        confused=[] if multilabel else _confused(y, chosen, names, support),
    )


def correct_rows(
    labels_true: NDArray[Any],
    probabilities: NDArray[np.floating],
    label_kind: str,
    thresholds: NDArray[np.float64] | None = None,
) -> NDArray[np.bool_]:
    """Returns whether each row is predicted right (multi-label: its whole label set), of shape ``(N,)``."""
    p = np.asarray(probabilities, np.float64)
    if label_kind == "multilabel":
        same = predicted_labels(p, label_kind, thresholds) == (np.asarray(labels_true) > 0)
        return np.asarray(same.all(axis=1))
    return np.asarray(predicted_labels(p, label_kind, thresholds) == np.asarray(labels_true))


def wilson_interval(hits: int, rows: int) -> tuple[float, float]:
    """Returns Wilson's 95% score interval of a share, valid for small counts and shares near 0 and 1.

    Source: Wilson, JASA 22 (1927).

    Example:
        >>> [round(end, 4) for end in wilson_interval(81, 263)]
        [0.2553, 0.3662]
    """
    from scipy.stats import binomtest

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


def predicted_labels(
    p: NDArray[np.float64], label_kind: str, thresholds: NDArray[np.float64] | None
) -> NDArray[np.int64]:
    """Returns the predicted classes ``(N,)``; for multi-label 0 and 1 of shape ``(N, C)``.

    The arguments are those of `classification_metrics`.

    Example:
        >>> p = np.array([[0.6, 0.4], [0.9, 0.1]])
        >>> predicted_labels(p, "binary", np.array([0.7, 0.3])).tolist()
        [1, 0]
        >>> predicted_labels(p, "binary", np.array([[0, -1], [-9, 0]])).tolist()
        [1, 0]
    """
    if label_kind == "multilabel":
        return np.asarray(p >= (0.5 if thresholds is None else thresholds)).astype(np.int64)
    if thresholds is not None:
        # Class by class: a matrix product adds up in another order for other numbers of rows.
        by_class = (p[:, c, None] * thresholds[c] for c in range(p.shape[1]))
        p = sum(by_class, np.zeros_like(p)) if thresholds.ndim == 2 else p / thresholds
    return np.asarray(p.argmax(axis=1))


_Counts: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""For each class: rows of it that were predicted as it, rows of it, rows that were predicted as it."""


def _set_counts(y: NDArray[np.int64], chosen: NDArray[np.int64]) -> _Counts:
    return (y * chosen).sum(axis=0), y.sum(axis=0), chosen.sum(axis=0)


def _class_counts(y: NDArray[np.int64], chosen: NDArray[np.int64], classes: int) -> _Counts:
    right, support, predicted = (np.bincount(of, minlength=classes) for of in (y[y == chosen], y, chosen))
    return right, support, predicted


def _aucs(
    y: NDArray[np.int64], p: NDArray[np.float64], support: NDArray[np.int64], multilabel: bool
) -> list[float | None]:
    """The AUC of each class against the rest; None if all rows or no row are of the class."""
    from sklearn.metrics import roc_auc_score

    defined = (support > 0) & (support < len(p))
    return [
        float(roc_auc_score(y[:, c] if multilabel else y == c, p[:, c])) if defined[c] else None
        for c in range(p.shape[1])
    ]


def _confusion(y: NDArray[np.int64], chosen: NDArray[np.int64], classes: int) -> list[list[int]]:
    counts = np.bincount(y * classes + chosen, minlength=classes * classes)
    return counts.reshape(classes, classes).tolist()


def _confused(
    y: NDArray[np.int64], chosen: NDArray[np.int64], names: Sequence[str], support: NDArray[np.int64]
) -> list[Confused]:
    """The most frequent confusions; those of equal number in the order of the classes."""
    wrong = y != chosen
    pairs, counts = np.unique(y[wrong] * len(names) + chosen[wrong], return_counts=True)
    most = np.argsort(-counts, kind="stable")[:_PAIRS]
    return [
        Confused(
            true=str(names[pair // len(names)]),
            predicted=str(names[pair % len(names)]),
            count=number,
            share=number / int(support[pair // len(names)]),
        )
        for pair, number in zip(pairs[most].tolist(), counts[most].tolist(), strict=True)
    ]


def _log_loss(y: NDArray[np.int64], p: NDArray[np.float64], label_kind: str) -> float:
    """The mean of ``-log p`` of what is true; scikit-learn's would take a column of ``y`` for each class."""
    if label_kind == "multilabel":
        true = np.where(y == 1, p, 1 - p)
    else:
        # The sum of float32 probabilities may differ from 1.
        true = p[np.arange(len(p)), y] / p.sum(axis=1)
    smallest = np.finfo(np.float64).eps
    return float(-np.log(np.clip(true, smallest, 1 - smallest)).mean())
