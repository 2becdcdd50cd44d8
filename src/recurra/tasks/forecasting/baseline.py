"""What a forecaster has to beat: the value now, the value a season before the target, a ridge regression."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import Ridge

__all__ = ["RidgeBaseline", "persistence", "seasonal"]

_RECENT = 48  # points of a window that the regression reads one by one
_WIDEST = 1_000  # numbers it reads in all
_MOST_WINDOWS = 30_000
_ALPHAS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)
_AT_ONCE = 4_096


def persistence(last: NDArray[np.float64], rows: NDArray[np.int64], ahead: NDArray[np.int64]) -> NDArray[Any]:
    """``(N, K)`` the last known value at each window's present, for all that comes.

    Args:
        last: ``(M,)`` the last known target up to each row.
        rows: ``(N,)`` the present row of each window.
        ahead: ``(K,)`` rows from there to each target.
    """
    return np.repeat(last[rows][:, None], len(ahead), axis=1)


def seasonal(
    last: NDArray[np.float64], rows: NDArray[np.int64], ahead: NDArray[np.int64], period: int
) -> NDArray[Any]:
    """``(N, K)`` the last known value as many whole seasons before each target as make it known.

    Args:
        last: ``(M,)`` the last known target up to each row.
        rows: ``(N,)`` the present row of each window.
        ahead: ``(K,)`` rows from there to each target.
        period: rows of a season.

    Example:
        >>> seasonal(np.arange(10.0), np.array([5]), np.array([1, 3, 4]), 3).tolist()
        [[3.0, 5.0, 3.0]]
    """
    behind = ahead - period * -(-ahead // period)
    return np.asarray(last[np.maximum(rows[:, None] + behind, 0)])


@dataclass(frozen=True)
class _Reads:
    """What the regression reads of a window: its newest points one by one, and the mean of them all."""

    behind: NDArray[np.int64]
    recent: NDArray[np.int64]

    def of(self, inputs: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        parts = []
        for begin in range(0, len(rows), _AT_ONCE):
            some = rows[begin : begin + _AT_ONCE, None]
            flat = inputs[some + self.recent].reshape(len(some), -1)
            parts.append(np.hstack([flat, inputs[some + self.behind].mean(axis=1)]))
        return np.concatenate(parts).astype(np.float64)


class RidgeBaseline:
    """Ridge regression of the change from the last known value, on a window's newest points and its mean.

    The newest 48 points are read one by one (fewer, where that would be more than 1,000 numbers), of the
    others only the mean of the window. The strength of the penalty is the one of five that does best on the
    validation windows; more than 30,000 training windows are thinned evenly.

    Args:
        behind: ``(T,)`` rows read, counted from the present one, the oldest first.
        ahead: ``(K,)`` rows forecast.
    """

    def __init__(self, behind: NDArray[np.int64], ahead: NDArray[np.int64]) -> None:
        self.behind = np.sort(behind)
        self.ahead = ahead
        self.alpha = 0.0
        self._model: Ridge | None = None
        self._reads: _Reads | None = None

    def fit(
        self,
        inputs: NDArray[np.float32],
        target: NDArray[np.float64],
        last: NDArray[np.float64],
        training: NDArray[np.int64],
        validation: tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]],
    ) -> None:
        """Fit on the training windows, choose the penalty on others.

        Args:
            inputs: ``(M, E)`` the rows.
            target: ``(M,)`` known at every training window's targets.
            last: ``(M,)`` the last known target up to each row.
            training: ``(N,)`` the present row of each training window.
            validation: inputs, target, last and rows of the windows that choose the penalty.
        """
        points = max(1, min(_RECENT, len(self.behind), _WIDEST // inputs.shape[1] - 1))
        self._reads = _Reads(self.behind, self.behind[-points:])
        thin = max(1, -(-len(training) // _MOST_WINDOWS))
        rows = training[::thin]
        x, y = self._reads.of(inputs, rows), target[rows[:, None] + self.ahead] - last[rows][:, None]
        their_inputs, their_target, their_last, their_rows = validation
        held_out = self._reads.of(their_inputs, their_rows)
        truth = their_target[their_rows[:, None] + self.ahead] - their_last[their_rows][:, None]
        best = np.inf
        for alpha in _ALPHAS:
            model = Ridge(alpha=alpha, solver="cholesky").fit(x, y)
            error = float(np.abs(model.predict(held_out).reshape(truth.shape) - truth).mean())
            if error < best:
                best, self.alpha, self._model = error, alpha, model

    def predict(
        self, inputs: NDArray[np.float32], last: NDArray[np.float64], rows: NDArray[np.int64]
    ) -> NDArray[Any]:
        """``(N, K)`` forecasts of the windows at ``rows``, in the target's unit.

        Raises:
            RuntimeError: it was not fitted.
        """
        if self._model is None or self._reads is None:
            raise RuntimeError("the regression is not fitted")
        change = self._model.predict(self._reads.of(inputs, rows)).reshape(len(rows), len(self.ahead))
        return np.asarray(change + last[rows][:, None])
