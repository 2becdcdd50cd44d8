"""Logistic regressions of several classes over the same sparse features, fitted together.

Dimensions: ``N`` rows, ``F`` features, ``K`` classes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

__all__ = ["Descent", "rows_with"]

_AT_ONCE = 4_000_000
"""Products of an entry and a class that are computed between two reports: some 20 ms."""
_LEAST = 1e-8
"""The first value of all dual variables, as in liblinear."""
_FIRST_LIMIT, _LAST_LIMIT = 1e-2, 1e-8
"""Gradient below which a variable is left as it is, in the first pass, and at the end."""


def rows_with(
    features: csr_matrix, positive: NDArray[np.bool_], tick: Callable[[int], object]
) -> NDArray[np.float32]:
    """Returns in how many rows of each class each feature is stored, of shape (F, K).

    Args:
        features: (N, F).
        positive: whether a row is of a class, (N, K).
        tick: called with numbers of rows.
    """
    from recurra.kernels.cpu.descent import count

    classes = positive.shape[1]
    found = np.zeros((features.shape[1], classes), np.float32)
    starts, columns, _ = _arrays(features)
    flags = _flags(positive)
    for begin, end in _spans(starts, classes):
        count(begin, end, starts, columns, flags, classes, found.reshape(-1))
        tick(end - begin)
    return found


class Descent:
    """Regressions of each class against the rest, improved pass by pass.

    They minimize ``1/2 |w|^2 + C sum log(1 + exp(-y (w . (r x) + b)))`` for each class, with factors ``r`` of
    the features and ``y`` of 1 or -1; ``b`` is the weight of a feature that is always 1, and is in ``|w|``.
    The order of the rows is drawn anew in each pass, the same in every process.

    Args:
        features: (N, F), float32.
        positive: whether a row is of a class, (N, K).
        factors: ``r``, of shape (F, K), float32.
        cost: ``C``.

    Example:
        >>> features = csr_matrix(np.array([[1, 0], [0, 1]], np.float32))
        >>> fit = Descent(features, np.array([[True], [False]]), np.ones((2, 1), np.float32), 10.0)
        >>> sizes = [fit.improve() for _ in range(20)]
        >>> [round(float(weight), 1) for weight in fit.weights[:, 0]]
        [1.6, -1.6]
    """

    def __init__(
        self, features: csr_matrix, positive: NDArray[np.bool_], factors: NDArray[np.float32], cost: float
    ) -> None:
        self._starts, self._columns, self._values = _arrays(features)
        self._positive, (rows, self._classes) = _flags(positive), positive.shape
        self._table = np.zeros((features.shape[1], 2, self._classes), np.float32)
        np.square(factors, out=self._table[:, 1])
        signs = np.where(positive, 1.0, -1.0)
        # The weights that belong to the first dual variables.
        first = min(0.001 * cost, _LEAST)
        self._alphas = np.full(rows * self._classes, first)
        self.biases: NDArray[np.float64] = first * signs.sum(axis=0)
        self._cost, self._limit = cost, _FIRST_LIMIT
        self._random = np.random.default_rng(0)

    @property
    def weights(self) -> NDArray[np.float32]:
        """The weights of the features without factors, ``w r``, of shape (F, K)."""
        return self._table[:, 0]

    def improve(self, tick: Callable[[int], object] = lambda rows: None) -> float:
        """Visits all rows once; returns the mean size of the gradients that were met.

        Args:
            tick: called with the number of rows, some dozens of times a second.
        """
        from recurra.kernels.cpu.descent import descend

        order = self._random.permutation(len(self._starts) - 1)
        report, limits = np.zeros(2), np.array([self._cost, self._limit])
        scores, squares = np.empty((2, self._classes), np.float32)
        for begin, end in _spans(self._starts, self._classes):
            descend(
                order, begin, end, self._starts, self._columns, self._values, self._positive, self._classes,
                self._table.reshape(-1), self.biases, self._alphas, limits, scores, squares, report,
            )  # fmt: skip
            tick(end - begin)
        variables = len(order) * self._classes
        if report[1] <= variables / 10:  # hardly any was changed
            self._limit = max(_LAST_LIMIT, 0.1 * self._limit)
        return float(report[0] / variables)


def _arrays(features: csr_matrix) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float32]]:
    """Returns the beginnings of the rows, the columns and the values, without a copy where possible."""
    return (
        np.ascontiguousarray(features.indptr, np.int64),
        np.ascontiguousarray(features.indices, np.int32),
        np.ascontiguousarray(features.data, np.float32),
    )


def _flags(positive: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(positive).view(np.uint8).reshape(-1)


def _spans(starts: NDArray[Any], classes: int) -> Iterator[tuple[int, int]]:
    """Yields spans of rows with about the same number of entries."""
    rows = len(starts) - 1
    entries = int(starts[-1]) / max(rows, 1) + 1
    size = max(1, int(_AT_ONCE / (entries * classes)))
    for begin in range(0, rows, size):
        yield begin, min(begin + size, rows)
