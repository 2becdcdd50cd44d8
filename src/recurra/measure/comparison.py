"""Comparison of the accuracies of two models on the same rows."""

from __future__ import annotations

from math import sqrt

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from scipy.stats import binomtest

from recurra.errors import DataError
from recurra.measure.metrics import wilson_interval

__all__ = ["Comparison", "compare_accuracy", "difference_in_words"]


class Comparison(BaseModel):
    """The difference of two accuracies with its 95% interval, as shares (not points).

    Attributes:
        first: Name of the first model in sentences.
        second: Name of the second model.
        rows: Number of rows.
        difference: Accuracy of the first model minus that of the second.
        low: Lower end of the interval.
        high: Upper end of the interval.
        only_first: Number of rows that only the first model has right.
        only_second: Number of rows that only the second model has right.
        p_value: McNemar's exact test of these two counts.
        shown: Whether the interval excludes 0.
        sentence: The result in words.
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

    @property
    def better(self) -> bool:
        """Whether the first model has the higher accuracy."""
        return self.difference > 0

    @classmethod
    def of(
        cls,
        correct: tuple[NDArray[np.bool_], NDArray[np.bool_]],
        names: tuple[str, str],
        interval: tuple[float, float],
        p_value: float,
    ) -> Comparison:
        """Returns the comparison of two models by whether each has each row right."""
        (a, b), (first, second), (low, high) = correct, names, interval
        difference = (int(a.sum()) - int(b.sum())) / len(a)
        return cls(
            first=first,
            second=second,
            rows=len(a),
            difference=difference,
            low=low,
            high=high,
            only_first=int((a & ~b).sum()),
            only_second=int((b & ~a).sum()),
            p_value=p_value,
            shown=low > 0 or high < 0,
            sentence=difference_in_words(names, difference, interval),
        )


def difference_in_words(names: tuple[str, str], difference: float, interval: tuple[float, float]) -> str:
    """Returns the difference of two shares as a sentence; it is shown if the interval excludes 0.

    Example:
        >>> difference_in_words(("the LSTM", "the baseline"), 0.02, (-0.01, 0.05))
        'no difference shown between the LSTM and the baseline: +2.0 points (-1.0 to +5.0)'
    """
    (first, second), points, (low, high) = names, 100 * difference, (100 * interval[0], 100 * interval[1])
    if low > 0 or high < 0:
        word = "ahead of" if points > 0 else "behind"
        near, far = sorted((abs(low), abs(high)))
        return f"{first} is {word} {second} by {abs(points):.1f} points ({near:.1f} to {far:.1f})"
    span = f"{points:+.1f} points ({low:+.1f} to {high:+.1f})"
    return f"no difference shown between {first} and {second}: {span}"


def compare_accuracy(
    first_correct: NDArray[np.bool_],
    second_correct: NDArray[np.bool_],
    first: str = "the model",
    second: str = "the baseline",
) -> Comparison:
    """Compares two models by the rows that each predicts right.

    The interval is Newcombe's for paired proportions (Newcombe, Statistics in Medicine 17 (1998), method 10).
    A difference is shown if the interval excludes 0.

    Args:
        first_correct: Whether the first model has each row right, of shape ``(N,)`` (see ``correct_rows``).
        second_correct: The same for the second model.
        first: Name of the first model in the sentence.
        second: Name of the second model.

    Raises:
        DataError: If there is no row.

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
    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    interval = _newcombe(int((a & b).sum()), only_a, only_b, int((~a & ~b).sum()))
    p_value = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return Comparison.of((a, b), (first, second), interval, p_value)


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
