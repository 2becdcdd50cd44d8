"""The baselines of forecasting: persistence, the value one season before the target, ridge regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

__all__ = ["RidgeBaseline", "persistence", "seasonal"]

_RECENT = 48  # newest points of a window that are features of the regression
_MAX_FEATURES = 1_000
_MAX_WINDOWS = 30_000
_ALPHAS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)
_CHUNK = 4_096


def persistence(last: NDArray[np.float64], rows: NDArray[np.int64], ahead: NDArray[np.int64]) -> NDArray[Any]:
    """Returns the last known value of each window as its forecasts, of shape (N, K).

    Args:
        last: last known target up to each row, of shape (M,).
        rows: current row of each window, of shape (N,).
        ahead: number of rows from there to each target, of shape (K,).
    """
    return np.repeat(last[rows][:, None], len(ahead), axis=1)


def seasonal(
    last: NDArray[np.float64], rows: NDArray[np.int64], ahead: NDArray[np.int64], period: int
) -> NDArray[Any]:
    """Returns the value a whole number of seasons before each target, of shape (N, K).

    The number of seasons is the smallest one for which the value is known.

    Args:
        last: last known target up to each row, of shape (M,).
        rows: current row of each window, of shape (N,).
        ahead: number of rows from there to each target, of shape (K,).
        period: number of rows of a season.

    Example:
        >>> seasonal(np.arange(10.0), np.array([5]), np.array([1, 3, 4]), 3).tolist()
        [[3.0, 5.0, 3.0]]
    """
    behind = ahead - period * -(-ahead // period)
    return np.asarray(last[np.maximum(rows[:, None] + behind, 0)])


@dataclass(frozen=True)
class _Features:
    """The features of a window for the regression: its newest points, and the mean over all points."""

    behind: NDArray[np.int64]
    recent: NDArray[np.int64]

    def of(self, inputs: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        parts = []
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK, None]
            flat = inputs[chunk + self.recent].reshape(len(chunk), -1)
            parts.append(np.hstack([flat, inputs[chunk + self.behind].mean(axis=1)]))
        return np.concatenate(parts).astype(np.float64)


class RidgeBaseline:
    """Ridge regression of the change from the last known value.

    The features are the newest 48 points of a window (fewer if they have more than 1,000 values) and its
    mean. The penalty is the one of five with the lowest error on the validation windows. If there are more
    than 30,000 training windows, every n-th is used.

    Args:
        behind: offsets of the input rows from the current row, of shape (T,).
        ahead: offsets of the forecast rows, of shape (K,).
    """

    def __init__(self, behind: NDArray[np.int64], ahead: NDArray[np.int64]) -> None:
        self.behind = np.sort(behind)
        self.ahead = ahead
        self.alpha = 0.0
        self._model: Ridge | None = None
        self._features: _Features | None = None

    def fit(
        self,
        inputs: NDArray[np.float32],
        target: NDArray[np.float64],
        last: NDArray[np.float64],
        training: NDArray[np.int64],
        validation: tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]],
    ) -> None:
        """Fits on the training windows and chooses the penalty on the validation windows.

        Args:
            inputs: the rows, of shape (M, E).
            target: the target, of shape (M,), known for all training windows.
            last: last known target up to each row, of shape (M,).
            training: current row of each training window, of shape (N,).
            validation: inputs, target, last and rows of the validation windows.
        """
        points = max(1, min(_RECENT, len(self.behind), _MAX_FEATURES // inputs.shape[1] - 1))
        self._features = _Features(self.behind, self.behind[-points:])
        stride = max(1, -(-len(training) // _MAX_WINDOWS))
        rows = training[::stride]
        x, y = self._features.of(inputs, rows), target[rows[:, None] + self.ahead] - last[rows][:, None]
        valid_inputs, valid_target, valid_last, valid_rows = validation
        valid_x = self._features.of(valid_inputs, valid_rows)
        truth = valid_target[valid_rows[:, None] + self.ahead] - valid_last[valid_rows][:, None]
        best = np.inf
        for alpha in _ALPHAS:
            model = Ridge(alpha=alpha, solver="cholesky").fit(x, y)
            error = float(np.abs(model.predict(valid_x).reshape(truth.shape) - truth).mean())
            if error < best:
                best, self.alpha, self._model = error, alpha, model

    def predict(
        self, inputs: NDArray[np.float32], last: NDArray[np.float64], rows: NDArray[np.int64]
    ) -> NDArray[Any]:
        """Returns forecasts of the windows at ``rows`` in the unit of the target, of shape (N, K).

        Raises:
            RuntimeError: the regression is not fitted.
        """
        if self._model is None or self._features is None:
            raise RuntimeError("the regression is not fitted")
        change = self._model.predict(self._features.of(inputs, rows)).reshape(len(rows), len(self.ahead))
        return np.asarray(change + last[rows][:, None])
