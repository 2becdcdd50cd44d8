"""How a classifier decides: thresholds or costs instead of the most probable class, and "unsure".

Settings of `predict` are fitted at the end of a fit, or afterwards with `recurra decide`, on validation rows,
and saved as ``decision.json``; prediction, evaluation and servers read it with the model.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.errors import BundleError, ConfigError
from recurra.io.labels import Labels
from recurra.measure.decisions import (
    MOST_CLASSES,
    Abstention,
    Goal,
    fit_abstention,
    fit_divisors,
    fit_label_thresholds,
    held_out_value,
    least_rows,
)
from recurra.measure.metrics import predicted_labels
from recurra.tasks.classification.settings import PredictConfig

__all__ = ["DECISION", "UNSURE", "Decision", "costs_of", "fit_decision", "unsure_name"]

DECISION = "decision.json"
"""The file of a `Decision`."""
UNSURE = "unsure"


@dataclass(frozen=True)
class Decision:
    """How a classifier decides, if not for the most probable class.

    Attributes:
        metric: what the thresholds were fitted for, as in ``predict.metric``; "" for the usual ones.
        thresholds: for one class a row, (C,) with sum 1: the class with the largest probability over
            threshold is chosen; empty for the most probable class. Those of multi-label are among the assets.
        costs: (C, C) by true and predicted class; empty without costs.
        abstain: the confidence below which the answer is "unsure"; None to answer always.
        fitted: how ``abstain`` was fitted from a risk; None if it was given.
        before: cross-fitted metric on the validation rows of the most probable class; None without a metric.
        after: the same with thresholds.
    """

    metric: str = ""
    thresholds: tuple[float, ...] = ()
    costs: tuple[tuple[float, ...], ...] = ()
    abstain: float | None = None
    fitted: Abstention | None = None
    before: float | None = None
    after: float | None = None

    @property
    def gains(self) -> NDArray[np.float64] | None:
        """The argument ``thresholds`` of `predicted_labels`; None for the most probable class."""
        if self.costs:
            return -np.array(self.costs)
        return np.array(self.thresholds) if self.thresholds else None

    def answered(self, p: NDArray[np.float64], chosen: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Returns whether each row of probabilities (N, C) is answered with its chosen class, (N,)."""
        if self.abstain is None:
            return np.ones(len(p), bool)
        return np.asarray(p[np.arange(len(p)), chosen] >= self.abstain)

    def as_json(self) -> dict[str, Any]:
        """Returns the decision as JSON values."""
        fitted = None if self.fitted is None else self.fitted._asdict()
        return {**asdict(self), "fitted": fitted}

    def to_json(self) -> str:
        """Returns the file ``decision.json``."""
        return json.dumps(self.as_json(), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, labels: Labels) -> Decision:
        """Returns what `to_json` wrote.

        Raises:
            BundleError: the file is damaged.
        """
        saved, classes = json.loads(text), len(labels.names)
        thresholds, costs, abstain = saved["thresholds"], saved["costs"], saved["abstain"]
        fitted = None if saved["fitted"] is None else Abstention(**saved["fitted"])
        numbers = [*thresholds, *(cost for row in costs for cost in row)]
        numbers += [value for value in (abstain, saved["before"], saved["after"]) if value is not None]
        numbers += [] if fitted is None else [*fitted]
        sound = all(type(value) in (int, float) and math.isfinite(value) for value in numbers)
        sound = sound and len(thresholds) in (0, classes) and all(value > 0 for value in thresholds)
        sound = sound and len(costs) in (0, classes) and all(len(row) == classes for row in costs)
        sound = sound and type(saved["metric"]) is str and (abstain is None or 0 <= abstain <= 1)
        if labels.label_kind == "multilabel":
            sound = sound and not thresholds and abstain is None
        if not sound:
            raise BundleError("the saved decision is damaged", where=DECISION)
        return cls(
            saved["metric"],
            tuple(thresholds),
            tuple(map(tuple, costs)),
            abstain,
            fitted,
            saved["before"],
            saved["after"],
        )

    def sentence(self, names: Sequence[str]) -> str:
        """Returns what is decided otherwise, for a person."""
        parts = []
        if self.costs:
            parts.append("The class with the lowest expected cost is predicted.")
        if self.thresholds:
            far = sorted(range(len(names)), key=lambda c: self.thresholds[c])
            listed = ", ".join(f"{names[c]} {100 * self.thresholds[c]:.1f}%" for c in far[:5])
            parts.append(
                f"Thresholds fitted on the validation rows for {self.metric}: {listed}"
                f"{', ...' if len(names) > 5 else ''}{self._gain()}."
            )
        elif self.metric:
            parts.append(f"Thresholds fitted on the validation rows for {self.metric}{self._gain()}.")
        if self.abstain is not None:
            why = "" if self.fitted is None else f" ({self._risk()})"
            parts.append(f"Below a confidence of {self.abstain:.4g} the answer is {UNSURE!r}{why}.")
        return " ".join(parts)

    def _gain(self) -> str:
        if self.before is None or self.after is None:
            return ""
        return f" (cross-fitted there: {self.after:.3f}, most probable class: {self.before:.3f})"

    def _risk(self) -> str:
        f = self.fitted
        if f is None:
            return ""
        return (
            f"of {f.rows:,} validation rows {f.answered:,} are answered, {f.errors:,} of these wrong; at "
            f"most {100 * f.bound:.2f}% with 95% confidence (Clopper-Pearson)"
        )


