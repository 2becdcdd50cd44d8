"""The baseline for many classes: the cosine of a text and the mean of each class (Rocchio's classifier).

One pass over the n-grams trains it, and its memory is that of the n-grams that occur in each class, where a
regression for each class takes minutes and a matrix of all n-grams by all classes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import expit, softmax, xlogy

__all__ = ["Centroids"]

_CELLS = 4_000_000
"""Cosines in memory at once, 32 MB."""
_LARGEST_LOG_SCALE = 7.0


class Centroids:
    """Probabilities from the cosines of texts and classes.

    ``softmax(k cos + w q)`` for one class a row, ``sigmoid(k cos + w q + b)`` for each class for multi-label,
    where ``q`` is the logarithm of the share of rows of the class. ``k``, ``w`` and ``b`` have the smallest
    log loss on training rows, each left out of the mean of its own classes.

    Args:
        features: ``(N, F)`` rows of length 1 or 0.
        truth: ``(N, C)`` ones where a row is of a class, sparse.
        multilabel: whether a row has none or several classes.

    Example:
        >>> features = csr_matrix(np.eye(2)[[0, 0, 1, 1]])
        >>> model = Centroids(features, csr_matrix(np.eye(2)[[0, 0, 1, 1]]), multilabel=False)
        >>> model.probabilities(features[:1]).argmax(axis=1).tolist()
        [0]
    """

    def __init__(self, features: csr_matrix, truth: csr_matrix, *, multilabel: bool) -> None:
        self.multilabel = multilabel
        self._sums = csr_matrix(truth.T @ features)
        self._squares = np.asarray(self._sums.multiply(self._sums).sum(axis=1)).ravel()
        shares = np.asarray(truth.sum(axis=0)).ravel() + 0.5
        self._log_shares = np.log(shares / (truth.shape[0] + 1))
        self._scale, self._shift = 1.0, self._log_shares
        rows = np.unique(np.linspace(0, truth.shape[0] - 1, self.rows_at_once).astype(np.int64))
        if features.shape[1]:
            self._fit_scale(features[rows], truth[rows].toarray())

    @property
    def rows_at_once(self) -> int:
        """The rows whose probabilities are computed at once."""
        return int(np.clip(_CELLS // self._sums.shape[0], 1, 2_048))

    def probabilities(self, features: csr_matrix) -> NDArray[np.float64]:
        """Returns the probabilities of the classes, of shape ``(n, C)``."""
        products = (features @ self._sums.T).toarray()
        return self._squashed(_cosines(products, self._squares))

    def effects(self, label: int) -> NDArray[np.float64]:
        """Returns the part of each n-gram in the score of a class, less that in the mean score: ``(F,)``."""
        lengths = np.sqrt(np.maximum(self._squares, np.finfo(float).tiny))
        own = self._sums[label].toarray().ravel() / lengths[label]
        mean = np.asarray(self._sums.multiply(1 / lengths[:, None]).mean(axis=0)).ravel()
        return np.asarray(self._scale * (own - mean))

    def _squashed(self, cosines: NDArray[np.float64]) -> NDArray[np.float64]:
        scores = self._scale * cosines + self._shift
        return np.asarray(expit(scores) if self.multilabel else softmax(scores, axis=1))

    def _fit_scale(self, features: csr_matrix, truth: NDArray[Any]) -> None:
        products = (features @ self._sums.T).toarray()
        # A row x left out of the sum S of its class: x (S - x) = x S - 1, and |S - x|^2 = |S|^2 - 2 x S + 1.
        squares = np.where(truth > 0, self._squares - 2 * products + 1, self._squares)
        cosines = _cosines(np.where(truth > 0, products - 1, products), squares)
        smallest = np.finfo(np.float64).eps

        def loss(values: NDArray[np.float64]) -> float:
            self._scale = float(np.exp(values[0]))
            self._shift = values[1] * self._log_shares + values[2]
            p = np.clip(self._squashed(cosines), smallest, 1 - smallest)
            negative = xlogy(1 - truth, 1 - p).sum() if self.multilabel else 0.0
            return float(-(xlogy(truth, p).sum() + negative) / len(truth))

        bounds = [(-5.0, _LARGEST_LOG_SCALE), (0.0, 2.0), (-20.0, 20.0) if self.multilabel else (0.0, 0.0)]
        found = minimize(loss, [2.0, 1.0, 0.0], method="L-BFGS-B", bounds=bounds)
        loss(found.x)


def _cosines(products: NDArray[np.float64], squares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns products of unit rows with sums, divided by the lengths of the sums; 0 for an empty sum."""
    # Of a class of one row nothing is left but rounding.
    lengths = np.sqrt(np.maximum(squares, 1e-9))
    return np.asarray(np.where(squares > 1e-9, products / lengths, 0.0))
