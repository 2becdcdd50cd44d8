"""`Forecaster`: the forecaster as a scikit-learn estimator."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import r2_score

from recurra.errors import DataError
from recurra.tasks.estimator import RECIPE, RandomState, RecurrentEstimator, RegressorMixin
from recurra.tasks.forecasting import INFO
from recurra.tasks.forecasting.answers import forecast_table
from recurra.tasks.forecasting.bundle import ForecasterBundle
from recurra.tasks.forecasting.network import ForecastNetwork
from recurra.tasks.forecasting.prepare import SeriesData, prepare_tables, windows_of
from recurra.tasks.forecasting.settings import ForecasterConfig
from recurra.tasks.forecasting.streaming import stream
from recurra.tasks.forecasting.tables import table_of
from recurra.tasks.parameters import parameters, setting
from recurra.tasks.reporter import Reporter
from recurra.tasks.streaming import Streamed

__all__ = ["Forecaster"]


@parameters
class Forecaster(RegressorMixin, RecurrentEstimator):
    """A recurrent forecaster of one column of a table whose rows are in the order of time.

    A parameter that is None has the recipe's value; ``fit`` validates them.

    Attributes
    ----------
    bundle_ : ForecasterBundle
        Settings, layout of the columns and network.
    history_ : History
        Metrics of each epoch; ``history_["loss"]`` is a column. Empty after ``load``.

    Examples
    --------
    >>> wave = np.sin(np.arange(400) / 4)
    >>> model = Forecaster(lookback=12, delay=2, units=8, epochs=5, batch_size=16, learning_rate=0.02)
    >>> forecasts = model.fit({"wave": wave}).predict({"wave": wave[:100]})
    >>> forecasts.shape, bool(np.isnan(forecasts[10])), model.score({"wave": wave}) > 0.5
    ((100,), True, True)
    """

    task = INFO.name
    bundle_: ForecasterBundle = field(init=False)

    recipe: str = field(default=INFO.recipe, kw_only=False, metadata=RECIPE)
    bidirectional: bool | None = setting("model")
    merge_mode: str | None = setting("model")
    pooling: str | Sequence[str] | None = setting("model")
    target: str | None = setting(
        "series",
        meaning="name of the column to forecast, ``'0'``, ``'1'`` ... in an array; may be None if there is "
        "only one",
    )
    time: str | Sequence[str] | None = setting("series")
    time_format: str | None = setting("series")
    inputs: Sequence[str] | None = setting("series")
    calendar: Sequence[str] | None = setting("series")
    missing: Sequence[float] | None = setting("series")
    lookback: int | str | None = setting("series")
    step: int | str | None = setting("series")
    delay: int | str | None = setting("series")
    horizon: int | None = setting("series")
    period: int | str | None = setting("series")
    reversed: bool | None = setting("series")
    residual: bool | None = setting("series")
    relative: bool | None = setting("series")
    loss: str | None = setting("series")
    stride: int | None = setting("series")
    windows: int | None = setting("series")
    validation_fraction: float = setting(
        "series.valid_fraction",
        default=0.15,
        meaning="share of the rows, the last ones, held out where ``fit`` gets no ``validation_data``",
    )
    random_state: int | RandomState | None = setting(
        "train.seed",
        default=1,
        meaning="seed of the weights, the dropout masks and the order of batches; None for another one in "
        "each ``fit``; of a ``numpy.random.RandomState`` or ``Generator``, its next number",
    )

    def fit(
        self,
        X: Mapping[str, Any] | ArrayLike | str | Path,
        y: None = None,
        *,
        validation_data: Mapping[str, Any] | ArrayLike | str | Path | None = None,
        reporter: Reporter | None = None,
    ) -> Self:
        """Trains on a table with rows in the order of time.

        Args:
            X: columns by name (also a data frame, of pandas with the time as a column or as the index), an
                ``(M, E)`` array whose columns are named "0", "1" ..., or the path of a file.
            y: ignored; the target is a column of ``X``.
            validation_data: a table that chooses the best epoch, in place of the last rows of ``X``.
            reporter: receives the layout of the columns, the summary and the progress.

        Raises:
            RecurraError: an unusable table, or a parameter out of its range.
        """

        def prepare(config: ForecasterConfig, reporter: Reporter) -> SeriesData:
            tables = {"training": table_of(X, config.data)}
            if validation_data is not None:
                tables["validation"] = table_of(validation_data, config.data, "validation_data")
            return prepare_tables(tables, config, "", reporter, tested=False)

        return self._fit(prepare, reporter)

    def summary(self, columns: int = 1) -> str:
        """Returns a table of the layers with output shapes and numbers of weights; a notebook shows it.

        Args:
            columns: number of input columns before ``fit``, those of the calendar and of categories included.
        """

        def untrained(config: ForecasterConfig) -> ForecastNetwork:
            series = config.series
            return ForecastNetwork(
                config.model, columns, series.horizon, residual=series.residual, present=series.relative
            )

        return self._summary(untrained)

    def predict(self, X: Mapping[str, Any] | ArrayLike | str | Path) -> NDArray[np.float64]:
        """Returns the forecasts from each row, ``(M,)`` or ``(M, horizon)``, in the target's unit.

        Row ``i`` holds the value ``delay`` after row ``i``, and NaN where too few rows precede it or no value
        of the target is known in its window. What is missing or unknown in the table is a `UserWarning`.
        """
        forecasts, *_ = self._forecasts(X)
        return forecasts[:, 0] if forecasts.shape[1] == 1 else forecasts

    def stream(self, rows: Any) -> Iterator[Streamed]:
        """Yields after each row of a series the forecasts from it.

        Each forecast is computed from its window of rows: no states are carried, since the next window begins
        one row later.

        Args:
            rows: mappings of cells by column, as they arrive; or a table, as for `predict`.

        Yields:
            Dictionaries with ``step`` and ``forecasts``: dictionaries as ``recurra predict --format jsonl``
            writes them, none while there are fewer rows than a window has.
        """
        self._check_fitted()
        whole = isinstance(rows, str | Path | Mapping | np.ndarray) or hasattr(rows, "columns")
        table = table_of(rows, self.bundle_.config.data) if whole else rows
        return stream(self.bundle_, table, {}, False)

    def filled(self, X: Mapping[str, Any] | ArrayLike | str | Path) -> NDArray[np.float64]:
        """Returns the share of missing cells in the window of each row ``(M,)``, which earlier ones fill.

        It is NaN where too few rows precede the row. A forecast from a window that is mostly filled is of
        little use.
        """
        return self._forecasts(X)[2]

    def evaluate(self, X: Mapping[str, Any] | ArrayLike | str | Path, y: None = None) -> dict[str, float]:
        """Returns loss, ``mae``, ``rmse`` and ``r2`` of the forecasts whose true values are in the table.

        The loss is that of training, in standard deviations of the target; ``mae`` and ``rmse`` are in its
        unit. ``r2`` is `score`, NaN if all true values are equal.
        """
        truth, forecasts = _known(*self._forecasts(X)[:2])
        errors = np.abs(truth - forecasts)
        scaled = errors / self.bundle_.assets.layout.target.std
        squared = self.bundle_.config.series.loss == "mse"
        return {
            "loss": float((scaled**2 if squared else scaled).mean()),
            "mae": float(errors.mean()),
            "rmse": float(np.sqrt((errors**2).mean())),
            "r2": float(r2_score(truth, forecasts)) if np.ptp(truth) else float("nan"),
        }

    def score(self, X: Mapping[str, Any] | ArrayLike | str | Path, y: None = None) -> float:
        """Returns the coefficient of determination R2 of the forecasts whose true values are in the table."""
        return float(r2_score(*_known(*self._forecasts(X)[:2])))

    def _forecasts(self, X: Any) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Returns ``(M, K)`` forecasts from and true values for each row, and ``(M,)`` the share filled.

        They are NaN where there are none.
        """
        self._check_fitted()
        table = table_of(X, self.bundle_.config.data)
        part, values, gaps, said = forecast_table(self.bundle_, table, every=True)
        for sentence in said:
            warnings.warn(f"{table.where}: {sentence}", stacklevel=3)
        # Rows that were inserted for gaps in time have no row in the table.
        rows = np.searchsorted(table.numbers, part.matrix.numbers[part.rows])
        shape = (len(table), values.shape[1])
        forecasts, truth, filled = (np.full(size, np.nan) for size in (shape, shape, shape[:1]))
        forecasts[rows], filled[rows] = values, gaps.share
        truth[rows] = self.bundle_.assets.layout.target.in_unit(windows_of(part, self.bundle_).truth())
        return forecasts, truth, filled


def _known(
    forecasts: NDArray[np.float64], truth: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Returns the true values ``(n, K)`` that are known, and their forecasts.

    Raises:
        DataError: there are fewer than two.
    """
    known = np.isfinite(forecasts).all(axis=1) & np.isfinite(truth).all(axis=1)
    if known.sum() < 2:
        raise DataError("there are fewer than two windows whose target is known", hint="give more rows")
    return truth[known], forecasts[known]
