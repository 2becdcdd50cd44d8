"""Statistics of studies that compare ways of training on the same rows: intervals, p-values and verdicts.

Each seed of a study is measured on each test row, with and without a technique. This is the design of
multi-reader multi-case studies, in which readers judge cases under two conditions: seeds are the readers,
rows are the cases, and the variance of the mean difference is that of the two-way layout of seeds by rows
(Obuchowski and Rockette, Communications in Statistics 24 (1995) 285) with Hillis's degrees of freedom
(Statistics in Medicine 26 (2007) 596).

A study may look at its results several times and stop early. The error of 5% is divided among the looks
(Bonferroni's inequality): the intervals are repeated confidence intervals (Jennison and Turnbull,
Journal of the Royal Statistical Society B 51 (1989) 305), valid whenever the study stops.
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

__all__ = [
    "ERROR", "FIRST_LOOK", "Criterion", "Judgement", "Mean", "Scores", "crossed_mean", "holm", "judge",
    "looks", "ratio_values",
]  # fmt: skip

ERROR = 0.05
FIRST_LOOK = 3  # seeds: with two, the variance between seeds would have one degree of freedom
_EARLY = 0.2  # share of the error for all looks before the last one

Kind = Literal["better", "worse", "same", "open"]


@dataclass(frozen=True)
class Criterion:
    """The figure by which a study compares its arms.

    Attributes:
        name: Name of the figure, such as ``accuracy``; also its key in JSON and CSV.
        plural: Key of the list of its values, such as ``accuracies``.
        rows: What the rows of a study are called, such as ``rows`` or ``sentences``.
        unit: Unit of differences, such as ``points``.
        shares: Whether the figure is a share of right answers, shown in percent; its differences in points.
        higher_is_better: Whether a larger value is better.
        majority: Name of the constant answer that the figure is compared with; empty if there is none.
    """

    name: str = "accuracy"
    plural: str = "accuracies"
    rows: str = "rows"
    unit: str = "points"
    shares: bool = True
    higher_is_better: bool = True
    majority: str = "largest class"

    @property
    def scale(self) -> float:
        """Factor from values to displayed numbers."""
        return 100.0 if self.shares else 1.0

    def value(self, value: float) -> str:
        """Returns a formatted value.

        Example:
            >>> Criterion().value(0.8125), Criterion("loss", "losses", shares=False).value(4.25)
            ('81.2%', '4.250')
        """
        return f"{100 * value:.1f}%" if self.shares else f"{value:.3f}"

    def number(self, difference: float, sign: str = "+") -> str:
        """Returns a formatted difference without its unit, with a typographic minus.

        Example:
            >>> points = Criterion()
            >>> points.number(0.0084), points.number(-0.012), points.number(0.5, ""), points.number(-0.0001)
            ('+0.8', '−1.2', '50.0', '+0.0')
        """
        decimals = 1 if self.shares else 3
        # Adding 0.0 makes a negative zero positive.
        return f"{round(self.scale * difference, decimals) + 0.0:{sign}.{decimals}f}".replace("-", "−")


@dataclass(frozen=True)
class Scores:
    """The scores of one model on the rows of a study.

    Attributes:
        values: Score of each row, of shape ``(n,)``; bool if each row is right or wrong.
        sizes: Units in each row, such as the words of a sentence, of shape ``(n,)``; None if each row is one
            unit. The figure of the model is ``sum(values) / sum(sizes)``.
        log_loss: Mean log loss of the model; None if there is none.
    """

    values: NDArray[np.bool_] | NDArray[np.float64]
    sizes: NDArray[np.float64] | None = None
    log_loss: float | None = None

    @property
    def mean(self) -> float:
        """The figure of the model."""
        units = len(self.values) if self.sizes is None else float(self.sizes.sum())
        return float(self.values.sum()) / units


@dataclass(frozen=True)
class Mean:
    """A mean over seeds and rows, and its standard error.

    Attributes:
        mean: Mean over seeds and rows.
        error: Its standard error.
        freedom: Degrees of freedom of the error; infinite if seeds make no difference.
        seeds: Number of seeds ``S``.
        rows: Number of rows ``n``; 1 if there is only one value per seed.
        from_seeds: Share of the squared error that more seeds would reduce.
    """

    mean: float
    error: float
    freedom: float
    seeds: int
    rows: int
    from_seeds: float

    def interval(self, error: float = ERROR) -> tuple[float, float]:
        """Returns the confidence interval with the error rate ``error``."""
        from scipy.stats import t as student

        reach = float(student.ppf(1 - error / 2, self.freedom)) * self.error
        return self.mean - reach, self.mean + reach

    @property
    def p_value(self) -> float:
        """Two-sided p-value of no difference."""
        from scipy.stats import t as student

        if self.error == 0:
            return 1.0 if self.mean == 0 else 0.0
        return float(2 * student.sf(abs(self.mean) / self.error, self.freedom))


def ratio_values(values: NDArray[np.floating], sizes: NDArray[np.float64] | None) -> NDArray[np.float64]:
    """Returns values whose plain mean over rows is the ratio of sums, ``sum(values) / sum(sizes)``.

    Their deviations from the mean are those of the linearized ratio, so that `crossed_mean` gives its error
    for rows of different sizes (Cochran, Sampling Techniques, 1977, section 6.4).

    Args:
        values: Values of shape ``(S, n)``.
        sizes: Units in each row, of shape ``(n,)`` or ``(S, n)``. If None, ``values`` are returned unchanged.

    Example:
        >>> ratio_values(np.array([[3.0, 1.0]]), np.array([6.0, 2.0])).tolist()  # half of each row
        [[0.5, 0.5]]
    """
    scores: NDArray[np.float64] = np.asarray(values, np.float64)
    if sizes is None:
        return scores
    ratio = float(scores.mean() / sizes.mean())
    return ratio + (scores - ratio * sizes) / float(sizes.mean())


def crossed_mean(values: NDArray[np.floating], *, shares: bool = True) -> Mean:
    """Returns the mean of ``values`` with an error that accounts for both the seeds and the rows.

    With mean squares of seeds, rows and the rest in the layout of ``S`` seeds by ``n`` rows, the variance
    of the mean is ``(MS_seeds + max(MS_rows - MS_rest, 0)) / (S n)``, and its degrees of freedom are
    ``(MS_seeds + max(MS_rows - MS_rest, 0))^2 / (MS_seeds^2 / (S - 1))`` (Hillis 2007, for one difference).

    There are two corrections for small studies. ``MS_seeds`` is at least ``MS_rest``, its expectation if
    seeds make no difference: with two or three seeds it is often too small by chance, and intervals would
    cover 89 to 92% instead of 95. For shares, ``1 / (n + 2)^2`` is added to the variance, as half a row each
    way would (Agresti and Min, Statistics in Medicine 24 (2005) 729): two models that agree on twenty rows
    are not proven equal. With one column the test is Student's paired test.

    Args:
        values: Values of shape ``(S, n)``, one row per seed, such as the differences of two arms.
        shares: Whether the values are right or wrong answers or their differences.

    Raises:
        ValueError: If there are fewer than two seeds, or no row.

    Example:
        >>> gains = np.array([[0, 1, 0, 0], [0, 1, 0, 1], [0, 1, 0, 0]], float)
        >>> gain = crossed_mean(gains)
        >>> round(gain.mean, 3), round(gain.error, 3)
        (0.333, 0.289)
    """
    d = np.asarray(values, np.float64)
    if d.ndim != 2 or d.shape[0] < 2 or d.shape[1] < 1:
        raise ValueError(f"values have shape {d.shape}, but at least two seeds and one row are needed")
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
        excess = max(0.0, rows - noise) + (S * n / (n + 2) ** 2 if shares else 0.0)
    variance = (seeds + excess) / (S * n)
    freedom = (S - 1) * ((seeds + excess) / seeds) ** 2 if seeds > 0 else float("inf")
    share = seeds / (seeds + excess) if seeds > 0 else 0.0
    return Mean(mean, float(np.sqrt(variance)), freedom, S, n, share)


def looks(seeds: int, adaptive: bool = True) -> dict[int, float]:
    """Returns the number of seeds of each look of a study, and the share of the error of that look.

    The number of seeds grows by half from look to look. Early looks share a small part of the error and the
    last look has the rest, so that a study that runs to the end loses little by looking early.

    Example:
        >>> looks(5), looks(5, adaptive=False), looks(3)
        ({3: 0.2, 5: 0.8}, {5: 1.0}, {3: 1.0})
    """
    early = []
    look = FIRST_LOOK
    while adaptive and look < seeds:
        early.append(look)
        look = ceil(1.5 * look)
    return {**{look: _EARLY / len(early) for look in early}, seeds: 1 - _EARLY if early else 1.0}


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns p-values adjusted by Holm's method, in the given order.

    Example:
        >>> holm([0.01, 0.04, 0.03])
        [0.03, 0.06, 0.06]
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


@dataclass(frozen=True)
class Judgement:
    """The result of a study for one arm.

    Attributes:
        difference: Difference from the arm that it is compared with.
        low: Lower end of the 95% interval, corrected like the p-value, so that it excludes 0 exactly if a
            difference is shown.
        high: Upper end of the interval.
        p_value: P-value, corrected for the looks and, by Holm's method, for the number of arms.
        kind: ``better`` or ``worse`` if a difference is shown, ``same`` if the interval lies within the
            differences that do not matter, else ``open``.
        clear: Whether more seeds cannot change the verdict.
        share: Share of the error of the look.
    """

    difference: Mean
    low: float
    high: float
    p_value: float
    kind: Kind
    clear: bool
    share: float = 1.0


def judge(
    differences: Mapping[str, tuple[Mean, float]],
    *,
    enough: float,
    family: int | None = None,
    higher_is_better: bool = True,
) -> dict[str, Judgement]:
    """Returns a verdict for each arm.

    Args:
        differences: For each arm its difference, and the share of the error of its look (`looks`).
        enough: Largest difference that does not matter.
        family: Number of comparisons in the study. If None, the number of ``differences``.
        higher_is_better: Whether a positive difference is an improvement.

    Example:
        >>> gain = Mean(0.02, 0.004, 30.0, 5, 2000, 0.3)
        >>> judge({"gru": (gain, 0.8)}, enough=0.005)["gru"].kind
        'better'
    """
    family = max(len(differences), family or 0)
    spent = {name: difference.p_value / share for name, (difference, share) in differences.items()}
    # Arms without a difference yet count with a p-value of 1.
    p_values = [*(min(1.0, value) for value in spent.values()), *[1.0] * (family - len(spent))]
    adjusted = holm(p_values)
    # Holm's method ends at the first p-value in ascending order that is too large: its divisor counts for all
    # later ones.
    last = family - sum(value <= ERROR for value in adjusted)
    judged = {}
    for (name, (difference, share)), p_value in zip(differences.items(), adjusted, strict=False):
        real = p_value <= ERROR
        divisor = family - sum(other < spent[name] for other in spent.values()) if real else max(1, last)
        low, high = difference.interval(ERROR * share / divisor)
        small = -enough <= low and high <= enough
        widest = difference.interval(ERROR * share / family)
        kind: Kind = "open"
        if real:
            kind = "better" if (difference.mean > 0) == higher_is_better else "worse"
        elif small:
            kind = "same"
        # Whatever the results of the other arms, Holm's p-value is at most Bonferroni's, and the interval at
        # most as wide.
        clear = family * spent[name] <= ERROR or (-enough <= widest[0] and widest[1] <= enough)
        judged[name] = Judgement(difference, low, high, p_value, kind, clear, share)
    return judged
