"""Metrics of forecasts in the unit of the target, compared with baselines on the same windows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from recurra.errors import DataError
from recurra.measure.bootstrap import Difference, ends
from recurra.tasks.forecasting.blocks import block_length, block_means

__all__ = ["PERSISTENCE", "ForecastDifference", "ForecastFigures", "ForecastMetrics", "forecast_metrics"]

PERSISTENCE = "persistence"
Forecasts = NDArray[np.float64]


class ForecastFigures(BaseModel):
    """Metrics of one forecaster, with 95% intervals; all but ``skill`` are in the unit of the target.

    ``mae`` is the mean absolute error, ``rmse`` the root mean squared error, ``bias`` the mean of forecast
    minus truth. ``skill`` is 1 minus the ratio of the MAE to that of persistence: 0 is as good as
    persistence, 1 is no error; None for persistence itself. ``mae_ahead`` is the MAE of each forecast value.
    """

    name: str
    mae: float
    mae_low: float
    mae_high: float
    rmse: float
    rmse_low: float
    rmse_high: float
    bias: float
    skill: float | None
    skill_low: float | None
    skill_high: float | None
    mae_ahead: list[float]

    @property
    def label(self) -> str:
        """The name without an article, for tables and charts."""
        return self.name.removeprefix("the ")

    @property
    def form(self) -> str:
        """The format that gives the MAE four significant digits: with decimals, or with an exponent."""
        if self.mae > 0 and not 1e-6 <= self.mae < 1e12:
            return ".3e"
        return f".{int(np.clip(3 - np.floor(np.log10(self.mae)), 0, 9)) if self.mae > 0 else 3}f"


class ForecastDifference(Difference):
    """The MAE of the first forecaster minus that of the second on the same windows, with its 95% interval."""


class ForecastMetrics(BaseModel):
    """Metrics of all forecasters on one set of windows; the network is the first.

    ``block`` is the block length of the bootstrap: neighbouring windows overlap, so they are not independent.
    """

    target: str
    unit: str
    windows: int
    block: int
    figures: list[ForecastFigures]
    differences: list[ForecastDifference]

    @property
    def network(self) -> ForecastFigures:
        """The metrics of the network."""
        return self.figures[0]

    @property
    def target_and_unit(self) -> str:
        """The target and, if known, its unit."""
        return f"{self.target}, {self.unit}" if self.unit else self.target

    def number(self, value: float, sign: str = "") -> str:
        """Formats a value as the network's MAE; ``sign`` as in a format specification."""
        return f"{value:{sign},{self.network.form}}"

    def interval(self, low: float, high: float, sign: str = "") -> str:
        """Formats an interval as `number` does its ends."""
        return f"{self.number(low, sign)} to {self.number(high, sign)}"

    def mae_in_unit(self, figures: ForecastFigures) -> str:
        """Formats an MAE with its unit and interval."""
        unit = f" {self.unit}" if self.unit else ""
        return f"{self.number(figures.mae)}{unit} ({self.interval(figures.mae_low, figures.mae_high)})"


def forecast_metrics(
    truth: Forecasts, forecasts: Mapping[str, Forecasts], *, target: str, unit: str = "", ahead: int = 1
) -> ForecastMetrics:
    """Computes the metrics of each forecaster, and the difference of the first one to each other.

    Args:
        truth: true values in the unit of the target, of shape (N, K), windows in the order of time.
        forecasts: forecasts (N, K) by name, the network first; if `PERSISTENCE` is among them, skill is
            computed.
        target: name of the target.
        unit: its unit, for sentences.
        ahead: rows from the current row of a window to its last target, the minimum block length.

    Raises:
        DataError: there are no windows.
        ValueError: shapes differ, or a number is not finite.

    Example:
        >>> t = np.arange(200.0)[:, None] % 7
        >>> forecasts = {"the net": t + 0.5, "persistence": t - 1}
        >>> metrics = forecast_metrics(t, forecasts, target="T", unit="degC")
        >>> metrics.network.mae, metrics.network.skill, metrics.differences[0].sentence
        (0.5, 0.5, "the net's error is 0.5000 degC below that of persistence (0.5000 to 0.5000)")
    """
    if not len(truth):
        raise DataError("there are no windows to evaluate", hint="give more rows")
    for name, values in forecasts.items():
        if values.shape != truth.shape or not np.isfinite(values).all():
            raise ValueError(
                f"forecasts of {name} have shape {values.shape}, the truth {truth.shape}, or are not finite"
            )
    if not np.isfinite(truth).all():
        raise ValueError("a target is not finite")
    names = list(forecasts)
    errors = np.stack([forecasts[name] - truth for name in names])  # (C, N, K)
    absolute, squared = np.abs(errors).mean(axis=2).T, (errors**2).mean(axis=2).T  # (N, C)
    block = block_length(absolute[:, 0], ahead)
    resampled = block_means(np.hstack([absolute, squared]), block)
    resampled_mae = np.maximum(resampled[:, : len(names)], 0)
    resampled_rmse = np.sqrt(np.maximum(resampled[:, len(names) :], 0))
    mae, rmse = absolute.mean(axis=0), np.sqrt(squared.mean(axis=0))
    reference = names.index(PERSISTENCE) if PERSISTENCE in names else None
    figures = []
    for index, name in enumerate(names):
        skill: tuple[float | None, float | None, float | None] = (None, None, None)
        if reference is not None and index != reference and mae[reference] > 0:
            ratios = resampled_mae[:, index] / np.maximum(resampled_mae[:, reference], 1e-300)
            skill = (float(1 - mae[index] / mae[reference]), *ends(1 - ratios))
        mae_low, mae_high = ends(resampled_mae[:, index])
        rmse_low, rmse_high = ends(resampled_rmse[:, index])
        figures.append(
            ForecastFigures(
                name=name,
                mae=float(mae[index]),
                mae_low=mae_low,
                mae_high=mae_high,
                rmse=float(rmse[index]),
                rmse_low=rmse_low,
                rmse_high=rmse_high,
                bias=float(errors[index].mean()),
                skill=skill[0],
                skill_low=skill[1],
                skill_high=skill[2],
                mae_ahead=np.abs(errors[index]).mean(axis=0).tolist(),
            )
        )
    differences = [
        _difference(figures[0], other, ends(resampled_mae[:, 0] - resampled_mae[:, index]), unit)
        for index, other in enumerate(figures[1:], 1)
    ]
    return ForecastMetrics(
        target=target, unit=unit, windows=len(truth), block=block, figures=figures, differences=differences
    )


def _difference(
    first: ForecastFigures, second: ForecastFigures, interval: tuple[float, float], unit: str
) -> ForecastDifference:
    low, high = interval
    shown = low > 0 or high < 0
    difference = first.mae - second.mae
    d = first.form
    suffix = f" {unit}" if unit else ""
    if shown:
        near, far = sorted(abs(end) for end in interval)
        direction = "below" if difference < 0 else "above"
        sentence = (
            f"{first.name}'s error is {abs(difference):{d}}{suffix} {direction} that of {second.name} "
            f"({near:{d}} to {far:{d}})"
        )
    else:
        sentence = (
            f"no difference shown between {first.name} and {second.name}: {difference:+{d}}{suffix} "
            f"({low:+{d}} to {high:+{d}})"
        )
    return ForecastDifference(
        first=first.name,
        second=second.name,
        difference=difference,
        low=low,
        high=high,
        shown=shown,
        sentence=sentence,
    )
