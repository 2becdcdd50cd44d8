"""Whether new rows differ from those that a model was fitted with: tests with effect sizes, no labels."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from recurra.errors import BundleError
from recurra.measure.study import holm

__all__ = ["LEAST_ROWS", "Profile", "Shift", "shifts"]

LEAST_ROWS = 30
"""Rows on each side below which nothing is tested."""
ERROR = 0.01
_SMALL, _LARGE = 0.1, 0.25
_KEPT = 2_000


@dataclass(frozen=True)
class Profile:
    """What is known of some rows without their labels.

    Attributes:
        rows: their number.
        numbers: a figure of each row by name, such as the length of the text: at most 2,000 values, sorted,
            evenly over all.
        counts: how often each answer was given, by the name of what is counted.
    """

    rows: int
    numbers: Mapping[str, NDArray[np.float64]]
    counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, rows: int, numbers: Mapping[str, NDArray[Any]], counts: Mapping[str, Mapping[str, int]]
    ) -> Profile:
        """Returns the profile of the figures of rows, of shape (N,) each."""
        return cls(rows, {name: _thinned(values) for name, values in numbers.items()}, counts)

    def to_json(self) -> str:
        """Returns the profile as JSON, with four digits of each number."""
        numbers = {
            name: [float(f"{value:.4g}") for value in values.tolist()]
            for name, values in self.numbers.items()
        }
        counts = {name: dict(found) for name, found in self.counts.items()}
        return (
            json.dumps({"rows": self.rows, "numbers": numbers, "counts": counts}, ensure_ascii=False) + "\n"
        )

    @classmethod
    def from_json(cls, text: str) -> Profile:
        """Returns what `to_json` wrote.

        Raises:
            BundleError: it is damaged.
        """
        saved = json.loads(text)
        rows, numbers, counts = saved["rows"], saved["numbers"], saved["counts"]
        sound = type(rows) is int and rows >= 0
        for values in numbers.values():
            sound = sound and len(values) <= _KEPT
            sound = sound and all(type(v) in (int, float) and math.isfinite(v) for v in values)
        for found in counts.values():
            sound = sound and all(type(n) is int and n >= 0 for n in found.values())
        if not sound:
            raise BundleError("the saved statistics of the training are damaged")
        return cls(rows, {name: np.array(values, np.float64) for name, values in numbers.items()}, counts)


def _thinned(values: NDArray[Any]) -> NDArray[np.float64]:
    ranked = np.sort(np.asarray(values, np.float64))
    if len(ranked) <= _KEPT:
        return ranked
    return np.asarray(ranked[np.linspace(0, len(ranked) - 1, _KEPT).round().astype(int)])


class Shift(BaseModel):
    """The difference of one figure between the rows of the training and new ones.

    Attributes:
        name: Of the figure, such as ``length``.
        before: Median, or the largest answers with their shares, of the rows of the training.
        after: The same of the new rows.
        effect: Size of the difference from 0 to 1: the statistic of Kolmogorov and Smirnov for numbers, the
            total variation distance for answers. Below 0.1 it is small, from 0.25 on large.
        measure: Name of the effect size.
        p_value: Of the test, corrected for the number of figures (Holm).
        shown: Whether the p-value is below 0.01 and the effect at least 0.1.
        large: Whether the effect is at least 0.25 too.
    """

    name: str
    before: str
    after: str
    effect: float
    measure: str
    p_value: float
    shown: bool
    large: bool


def shifts(before: Profile, after: Profile) -> list[Shift]:
    """Returns the difference of each figure that both profiles have.

    Numbers are compared by the two-sample test of Kolmogorov and Smirnov, answers by the chi-square test of
    homogeneity, where classes with fewer than 5 expected rows are taken together. With many rows, tiny
    differences have tiny p-values: a shift is shown only if its effect size matters too.
    """
    from scipy.stats import ks_2samp

    found: list[tuple[str, str, str, float, str, float]] = []
    for name, values in before.numbers.items():
        others = after.numbers.get(name)
        if others is None or not len(values) or not len(others):
            continue
        effect = float(ks_2samp(values, others, method="asymp").statistic)
        # Both are thinned: the test is that of all rows.
        p_value = _ks_p(effect, before.rows, after.rows)
        found.append((name, _median(values), _median(others), effect, "KS statistic", p_value))
    for name, counts in before.counts.items():
        if name in after.counts and any(counts.values()) and any(after.counts[name].values()):
            other = after.counts[name]
            effect, p_value = _homogeneity(counts, other)
            found.append((name, _largest(counts), _largest(other), effect, "total variation", p_value))
    corrected = holm([each[5] for each in found])
    enough = min(before.rows, after.rows) >= LEAST_ROWS
    return [
        Shift(
            name=name,
            before=old,
            after=new,
            effect=effect,
            measure=measure,
            p_value=p,
            shown=enough and p < ERROR and effect >= _SMALL,
            large=enough and p < ERROR and effect >= _LARGE,
        )
        for (name, old, new, effect, measure, _), p in zip(found, corrected, strict=True)
    ]


def _ks_p(statistic: float, n: int, m: int) -> float:
    from scipy.stats import kstwobign

    return float(kstwobign.sf(statistic * math.sqrt(n * m / (n + m))))


def _homogeneity(before: Mapping[str, int], after: Mapping[str, int]) -> tuple[float, float]:
    """Returns the total variation distance of two counts, and the p-value of the chi-square test."""
    from scipy.stats import chi2_contingency

    names = sorted({*before, *after})
    table = np.array([[counts.get(name, 0) for name in names] for counts in (before, after)], np.float64)
    shares = table / table.sum(axis=1, keepdims=True)
    distance = float(np.abs(shares[0] - shares[1]).sum() / 2)
    expected = table.sum(axis=0) * table.sum(axis=1).min() / table.sum()
    few = expected < 5
    if few.any():
        table = np.concatenate([table[:, ~few], table[:, few].sum(axis=1, keepdims=True)], axis=1)
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return distance, 1.0
    return distance, float(chi2_contingency(table, correction=False).pvalue)


def _median(values: NDArray[np.float64]) -> str:
    return f"{np.median(values):.3g}"


def _largest(counts: Mapping[str, int]) -> str:
    total = sum(counts.values())
    ranked = sorted(counts.items(), key=lambda pair: -pair[1])[:3]
    return ", ".join(f"{name[:20]} {100 * count / total:.0f}%" for name, count in ranked if count)
