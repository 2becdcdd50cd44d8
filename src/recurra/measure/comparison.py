"""Two models on the same rows: the difference of their accuracies, its interval, and a sentence."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from scipy.stats import binomtest

from recurra.errors import DataError
from recurra.measure.metrics import wilson_interval

__all__ = ["Comparison", "compare_accuracy", "describe_difference"]


class Comparison(BaseModel):
    """The first model's accuracy less the second's, with its 95% interval; all are shares, not points.

    ``only_first`` and ``only_second`` count the rows that just one of them has right; ``p_value`` is
    McNemar's exact test of these two counts. ``sentence`` says it in words.
    """

    first: str
    second: str
    rows: int
    difference: float
    low: float
    high: float
    only_first: int
    only_second: int
    p_value: float
    shown: bool
    sentence: str


def compare_accuracy(
    first_correct: NDArray[np.bool_],
    second_correct: NDArray[np.bool_],
    first: str = "the model",
    second: str = "the baseline",
) -> Comparison:
    """Compares two models by the rows each has right.

    The interval is Newcombe's for paired proportions: two Wilson intervals, squared and added, less
    what the pairing explains (Newcombe, Statistics in Medicine 17 (1998), method 10). A difference counts as
    shown when the interval leaves out 0.

    Args:
        first_correct: ``(N,)`` whether the first model has each row right (see ``correct_rows``).
        second_correct: the same rows for the second.
        first: what the sentence calls the first model.
        second: what it calls the second.

    Raises:
        DataError: there is no row.

    Example:
        >>> a, b = np.arange(1000) < 900, np.arange(1000) < 880
        >>> print(compare_accuracy(a, b, "the LSTM").sentence)
        the LSTM is ahead of the baseline by 2.0 points (1.1 to 3.0)
    """
    a, b = np.asarray(first_correct, bool), np.asarray(second_correct, bool)
    if a.shape != b.shape:
        raise ValueError(f"the models were run on different rows: {a.shape} and {b.shape}")
    if len(a) == 0:
        raise DataError("there is no row to compare on")
    both, neither = int((a & b).sum()), int((~a & ~b).sum())
    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    low, high = _newcombe(both, only_a, only_b, neither)
    difference = (only_a - only_b) / len(a)
    discordant = only_a + only_b
    shown = low > 0 or high < 0
    return Comparison(
        first=first,
        second=second,
        rows=len(a),
        difference=difference,
        low=low,
        high=high,
        only_first=only_a,
        only_second=only_b,
        p_value=float(binomtest(only_a, discordant).pvalue) if discordant else 1.0,
        shown=shown,
        sentence=describe_difference(first, second, difference, low, high, shown),
    )


def _newcombe(both: int, only_a: int, only_b: int, neither: int) -> tuple[float, float]:
    n = both + only_a + only_b + neither
    in_a, in_b = both + only_a, both + only_b
    a, b = in_a / n, in_b / n
    low_a, high_a = wilson_interval(in_a, n)
    low_b, high_b = wilson_interval(in_b, n)
    margins = in_a * (n - in_a) * in_b * (n - in_b)
    excess = float(both * neither - only_a * only_b)
    if excess > 0:
        excess = max(0.0, excess - n / 2)  # Newcombe's continuity correction
    phi = excess / sqrt(margins) if margins else 0.0

    def reach(x: float, y: float) -> float:
        return sqrt(max(0.0, x * x - 2 * phi * x * y + y * y))

    low = a - b - reach(a - low_a, high_b - b)
    high = a - b + reach(high_a - a, b - low_b)
    return max(-1.0, low), min(1.0, high)


def describe_difference(
    first: str, second: str, difference: float, low: float, high: float, shown: bool
) -> str:
    """A difference of two shares and its interval, in words."""
    points, ends = 100 * difference, sorted((100 * low, 100 * high))
    if shown:
        word = "ahead of" if points > 0 else "behind"
        near, far = sorted(abs(end) for end in ends)
        return f"{first} is {word} {second} by {abs(points):.1f} points ({near:.1f} to {far:.1f})"
    span = f"{points:+.1f} points ({ends[0]:+.1f} to {ends[1]:+.1f})"
    return f"no difference shown between {first} and {second}: {span}"