def unsure_name(names: Sequence[str]) -> str:
    """Returns the answer of a row without one: ``unsure``, or ``(unsure)`` if a class is called so."""
    return f"({UNSURE})" if UNSURE in names else UNSURE


def fit_decision(
    settings: PredictConfig,
    p: NDArray[np.float64],
    truth: NDArray[Any],
    labels: Labels,
    thresholds: NDArray[np.float64],
) -> tuple[Decision | None, NDArray[np.float64] | None, list[str]]:
    """Returns the decision of settings, the thresholds of multi-label, and warnings.

    The decision is None if the settings ask for none; the thresholds are None if they stay.

    Args:
        settings: what to fit.
        p: probabilities (N, C) of the validation rows.
        truth: their classes (N,), or zeros and ones (N, C).
        labels: the classes.
        thresholds: those of multi-label so far, (C,).

    Raises:
        ConfigError: settings that contradict each other or the classes.
    """
    names, kind, warnings = list(labels.names), labels.label_kind, list[str]()
    decision = Decision()
    fitted: NDArray[np.float64] | None = None
    multilabel = kind == "multilabel"
    if multilabel and (settings.abstain is not None or settings.risk is not None):
        raise ConfigError(
            "a row of several labels has no single confidence",
            where="predict.risk" if settings.abstain is None else "predict.abstain",
            hint="set predict.metric=precision>=0.95, which fits a threshold for each label",
        )
    if settings.metric is not None:
        goal = Goal.parse(settings.metric, names, kind)
        missed = (
            f"no threshold reaches {settings.metric} on {len(truth):,} validation rows: it is left as it is"
        )
        if len(names) > MOST_CLASSES:
            raise ConfigError(
                f"thresholds are fitted for up to {MOST_CLASSES} classes, and there are {len(names):,}",
                where="predict.metric",
            )
        if not len(truth):
            warnings.append(missed)
        elif multilabel:
            fitted = fit_label_thresholds(p, truth, goal, thresholds)
            decision = replace(decision, metric=settings.metric if fitted is not None else "")
        else:
            decision, found = _single(decision, settings.metric, goal, p, truth.astype(np.int64))
            if not found:
                warnings.append(missed)
        if multilabel and len(truth) and fitted is None:
            warnings.append(missed)
    if settings.costs:
        if multilabel:
            fitted = _label_costs(settings.costs, names, thresholds)
            decision = replace(decision, metric="costs")
        else:
            decision = replace(decision, costs=costs_of(settings.costs, names))
    if settings.abstain is not None:
        decision = replace(decision, abstain=settings.abstain)
    elif settings.risk is not None:
        chosen = predicted_labels(p, kind, decision.gains)
        abstention = fit_abstention(p[np.arange(len(p)), chosen], chosen == truth, settings.risk)
        if abstention is None:
            warnings.append(
                f"no confidence is known to keep the error below {100 * settings.risk:g}% on {len(p):,} "
                f"validation rows, and every text is answered: this takes {least_rows(settings.risk):,} "
                "answers without an error, or more with some"
            )
        else:
            decision = replace(decision, abstain=abstention.threshold, fitted=abstention)
    return (None if decision == Decision() else decision), fitted, warnings


def _single(
    decision: Decision, metric: str, goal: Goal, p: NDArray[np.float64], y: NDArray[np.int64]
) -> tuple[Decision, bool]:
    """Returns the decision with thresholds for a goal, and whether one was found that is no worse."""
    thresholds = fit_divisors(p, y, goal)
    if thresholds is None:
        return decision, False
    if goal.least is not None:
        return replace(decision, metric=metric, thresholds=tuple(thresholds.tolist())), True
    before, after = (held_out_value(p, y, goal, fitted=fitted) for fitted in (False, True))
    better = before is not None and after is not None and after > before
    chosen = tuple(thresholds.tolist()) if better else ()
    return replace(decision, metric=metric, thresholds=chosen, before=before, after=after), True


def costs_of(costs: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> tuple[tuple[float, ...], ...]:
    """Returns the matrix (C, C) of costs by true and predicted class: 0 for right, 1 for what is not named.

    Raises:
        ConfigError: a name is not a class.

    Example:
        >>> costs_of({"spam": {"ham": 5}}, ["ham", "spam"])
        ((0.0, 1.0), (5.0, 0.0))
    """
    known = {name: number for number, name in enumerate(names)}
    for name in [*costs, *(name for row in costs.values() for name in row)]:
        if name not in known:
            raise ConfigError(
                f"names {name!r}, which is not a class",
                where="predict.costs",
                hint=f"the classes are {', '.join(names[:20])}",
            )
    matrix = 1.0 - np.eye(len(names))
    for true, row in costs.items():
        for predicted, cost in row.items():
            matrix[known[true], known[predicted]] = cost
    return tuple(map(tuple, matrix.tolist()))


def _label_costs(
    costs: Mapping[str, Mapping[str, float]], names: Sequence[str], thresholds: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Returns the thresholds of multi-label with the lowest expected cost of the labels that are named."""
    result = thresholds.copy()
    for name, row in costs.items():
        if name not in names or set(row) - {"missed", "wrong"}:
            raise ConfigError(
                f"{name!r}: {dict(row)} is not the cost of a label",
                where="predict.costs",
                hint="write LABEL: {missed: 5, wrong: 1}, with one of the labels",
            )
        missed, wrong = row.get("missed", 1.0), row.get("wrong", 1.0)
        if missed + wrong <= 0:
            raise ConfigError(f"both costs of {name!r} are 0", where="predict.costs")
        result[names.index(name)] = wrong / (missed + wrong)
    return result
