"""Logistic regressions over n-grams weighted by naive Bayes log-count ratios, one for each class.

Source: Wang and Manning, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification", ACL 2012,
with logistic regression instead of an SVM (Mesnil et al. 2014), for probabilities.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recurra.tasks.classification.ngrams.state import Arrays

__all__ = ["Regressions"]

# liblinear's own default. With scikit-learn's 1e-4, the time is 2.4 times as long, and on validation rows of
# SST-2, AG News and ChnSentiCorp one row at most is predicted differently.
_TOLERANCE = 0.1
_ITERATIONS = 300
_LARGEST = float(np.finfo(np.float16).max)
_PATIENCE = 0.1
_LIBLINEAR = threading.Lock()
"""Held by one regression at a time: liblinear has one random generator for all threads."""


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
    def fit(
        cls, features: csr_matrix, positives: Sequence[NDArray[np.bool_]], tick: Callable[[int], object]
    ) -> Self:
        """Fits the regressions.

        Args:
            features: ``(N, F)`` rows of length 1 or 0.
            positives: for each class, whether a row is of it.
            tick: called with 1 after each class.
        """
        weights = np.zeros((features.shape[1], len(positives)), np.float32)
        biases = np.zeros(len(positives))
        frequencies = np.bincount(features.indices, minlength=features.shape[1])
        for number, positive in enumerate(positives):
            weights[:, number], biases[number] = _fit_class(features, frequencies, positive, tick)
            tick(1)
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


def _fit_class(
    features: csr_matrix,
    frequencies: NDArray[np.int64],
    positive: NDArray[np.bool_],
    tick: Callable[[int], object],
) -> tuple[NDArray[Any], float]:
    width, hits, rows = features.shape[1], int(positive.sum()), len(positive)
    if not features.nnz or hits in (0, rows):
        return np.zeros(width), float(np.log((hits + 0.5) / (rows - hits + 0.5)))
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    inside = np.bincount(features[positive].indices, minlength=width)
    p, q = inside + 1.0, frequencies - inside + 1.0
    ratio = np.log(p / p.sum()) - np.log(q / q.sum())
    weighted = csr_matrix(
        (features.data * ratio[features.indices], features.indices, features.indptr), features.shape
    )
    model = LogisticRegression(
        C=20.0, solver="liblinear", dual=True, tol=_TOLERANCE, max_iter=_ITERATIONS, random_state=0
    )
    with warnings.catch_warnings():
        # The limit max_iter bounds the time; the result is used even if it has not converged.
        warnings.simplefilter("ignore", ConvergenceWarning)
        _in_background(lambda: model.fit(weighted, positive), tick)
    return ratio * model.coef_[0], float(model.intercept_[0])


def _in_background(work: Callable[[], object], tick: Callable[[int], object]) -> None:
    """Calls ``work`` in a thread and waits: Ctrl-C ends the wait, while liblinear can't be interrupted.

    Meanwhile, ``tick`` is called with 0, so that a progress bar shows that something goes on.
    """
    errors: list[BaseException] = []

    def run() -> None:
        try:
            with _LIBLINEAR:
                work()
        except BaseException as error:  # noqa: BLE001 - raised again by the waiting thread
            errors.append(error)

    # A daemon, for which the process does not wait at its end.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(_PATIENCE)
        tick(0)
    if errors:
        raise errors[0]
