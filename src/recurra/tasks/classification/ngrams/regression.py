"""Logistic regressions over n-grams weighted by naive Bayes log-count ratios, one for each class.

Source: Wang and Manning, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification", ACL 2012,
with logistic regression instead of an SVM (Mesnil et al. 2014), for probabilities.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recurra.layers import Descent, rows_with
from recurra.tasks.classification.ngrams.state import Arrays

__all__ = ["Regressions", "passes_of"]

_COST = 20.0
_TOLERANCE = 0.005
"""Mean size of the gradients of the dual problem at which the descent ends."""
_PASSES = 8, 100
_WORK = 300_000_000
"""Products of an entry and a class in all passes, some 3 s. Where eight passes are more than that, eight are
done: on a million texts, the accuracy of later ones differs by less than 0.1 points."""
_LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Regressions:
    """``K`` regressions of a class against the rest over ``F`` features.

    Attributes:
        weights: of shape (F, K), float32, rounded to float16, in which they are saved: on reviews of IMDB
            the log-odds differ by 0.002 at most, their standard deviation is 3.
        biases: of shape (K,), float64.
    """

    weights: NDArray[np.float32]
    biases: NDArray[np.float64]

    @classmethod
    def fit(cls, features: csr_matrix, positive: NDArray[np.bool_], tick: Callable[[int], object]) -> Self:
        """Fits the regressions of all classes together.

        Args:
            features: ``(N, F)`` rows of length 1 or 0, float32.
            positive: whether a row is of a class, of shape (N, K).
            tick: called with the number of rows that were visited, some dozens of times a second; ``N`` times
                ``passes_of`` in all.
        """
        rows, hits = len(positive), positive.sum(axis=0)
        weights = np.zeros((features.shape[1], positive.shape[1]), np.float32)
        biases = np.log((hits + 0.5) / (rows - hits + 0.5))  # of a class that all rows are of, or none
        several = np.flatnonzero((hits > 0) & (hits < rows))
        most, passes = passes_of(features.nnz, positive.shape[1]), 0
        if features.nnz and len(several):
            chosen = positive[:, several]
            descent = Descent(features, chosen, _ratios(features, chosen, tick), _COST)
            passes, size = 1, np.inf  # the first one was that for the ratios
            while passes < most and size >= _TOLERANCE:
                size = descent.improve(tick)
                passes += 1
            weights[:, several], biases[several] = descent.weights, descent.biases
        tick((most - passes) * rows)
        # Rounded here and not when it is saved, so that the saved model is the same.
        return cls(weights.clip(-_LARGEST, _LARGEST).astype(np.float16).astype(np.float32), biases)

    def scores(self, features: csr_matrix) -> NDArray[np.float64]:
        """Returns the log-odds of each class, of shape (N, K).

        Features are float32: a product with another type would first convert all weights.
        """
        return np.asarray((features @ self.weights).astype(np.float64) + self.biases)

    def parts(self, columns: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the parts of ``n`` features of one row in its scores, of shape (n, K)."""
        return np.asarray(values[:, None] * self.weights[columns], np.float64)

    def effects(self, column: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Returns the columns of the features, and their weights in a regression."""
        return np.arange(len(self.weights)), self.weights[:, column].astype(np.float64)

    def state(self) -> dict[str, NDArray[Any]]:
        """Returns the arrays of `from_state`."""
        return {"weights": self.weights.astype(np.float16), "biases": self.biases}

    @classmethod
    def from_state(cls, arrays: Arrays, features: int, classes: int) -> Self:
        """Returns the regressions of saved arrays.

        Raises:
            BundleError: an array is damaged.
        """
        weights = arrays.take("weights", np.float16, features, classes)
        return cls(weights.astype(np.float32), arrays.take("biases", np.float64, classes))


def passes_of(entries: int, classes: int) -> int:
    """Returns how often `Regressions.fit` goes through the rows at most.

    Args:
        entries: stored values of the features.
        classes: the number of regressions.
    """
    return 1 + int(np.clip(_WORK // max(1, entries * classes), *_PASSES))


def _ratios(
    features: csr_matrix, positive: NDArray[np.bool_], tick: Callable[[int], object]
) -> NDArray[np.float32]:
    """Returns the log-count ratios of the features for each class, of shape (F, K)."""
    ratios = rows_with(features, positive, tick)
    frequencies = np.bincount(features.indices, minlength=len(ratios))
    for number in range(ratios.shape[1]):  # one class at a time, in double precision
        p = ratios[:, number] + 1.0
        q = frequencies - p + 2.0
        ratios[:, number] = np.log(p / p.sum()) - np.log(q / q.sum())
    return ratios
