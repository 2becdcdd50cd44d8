"""Comparison of two models on the same rows: accuracy, and macro-F1 where it says something else."""

from __future__ import annotations

from math import sqrt
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from scipy.sparse import csr_matrix, hstack

from recurra.errors import DataError
from recurra.measure.bootstrap import Difference, ends, resampled_groups
from recurra.measure.metrics import wilson_interval

__all__ = [
    "Comparison",
    "compare_accuracy",
    "compare_macro_f1",
    "compare_predictions",
    "difference_in_words",
    "one_hot",
]


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
        macro_f1: The difference of the macro-F1, by `weighed`; None if it was not computed.
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
    macro_f1: Difference | None = None

    @property
    def better(self) -> bool:
        """Whether the first model has the higher accuracy."""
        return self.difference > 0

    @property
    def verdict(self) -> Literal["good", "bad", ""]:
        """``good`` or ``bad`` if a difference is shown and accuracy and macro-F1 do not contradict."""
        shown = {each.difference > 0 for each in (self, self.macro_f1) if each is not None and each.shown}
        return "" if len(shown) != 1 else "good" if shown.pop() else "bad"

    def weighed(self, macro_f1: Difference) -> Comparison:
        """Returns the comparison with the difference of the macro-F1, which the sentence has if it matters.

        It does if it is shown and the accuracy is level or says the opposite, or if the accuracy is shown and
        the macro-F1 points the other way.

        Example:
            >>> a, b = np.arange(1000) % 10 > 0, np.arange(1000) % 10 < 9
            >>> f1 = Difference(first="a", second="b", difference=-0.1, low=-0.2, high=-0.05, shown=True,
            ...     sentence="a is behind b by 0.100 (0.050 to 0.200)")
            >>> compare_accuracy(a, b, "a", "b").weighed(f1).sentence.split("; ")[1]
            'by macro-F1, which counts every class alike, a is behind b by 0.100 (0.050 to 0.200)'
        """
        opposite = self.difference * macro_f1.difference < 0
        matters = (macro_f1.shown and (opposite or not self.shown)) or (self.shown and opposite)
        more = f"; by macro-F1, which counts every class alike, {macro_f1.sentence}" if matters else ""
        return Comparison.model_validate(
            {**dict(self), "macro_f1": macro_f1, "sentence": self.sentence + more}
        )

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
    from scipy.stats import binomtest

    a, b = np.asarray(first_correct, bool), np.asarray(second_correct, bool)
    if a.shape != b.shape:
        raise ValueError(f"the models were run on different rows: {a.shape} and {b.shape}")
    if len(a) == 0:
        raise DataError("there is no row to compare on")
    only_a, only_b = int((a & ~b).sum()), int((~a & b).sum())
    interval = _newcombe(int((a & b).sum()), only_a, only_b, int((~a & ~b).sum()))
    p_value = float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0
    return Comparison.of((a, b), (first, second), interval, p_value)


def compare_predictions(
    truth: NDArray[Any],
    first_predicted: NDArray[Any],
    second_predicted: NDArray[Any],
    classes: int,
    names: tuple[str, str] = ("the model", "the baseline"),
) -> Comparison:
    """Returns `compare_accuracy` of two models, weighed by `compare_macro_f1`, whose arguments it has."""
    same = np.asarray(truth) > 0 if np.ndim(truth) == 2 else np.asarray(truth)
    correct, others = (
        (np.asarray(predicted) == same).reshape(len(same), -1).all(axis=1)
        for predicted in (first_predicted, second_predicted)
    )
    accuracy = compare_accuracy(correct, others, *names)
    return accuracy.weighed(compare_macro_f1(truth, first_predicted, second_predicted, classes, names))


def compare_macro_f1(
    truth: NDArray[Any],
    first_predicted: NDArray[Any],
    second_predicted: NDArray[Any],
    classes: int,
    names: tuple[str, str] = ("the model", "the baseline"),
) -> Difference:
    """Compares the macro-F1 of two models on the same rows.

    Macro-F1 is the mean F1 of the classes that occur or were predicted. The interval is that of 2,000 paired
    bootstrap samples of the rows. Its time depends on classes times rows up to 2,000 rows, and not on further
    rows.

    Args:
        truth: True classes of shape ``(N,)``, or 0 and 1 of shape ``(N, C)`` for multi-label.
        first_predicted: Predictions of the first model, in the same form.
        second_predicted: Those of the second model.
        classes: ``C``.
        names: Names of the models in the sentence.

    Raises:
        DataError: If there is no row.

    Example:
        >>> truth = np.arange(200) % 4
        >>> compare_macro_f1(truth, truth, truth % 3, 4, ("a", "b")).sentence
        'a is ahead of b by 0.333 (0.312 to 0.356)'
    """
    if len(truth) == 0:
        raise DataError("there is no row to compare on")
    true, first, second = (one_hot(labels, classes) for labels in (truth, first_predicted, second_predicted))
    counts = csr_matrix(hstack([true, first, second, true.multiply(first), true.multiply(second)]))
    difference = float(_macro_difference(np.asarray(counts.sum(axis=0), np.float64))[0])
    low, high = ends(np.concatenate([_macro_difference(sums) for sums in resampled_groups(counts)]))
    shown = low > 0 or high < 0
    if shown:
        near, far = sorted((abs(low), abs(high)))
        word = "ahead of" if difference > 0 else "behind"
        said = f"{names[0]} is {word} {names[1]} by {abs(difference):.3f} ({near:.3f} to {far:.3f})"
    else:
        said = f"no difference is shown: {difference:+.3f} ({low:+.3f} to {high:+.3f})"
    first_name, second_name = names
    return Difference(
        first=first_name,
        second=second_name,
        difference=difference,
        low=low,
        high=high,
        shown=shown,
        sentence=said,
    )


def one_hot(labels: NDArray[Any], classes: int) -> csr_matrix:
    """Returns ones where a row has a class, of shape (N, C)."""
    if labels.ndim == 2:
        return csr_matrix(labels > 0, dtype=np.float64)
    rows = np.arange(len(labels))
    return csr_matrix((np.ones(len(labels)), (rows, labels.astype(np.int64))), (len(labels), classes))


def _macro_difference(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the difference of two macro-F1 of counts (R, 5C): true, predicted by each, right by each."""
    true, first, second, first_right, second_right = np.split(sums, 5, axis=1)
    macro = []
    for predicted, right in ((first, first_right), (second, second_right)):
        either = true + predicted
        f1 = 2 * right / np.maximum(either, 1)
        macro.append(f1.sum(axis=1) / np.maximum((either > 0).sum(axis=1), 1))
    return np.asarray(macro[0] - macro[1])


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
