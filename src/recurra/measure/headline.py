"""One figure of a classifier with its 95% interval: any metric, from bootstrap samples of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from recurra.errors import ConfigError
from recurra.measure.bootstrap import ends, resampled_groups
from recurra.measure.comparison import one_hot
from recurra.measure.metrics import Metrics

__all__ = ["Figure", "chosen_figure", "figure_of", "value_of"]

IMBALANCED = 0.6
"""Share of the largest class beyond which accuracy says little."""
_AUC_ROUNDS = 200
_AUC_ROWS = 20_000
_TITLES = {
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "macro_f1": "macro-F1",
    "micro_f1": "micro-F1",
    "auc": "AUC",
    "log_loss": "log loss",
}
_WORDS = {"f1": "F1", "precision": "precision", "recall": "recall"}


class Figure(BaseModel):
    """A figure and its interval.

    Attributes:
        name: As in ``predict.headline``.
        title: For a person.
        value: None if it is undefined, such as the precision of a class that was never predicted.
        low: Lower end of the 95% interval; None if there is none.
        high: Upper end.
    """

    name: str
    title: str
    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def text(self) -> str:
        """The value and its interval: accuracies in percent, other figures with three decimals."""
        percent = self.name in ("accuracy", "balanced_accuracy")

        def shown(value: float) -> str:
            return f"{100 * value:.1f}" if percent else f"{value:.3f}"

        if self.value is None:
            return "undefined"
        interval = ""
        if self.low is not None and self.high is not None:
            interval = f" (95% interval {shown(self.low)} to {shown(self.high)})"
        return f"{shown(self.value)}{'%' if percent else ''}{interval}"


def chosen_figure(
    setting: str,
    names: Sequence[str],
    label_kind: str,
    shares: NDArray[np.float64],
    where: str = "predict.headline",
) -> str:
    """Returns the name of the headline figure of a setting ``predict.headline``.

    Args:
        setting: a figure, or ``auto``.
        names: the classes.
        label_kind: of the labels.
        shares: the share of each class in the training rows, (C,); empty if it is not known.
        where: the setting, for messages.

    Raises:
        ConfigError: it names no class, or is not for these labels.
    """
    if setting == "auto":
        if label_kind == "multilabel":
            return "micro_f1"
        return "macro_f1" if len(shares) and shares.max() > IMBALANCED else "accuracy"
    figure, _, name = setting.partition(":")
    if name and name not in names:
        hint = f"the classes are {', '.join(names[:20])}"
        raise ConfigError(f"{setting!r} names {name!r}, which is not a class", where=where, hint=hint)
    if figure == "micro_f1" and label_kind != "multilabel":
        raise ConfigError("micro_f1 is the accuracy where each row has one class", where=where)
    if figure == "balanced_accuracy" and label_kind == "multilabel":
        raise ConfigError("balanced_accuracy is for rows of one class", where=where, hint="use macro_f1")
    return setting


def value_of(name: str, metrics: Metrics) -> float | None:
    """Returns a figure of metrics by its name; None if it is undefined."""
    figure, _, label = name.partition(":")
    if label:
        found = next(c for c in metrics.classes if c.name == label)
        return {"f1": found.f1, "precision": found.precision, "recall": found.recall}[figure]
    if figure == "balanced_accuracy":
        recalls = [c.recall for c in metrics.classes if c.recall is not None]
        return float(np.mean(recalls)) if recalls else None
    value: float | None = getattr(metrics, figure)
    return value


def figure_of(
    name: str,
    metrics: Metrics,
    truth: NDArray[Any],
    chosen: NDArray[np.int64],
    p: NDArray[np.float64],
) -> Figure:
    """Returns a figure with its interval: that of Wilson for accuracy, else of bootstrap samples.

    The interval is that of 2,000 samples of the rows, of 200 for the AUC, which has none beyond 20,000 rows.

    Args:
        name: of the figure.
        metrics: the metrics of these rows.
        truth: true classes (N,), or zeros and ones (N, C).
        chosen: the predictions, in the same form.
        p: their probabilities (N, C).
    """
    figure, _, label = name.partition(":")
    title = f"{_WORDS[figure]} of {label}" if label else _TITLES[figure]
    found = Figure(name=name, title=title, value=value_of(name, metrics))
    if found.value is None:
        return found
    if name == "accuracy":
        return _with(found, metrics.accuracy_low, metrics.accuracy_high)
    names = [c.name for c in metrics.classes]
    if name in ("auc", "log_loss"):
        samples = _resampled(name, truth, p, metrics.label_kind)
    else:
        true, predicted = one_hot(truth, len(names)), one_hot(chosen, len(names))
        from scipy.sparse import csr_matrix, hstack

        counts = csr_matrix(hstack([true, predicted, true.multiply(predicted)]))
        at = names.index(label) if label else None
        samples = np.concatenate([_of_counts(figure, sums, at) for sums in resampled_groups(counts)])
    samples = samples[np.isfinite(samples)]
    return _with(found, *ends(samples)) if len(samples) else found


def _with(figure: Figure, low: float, high: float) -> Figure:
    return Figure.model_validate({**dict(figure), "low": low, "high": high})


def _of_counts(figure: str, sums: NDArray[np.float64], label: int | None) -> NDArray[np.float64]:
    """Returns a figure for each row of counts (R, 3C): true, predicted, right; NaN where it is undefined."""
    true, predicted, right = np.split(sums, 3, axis=1)
    if figure == "micro_f1":
        return np.asarray(2 * right.sum(axis=1) / np.maximum((true + predicted).sum(axis=1), 1))
    if figure == "balanced_accuracy":
        recall = np.where(true > 0, right / np.maximum(true, 1), np.nan)
        return np.asarray(np.nanmean(recall, axis=1))
    either = true + predicted
    f1 = 2 * right / np.maximum(either, 1)
    if figure == "macro_f1":
        return np.asarray(f1.sum(axis=1) / np.maximum((either > 0).sum(axis=1), 1))
    below = {"f1": either, "precision": predicted, "recall": true}[figure][:, label]
    above = (2 if figure == "f1" else 1) * right[:, label]
    return np.asarray(np.where(below > 0, above / np.maximum(below, 1), np.nan))


def _resampled(
    name: str, truth: NDArray[Any], p: NDArray[np.float64], label_kind: str
) -> NDArray[np.float64]:
    rows = len(p)
    if name == "log_loss":
        if label_kind == "multilabel":
            right = np.where(truth > 0, p, 1 - p)
            losses = -np.log(np.clip(right, 1e-15, 1)).mean(axis=1)
        else:
            losses = -np.log(np.clip(p[np.arange(rows), truth.astype(np.int64)], 1e-15, 1))
        from scipy.sparse import csr_matrix

        counts = csr_matrix(np.stack([losses, np.ones(rows)], axis=1))
        return np.concatenate([sums[:, 0] / sums[:, 1] for sums in resampled_groups(counts)])
    if rows > _AUC_ROWS:
        return np.empty(0)
    from sklearn.metrics import roc_auc_score

    classes = p.shape[1]
    marks = truth > 0 if truth.ndim == 2 else truth[:, None] == np.arange(classes)
    columns = [1] if label_kind == "binary" else range(classes)
    random, found = np.random.default_rng(1), []
    for _ in range(_AUC_ROUNDS):
        drawn = random.integers(0, rows, rows)
        each = [
            roc_auc_score(marks[drawn, c], p[drawn, c]) for c in columns if 0 < marks[drawn, c].sum() < rows
        ]
        found.append(np.mean(each) if each else np.nan)
    return np.array(found)
