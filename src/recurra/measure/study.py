"""Several ways of training on the same rows: differences whose intervals count seeds and rows, and verdicts.

Every seed of a study judges every test row, with and without a technique. That is the design of
multi-reader multi-case studies, where readers judge cases under two conditions: seeds are the readers,
rows are the cases, and the variance of the mean difference is taken from the two-way layout of seeds by rows
(Obuchowski and Rockette, Communications in Statistics 24 (1995) 285) with Hillis's degrees of freedom
(Statistics in Medicine 26 (2007) 596).

A study may look at its figures several times and stop early. The error of 5% is shared out among the looks
(Bonferroni's inequality), so that the intervals are repeated confidence intervals (Jennison and Turnbull,
Journal of the Royal Statistical Society B 51 (1989) 305): all of them cover together, whenever one stops.
Verdicts on several techniques are corrected by Holm's method (Scandinavian Journal of Statistics 6 (1979)
65).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

__all__ = ["ERROR", "FIRST_LOOK", "Judgement", "Mean", "crossed_mean", "holm", "judge", "looks"]

ERROR = 0.05
FIRST_LOOK = 3  # seeds: two would leave a single degree of freedom to the seeds' variance
_EARLY = 0.2  # share of the error for all looks before the last one

Kind = Literal["better", "worse", "same", "open"]


@dataclass(frozen=True)
class Mean:
    """The mean of paired differences (or of anything else by seed and row), and what is uncertain about it.

    Attributes:
        mean: over seeds and rows.
        error: its standard error.
        freedom: degrees of freedom of the error; infinite where seeds add nothing.
        seeds: ``S``.
        rows: ``n``; 1 where only a figure a seed is known.
        from_seeds: share of the error's square that more seeds would lessen.
    """

    mean: float
    error: float
    freedom: float
    seeds: int
    rows: int
    from_seeds: float

    def interval(self, error: float = ERROR) -> tuple[float, float]:
        """The interval that leaves the true difference out in a share ``error`` of studies."""
        reach = float(student.ppf(1 - error / 2, self.freedom)) * self.error
        return self.mean - reach, self.mean + reach

    @property
    def p_value(self) -> float:
        """Of no difference, two-sided."""
        if self.error == 0:
            return 1.0 if self.mean == 0 else 0.0
        return float(2 * student.sf(abs(self.mean) / self.error, self.freedom))


def crossed_mean(values: NDArray[np.floating]) -> Mean:
    """The mean of ``values`` with the error that both few seeds and few rows cause.

    With mean squares of seeds, rows and the rest in the layout of ``S`` seeds by ``n`` rows, the variance
    of the mean is ``(MS_seeds + max(MS_rows - MS_rest, 0)) / (S n)``, and its degrees of freedom are
    ``(MS_seeds + max(MS_rows - MS_rest, 0))^2 / (MS_seeds^2 / (S - 1))`` (Hillis 2007, for one difference).

    Two things are added, for small studies. ``MS_seeds`` is at least ``MS_rest``, which is what it
    estimates where seeds make no difference: with two or three seeds it is often too small by chance,
    and intervals then cover 89 to 92% in place of 95. And ``1 / (n + 2)^2`` joins the variance, as half a
    row each way would (Agresti and Min, Statistics in Medicine 24 (2005) 729): models that agree on
    twenty rows are not proven equal. With one column, a figure a seed, it is Student's paired test.

    Args:
        values: ``(S, n)`` a row for each seed: what the technique gained on each test row.

    Raises:
        ValueError: fewer than two seeds, or no row.

    Example:
        >>> gains = np.array([[0, 1, 0, 0], [0, 1, 0, 1], [0, 1, 0, 0]], float)
        >>> found = crossed_mean(gains)
        >>> round(found.mean, 3), round(found.error, 3)
        (0.333, 0.289)
    """
    d = np.asarray(values, np.float64)
    if d.ndim != 2 or d.shape[0] < 2 or d.shape[1] < 1:
        raise ValueError(f"values of shape {d.shape}: two seeds and a row at least are needed")
    S, n = d.shape
    mean = float(d.mean())
    by_seed, by_row = d.mean(axis=1), d.mean(axis=0)
    seeds = n * float(by_seed.var(ddof=1))
    excess = 0.0
    if n > 1:
        rows = S * float(by_row.var(ddof=1))
        rest = d - by_seed[:, None] - by_row + mean
        noise = float((rest**2).sum()) / ((S - 1) * (n - 1))
        seeds = max(seeds, noise)
        excess = max(0.0, rows - noise) + S * n / (n + 2) ** 2
    variance = (seeds + excess) / (S * n)
    freedom = (S - 1) * ((seeds + excess) / seeds) ** 2 if seeds > 0 else float("inf")
    share = seeds / (seeds + excess) if seeds > 0 else 0.0
    return Mean(mean, float(np.sqrt(variance)), freedom, S, n, share)


def looks(seeds: int, adaptive: bool = True) -> dict[int, float]:
    """After how many seeds a study looks, and the share of the error that each look may spend.

    Each look comes after half as many seeds again: the more looks, the less each may spend. The last one
    has most, so that a study that goes to the end loses little by having looked before.

    Example:
        >>> looks(5), looks(5, adaptive=False), looks(3)
        ({3: 0.2, 5: 0.8}, {5: 1.0}, {3: 1.0})
    """
    early = []
    look = FIRST_LOOK
    while adaptive and look < seeds:
        early.append(look)
        look = ceil(1.5 * look)
    if not early:
        return {seeds: 1.0}
    return {**{look: _EARLY / len(early) for look in early}, seeds: 1 - _EARLY}


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values, in the given order.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    most = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        most = max(most, min(1.0, (len(p_values) - rank) * p_values[place]))
        adjusted[place] = most
    return adjusted


@dataclass(frozen=True)
class Judgement:
    """What a study says about one technique.

    Attributes:
        difference: from the technique it is compared to.
        low: lower end of the 95% interval, with the looks counted.
        high: its upper end.
        p_value: with the looks and, by Holm, the other techniques counted.
        kind: "better" or "worse" are real, "same" lies within what is small enough, "open" is not shown.
        clear: whether more seeds would not change the verdict.
        share: of the error, that its look may spend.
    """

    difference: Mean
    low: float
    high: float
    p_value: float
    kind: Kind
    clear: bool
    share: float = 1.0


def judge(
    found: Mapping[str, tuple[Mean, float]], *, enough: float, family: int | None = None
) -> dict[str, Judgement]:
    """A verdict for each technique.

    Args:
        found: by technique the difference and the share of the error that its look may spend (`looks`).
        enough: a difference this small does not matter.
        family: how many techniques are compared in all; as many as there are in ``found`` if None.

    Example:
        >>> gain = Mean(0.02, 0.004, 30.0, 5, 2000, 0.3)
        >>> judge({"gru": (gain, 0.8)}, enough=0.005)["gru"].kind
        'better'
    """
    family = max(len(found), family or 0)
    spent = {name: min(1.0, difference.p_value / share) for name, (difference, share) in found.items()}
    # Techniques without a figure yet count as if they showed nothing.
    adjusted = holm([*spent.values(), *[1.0] * (family - len(spent))])
    judged = {}
    for (name, (difference, share)), p_value in zip(found.items(), adjusted, strict=False):
        low, high = difference.interval(ERROR * share)
        real, small = p_value <= ERROR, -enough <= low and high <= enough
        kind: Kind = "open"
        if real:
            kind = "better" if difference.mean > 0 else "worse"
        elif small:
            kind = "same"
        # Whatever the others turn out to be, Holm's p-value is no more than Bonferroni's.
        clear = family * spent[name] <= ERROR or small
        judged[name] = Judgement(difference, low, high, p_value, kind, clear, share)
    return judged
