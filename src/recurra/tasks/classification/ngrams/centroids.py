"""The n-gram model for many classes: the cosine of a text and the mean of each class (Rocchio's classifier).

One pass over the n-grams trains it, and its memory is that of the n-grams that occur in each class, where a
regression for each class takes minutes and a matrix of all n-grams by all classes.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import expit, softmax, xlogy

from recurra.tasks.classification.ngrams.state import Arrays, damaged

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
        sums: ``(C, F)``, the sums of the rows of each class, sparse.
        shift: ``w q + b``, of shape ``(C,)``.
        scale: ``k``.
        multilabel: whether a row has none or several classes.

    Example:
        >>> features = csr_matrix(np.eye(2)[[0, 0, 1, 1]])
        >>> model = Centroids.fit(features, csr_matrix(np.eye(2)[[0, 0, 1, 1]]), multilabel=False)
        >>> model.scores(features[:1]).argmax(axis=1).tolist()
        [0]
    """

    def __init__(
        self, sums: csr_matrix, shift: NDArray[np.float64], scale: float, *, multilabel: bool
    ) -> None:
        self.multilabel = multilabel
        self._sums = csr_matrix(sums, dtype=np.float32)  # as it is saved
        self._shift, self._scale = shift, scale
        wide = self._sums.astype(np.float64)
        self._squares = np.asarray(wide.multiply(wide).sum(axis=1)).ravel()
        self._lengths = np.sqrt(np.maximum(self._squares, np.finfo(float).tiny))
        self._mean = np.asarray(wide.multiply(1 / self._lengths[:, None]).mean(axis=0)).ravel()

    @classmethod
    def fit(cls, features: csr_matrix, truth: csr_matrix, *, multilabel: bool) -> Self:
        """Returns the model of training rows.

        Args:
            features: ``(N, F)`` rows of length 1 or 0.
            truth: ``(N, C)`` ones where a row is of a class, sparse.
            multilabel: whether a row has none or several classes.
        """
        shares = np.asarray(truth.sum(axis=0)).ravel() + 0.5
        log_shares = np.log(shares / (truth.shape[0] + 1))
        model = cls(csr_matrix(truth.T @ features), log_shares, 1.0, multilabel=multilabel)
        rows = np.unique(np.linspace(0, truth.shape[0] - 1, model.rows_at_once).astype(np.int64))
        if features.shape[1]:
            model._fit_scale(features[rows], truth[rows].toarray(), log_shares)
        return model

    @property
    def rows_at_once(self) -> int:
        """The rows whose probabilities are computed at once."""
        return int(np.clip(_CELLS // self._sums.shape[0], 1, 2_048))

    def scores(self, features: csr_matrix) -> NDArray[np.float64]:
        """Returns the logits of the classes, of shape ``(n, C)``."""
        return self._scores(_cosines((features @ self._sums.T).toarray(), self._squares))

    def parts(self, columns: NDArray[np.int64], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the parts of ``n`` features of one row in its logits, of shape ``(n, C)``."""
        shares = _cosines(self._sums[:, columns].toarray().T, self._squares)
        return np.asarray(self._scale * values[:, None] * shares)

    def state(self) -> dict[str, NDArray[Any]]:
        """Returns the arrays of `from_state`."""
        return {
            "sums": self._sums.data,
            "sums_columns": self._sums.indices.astype(np.int64),
            "sums_rows": self._sums.indptr.astype(np.int64),
            "shift": self._shift,
            "scale": np.array([self._scale]),
        }

    @classmethod
    def from_state(cls, arrays: Arrays, features: int, classes: int, *, multilabel: bool) -> Self:
        """Returns the model of saved arrays.

        Raises:
            BundleError: an array is damaged.
        """
        sums = arrays.take("sums", np.float32, -1)
        columns = arrays.between("sums_columns", 0, features, len(sums))
        rows = arrays.between("sums_rows", 0, len(sums) + 1, classes + 1)
        if rows[0] != 0 or rows[-1] != len(sums) or (np.diff(rows) < 0).any():
            raise damaged("sums_rows are not the rows of sums")
        matrix = csr_matrix((sums, columns, rows), (classes, features))
        scale = float(arrays.take("scale", np.float64, 1)[0])
        return cls(matrix, arrays.take("shift", np.float64, classes), scale, multilabel=multilabel)

    def effects(self, label: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Returns the columns of the n-grams of a class, and their part in its score less the mean part."""
        own = self._sums[[label]]
        values = self._scale * (own.data / self._lengths[label] - self._mean[own.indices])
        return own.indices.astype(np.int64), np.asarray(values, np.float64)

    def _scores(self, cosines: NDArray[np.float64]) -> NDArray[np.float64]:
        return self._scale * cosines + self._shift

    def _fit_scale(self, features: csr_matrix, truth: NDArray[Any], log_shares: NDArray[np.float64]) -> None:
        from scipy.optimize import minimize

        products = (features @ self._sums.T).toarray()
        # A row x left out of the sum S of its class: x (S - x) = x S - 1, and |S - x|^2 = |S|^2 - 2 x S + 1.
        squares = np.where(truth > 0, self._squares - 2 * products + 1, self._squares)
        cosines = _cosines(np.where(truth > 0, products - 1, products), squares)
        smallest = np.finfo(np.float64).eps

        def loss(values: NDArray[np.float64]) -> float:
            self._scale = float(np.exp(values[0]))
            self._shift = values[1] * log_shares + values[2]
            scores = self._scores(cosines)
            p = np.clip(expit(scores) if self.multilabel else softmax(scores, axis=1), smallest, 1 - smallest)
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
