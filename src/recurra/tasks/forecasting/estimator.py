"""`Forecaster`: the forecaster as a scikit-learn estimator, sharing every step with the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import RegressorMixin
from sklearn.metrics import r2_score
from sklearn.utils.validation import check_is_fitted

from recurra.errors import DataError
from recurra.runtime import use_threads
from recurra.tasks.estimator import MODEL, TRAIN, RecurrentEstimator
from recurra.tasks.fit import train_bundle
from recurra.tasks.forecasting.answers import forecast_table
from recurra.tasks.forecasting.bundle import ForecasterBundle
from recurra.tasks.forecasting.prepare import prepare_tables
from recurra.tasks.forecasting.series.table import Table, from_columns, read_table
from recurra.tasks.forecasting.task import TASK
from recurra.tasks.reporter import Reporter

__all__ = ["Forecaster"]

_SERIES = (
    "target",
    "time",
    "inputs",
    "lookback",
    "step",
    "delay",
    "horizon",
    "residual",
    "relative",
    "reversed",
    "loss",
)


class Forecaster(RegressorMixin, RecurrentEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A recurrent forecaster with scikit-learn's manners; what it forecasts is a column of its own table.

    Parameters left at None have the recipe's value; their meaning and ranges stand in `recurra.config`.

    Args:
        recipe: named settings to begin with.
        target: the column to forecast; of an array, a number from 0 in words, such as ``"0"``.
        time: the time column, or those of year, month, day ...
        inputs: columns to read; all that can be used where it is None.
        lookback: how far back a window reads, in rows or as ``"10d"``.
        step: one point of a window every so many rows.
        delay: how far ahead the first forecast value lies.
        horizon: how many values are forecast.
        residual: forecast the change from the last known value.
        relative: read numbers as what they differ from the window's newest row.
        reversed: read windows from their newest point back.
        loss: ``mae`` or ``mse``.
        cell: ``simple_rnn``, ``lstm`` or ``gru``.
        units: hidden units; a list gives each layer its own.
        layers: recurrent layers.
        bidirectional: read from both ends.
        dropout: on the input of every recurrent layer, one mask a window.
        recurrent_dropout: on the state entering the recurrent product, one mask a window.
        activation: ``tanh`` or ``relu``; a list gives each layer its own.
        head_dropout: on the vector before the head.
        backend: the kernels that compute the recurrence.
        optimizer: ``adam``, ``adamw``, ``rmsprop`` or ``sgd``.
        learning_rate: its step size.
        batch_size: windows a step.
        epochs: passes over the training windows, at most.
        patience: epochs without improvement before training stops.
        monitor: the validation figure that stops training.
        validation_fraction: share of the rows, the last ones, that choose the epoch.
        random_state: seed of the weights, the masks and the batches.
        settings: any further settings, as nested dictionaries.

    Attributes:
        bundle_: settings, layout of the columns and network.
        history_: a dictionary of figures for each epoch.

    Example:
        >>> wave = np.sin(np.arange(400) / 4)
        >>> model = Forecaster(lookback=12, delay=2, units=8, epochs=5, batch_size=16, learning_rate=0.02)
        >>> forecasts = model.fit({"wave": wave}).predict({"wave": wave[:100]})
        >>> forecasts.shape, bool(np.isnan(forecasts[10])), model.score({"wave": wave}) > 0.5
        ((100,), True, True)
    """

    task: ClassVar[str] = "forecast"
    sections: ClassVar[dict[str, str]] = {
        **dict.fromkeys(_SERIES, "series"),
        **dict.fromkeys(MODEL, "model"),
        **dict.fromkeys(TRAIN, "train"),
    }
    default_recipe: ClassVar[str] = "forecaster"

    bundle_: ForecasterBundle

    def __init__(
        self,
        recipe: str = "forecaster",
        *,
        target: str | None = None,
        time: str | Sequence[str] | None = None,
        inputs: Sequence[str] | None = None,
        lookback: int | str | None = None,
        step: int | str | None = None,
        delay: int | str | None = None,
        horizon: int | None = None,
        residual: bool | None = None,
        relative: bool | None = None,
        reversed: bool | None = None,
        loss: str | None = None,
        cell: str | None = None,
        units: int | Sequence[int] | None = None,
        layers: int | None = None,
        bidirectional: bool | None = None,
        dropout: float | None = None,
        recurrent_dropout: float | None = None,
        activation: str | Sequence[str] | None = None,
        head_dropout: float | None = None,
        backend: str | None = None,
        optimizer: str | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        epochs: int | None = None,
        patience: int | None = None,
        monitor: str | None = None,
        validation_fraction: float = 0.15,
        random_state: int = 1,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self._keep(locals())

    def fit(
        self,
        X: Mapping[str, Any] | ArrayLike | str | Path,
        y: None = None,
        *,
        validation_data: Mapping[str, Any] | ArrayLike | str | Path | None = None,
        reporter: Reporter | None = None,
    ) -> Self:
        """Train on a table, rows in the order of time.

        Args:
            X: columns by name (a data frame too), a ``(M, E)`` array whose columns are called 0, 1 ...,
                or the path of a file.
            y: nothing: the target is a column of ``X``.
            validation_data: another table to choose the epoch by, in place of the last rows of ``X``.
            tell: hears what was found, and of the progress.

        Raises:
            RecurraError: a table that can't be used, or a parameter out of its range.
        """
        config = self._config()
        held_out = config.series.model_copy(update={"valid_fraction": self.validation_fraction})
        config = config.model_copy(update={"series": held_out})
        tables = {"training": _table(X, self)}
        if validation_data is not None:
            tables["validation"] = _table(validation_data, self)
        prepared = prepare_tables(tables, config, "", reporter or Reporter(), tested=False)
        return self._remember(train_bundle(TASK, prepared, reporter=reporter))

    def predict(self, X: Mapping[str, Any] | ArrayLike | str | Path) -> NDArray[np.float64]:
        """``(M,)`` what is forecast from each row, in the target's unit; ``(M, horizon)`` for several values.

        Row ``i`` holds the value ``delay`` after row ``i``; NaN where there are too few rows before it. The
        last row's is the forecast of what the table does not have yet.
        """
        found, _ = self._forecasts(X)
        return found[:, 0] if found.shape[1] == 1 else found

    def score(self, X: Mapping[str, Any] | ArrayLike | str | Path, y: None = None) -> float:
        """The coefficient of determination R2 of the forecasts whose truth is in the table."""
        found, truth = self._forecasts(X)
        known = np.isfinite(found).all(axis=1) & np.isfinite(truth).all(axis=1)
        if known.sum() < 2:
            raise DataError("there are fewer than two windows whose target is known", hint="give more rows")
        return float(r2_score(truth[known], found[known]))

    def _forecasts(self, X: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """``(M, K)`` forecasts and truth of each row of a table, NaN where there are none."""
        check_is_fitted(self, "bundle_")
        use_threads()
        table = _table(X, self)
        matrix, windows, values = forecast_table(self.bundle_, table, every=True)
        # Rows inserted for gaps in time are none of the table's.
        places = np.searchsorted(table.numbers, matrix.numbers[windows.rows])
        shape = (len(table), values.shape[1])
        found, truth = np.full(shape, np.nan), np.full(shape, np.nan)
        found[places] = values
        truth[places] = self.bundle_.assets.layout.target.in_unit(windows.truth())
        return found, truth

    def _take(self, bundle: ForecasterBundle) -> None:
        """Nothing besides the bundle."""


def _table(X: Any, estimator: Forecaster) -> Table:
    if isinstance(X, str | Path):
        return read_table(Path(X), estimator._config().data)
    if isinstance(X, Mapping):
        return from_columns(X)
    if hasattr(X, "columns") and hasattr(X, "__getitem__"):  # a data frame, of whatever library
        return from_columns({str(name): np.asarray(X[name]) for name in X.columns})
    array = np.asarray(X)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise DataError(f"the table has {array.ndim} dimensions", hint="give (rows, columns)")
    return from_columns({str(at): array[:, at] for at in range(array.shape[1])})
