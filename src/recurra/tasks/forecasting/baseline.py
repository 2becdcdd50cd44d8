"""The baselines of forecasting: persistence, the value one season before the target, ridge regression."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from recurra.tasks.forecasting.prepare import Part
from recurra.tasks.forecasting.series.reach import Reach
from recurra.tasks.reporter import Counting, Reporter, Tick

if TYPE_CHECKING:
    from sklearn.linear_model import Ridge

__all__ = ["RidgeBaseline", "persistence", "seasonal"]

_RECENT = 48  # newest points of a window that are features of the regression
_MAX_FEATURES = 1_000
_MAX_WINDOWS = 30_000
_ALPHAS = (1.0, 10.0, 100.0, 1_000.0, 10_000.0)
_CHUNK = 4_096
_SILENT = Reporter().counting
_PREDICTED = 8 * _CHUNK  # windows whose features are in memory at once


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
        note: a remark on the training, or an empty string.
    """

    reach: Reach
    model: Ridge
    note: str = ""

    @classmethod
    def fit(cls, train: Part, valid: Part, reach: Reach, counting: Counting = _SILENT) -> Self:
        """Fits on the training windows; if there are more than 30,000, on every n-th.

        The penalty is the one of five with the lowest error on the validation windows, of which as many are
        used. ``counting`` shows the progress.
        """
        from sklearn.linear_model import Ridge

        part, valid = _sampled(train), _sampled(valid)
        with counting("fitting ridge regression", (1 + len(_ALPHAS)) * (len(part) + len(valid))) as tick:
            x, y = _features(part, reach, tick), _changes(part, reach)
            valid_x, valid_y = _features(valid, reach, tick), _changes(valid, reach)

            def error(model: Ridge) -> float:
                tick(len(part) + len(valid))
                return float(np.abs(model.predict(valid_x).reshape(valid_y.shape) - valid_y).mean())

            models = (Ridge(alpha=alpha, solver="cholesky").fit(x, y) for alpha in _ALPHAS)
            best = min(models, key=error)
        note = ""
        if len(part) < len(train):
            note = f"trained on {len(part):,} of {len(train):,} windows, evenly spaced"
        return cls(reach, best, note)

    def predict(self, part: Part, tick: Tick = lambda rows: None) -> NDArray[Any]:
        """Returns forecasts of the windows in the unit of the target, of shape (N, K)."""
        found = [np.zeros((0, self.reach.horizon))]
        for start in range(0, len(part.rows), _PREDICTED):
            some = replace(part, rows=part.rows[start : start + _PREDICTED])
            found.append(self.model.predict(_features(some, self.reach, tick)).reshape(len(some), -1))
        return np.asarray(np.concatenate(found) + part.matrix.last[part.rows][:, None])


def _sampled(part: Part) -> Part:
    """At most 30,000 windows of a part, evenly spaced."""
    return replace(part, rows=part.rows[:: max(1, -(-len(part.rows) // _MAX_WINDOWS))])


def _changes(part: Part, reach: Reach) -> NDArray[np.float64]:
    """The targets of each window minus its last known value, of shape (N, K)."""
    return np.asarray(part.truth(reach) - part.matrix.last[part.rows][:, None])


def _features(part: Part, reach: Reach, tick: Tick = lambda rows: None) -> NDArray[np.float64]:
    """The newest points of each window, and the mean over all its points."""
    inputs, behind = part.matrix.inputs, reach.behind
    recent = behind[-max(1, min(_RECENT, len(behind), _MAX_FEATURES // inputs.shape[1] - 1)) :]
    chunks = []
    for start in range(0, len(part.rows), _CHUNK):
        rows = part.rows[start : start + _CHUNK, None]
        points = inputs[rows + recent].reshape(len(rows), -1)
        chunks.append(np.hstack([points, inputs[rows + behind].mean(axis=1)]))
        tick(len(rows))
    return np.concatenate(chunks).astype(np.float64)
