"""The baselines of forecasting: persistence, the value one season before the target, ridge regression."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from recurra.tasks.forecasting.prepare import Part
from recurra.tasks.forecasting.series.reach import Reach

if TYPE_CHECKING:
    from sklearn.linear_model import Ridge

__all__ = ["RidgeBaseline", "persistence", "seasonal"]

_RECENT = 48  # newest points of a window that are features of the regression
_MAX_FEATURES = 1_000
_MAX_WINDOWS = 30_000
_ALPHAS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)
_CHUNK = 4_096


def persistence(part: Part, reach: Reach) -> NDArray[np.float64]:
    """Returns the last known value of each window as its forecasts, of shape (N, K)."""
    return np.repeat(part.matrix.last[part.rows][:, None], reach.horizon, axis=1)


def seasonal(part: Part, reach: Reach, period: int) -> NDArray[np.float64]:
    """Returns the value a whole number of seasons of ``period`` rows before each target, of shape (N, K).

    The number of seasons is the smallest one for which the value is known.
    """
    behind = reach.targets - period * -(-reach.targets // period)
    return np.asarray(part.matrix.last[np.maximum(part.rows[:, None] + behind, 0)])


@dataclass(frozen=True)
class RidgeBaseline:
    """Ridge regression of the change from the last known value.

    The features are the newest 48 points of a window (fewer if they have more than 1,000 values) and its
    mean.

    Attributes:
        reach: rows of a window.
        model: the fitted regression.
    """

    reach: Reach
    model: Ridge

    @classmethod
    def fit(cls, train: Part, valid: Part, reach: Reach) -> Self:
        """Fits on the training windows; if there are more than 30,000, on every n-th.

        The penalty is the one of five with the lowest error on the validation windows.
        """
        from sklearn.linear_model import Ridge

        part = replace(train, rows=train.rows[:: max(1, -(-len(train.rows) // _MAX_WINDOWS))])
        x, y = _features(part, reach), _changes(part, reach)
        valid_x, valid_y = _features(valid, reach), _changes(valid, reach)

        def error(model: Ridge) -> float:
            return float(np.abs(model.predict(valid_x).reshape(valid_y.shape) - valid_y).mean())

        models = (Ridge(alpha=alpha, solver="cholesky").fit(x, y) for alpha in _ALPHAS)
        return cls(reach, min(models, key=error))

    def predict(self, part: Part) -> NDArray[Any]:
        """Returns forecasts of the windows in the unit of the target, of shape (N, K)."""
        changes = self.model.predict(_features(part, self.reach)).reshape(len(part.rows), self.reach.horizon)
        return np.asarray(changes + part.matrix.last[part.rows][:, None])


def _changes(part: Part, reach: Reach) -> NDArray[np.float64]:
    """The targets of each window minus its last known value, of shape (N, K)."""
    return np.asarray(part.truth(reach) - part.matrix.last[part.rows][:, None])


def _features(part: Part, reach: Reach) -> NDArray[np.float64]:
    """The newest points of each window, and the mean over all its points."""
    inputs, behind = part.matrix.inputs, reach.behind
    recent = behind[-max(1, min(_RECENT, len(behind), _MAX_FEATURES // inputs.shape[1] - 1)) :]
    chunks = []
    for start in range(0, len(part.rows), _CHUNK):
        rows = part.rows[start : start + _CHUNK, None]
        points = inputs[rows + recent].reshape(len(rows), -1)
        chunks.append(np.hstack([points, inputs[rows + behind].mean(axis=1)]))
    return np.concatenate(chunks).astype(np.float64)
