"""The figures of forecasts in the target's own unit, beside those of baselines on the same windows."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from recurra.errors import DataError
from recurra.tasks.forecasting.blocks import block_length, block_means, ends

__all__ = [
    "PERSISTENCE",
    "ForecastDifference",
    "ForecastFigures",
    "ForecastMetrics",
    "decimals_of",
    "forecast_metrics",
]

PERSISTENCE = "persistence"
Forecasts = NDArray[np.float64]


class ForecastFigures(BaseModel):
    """One forecaster; all but ``skill`` is in the target's unit, each with its 95% interval.

    ``mae`` is the mean absolute error, ``rmse`` the root of the mean squared one, ``bias`` the mean of
    forecast less truth. ``skill`` is 1 less the ratio of its MAE to that of persistence: 0 is no better, 1 is
    no error; None for persistence itself. ``mae_ahead`` has the MAE of each of the values forecast.
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


class ForecastDifference(BaseModel):
    """The first forecaster's MAE less the second's on the same windows, with its 95% interval.

    It counts as shown where the interval leaves out 0; ``sentence`` says it in words.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    shown: bool
    sentence: str


class ForecastMetrics(BaseModel):
    """All figures of one set of windows, the network's first.

    ``block`` is the length of the blocks that intervals come from: neighbouring windows share most of what
    they read and what disturbs them, so they are no independent draws.
    """

    target: str
    unit: str
    windows: int
    block: int
    figures: list[ForecastFigures]
    differences: list[ForecastDifference]

    @property
    def decimals(self) -> int:
        """How many decimals figures are written with: three more than the network's MAE needs to be seen."""
        return decimals_of(self.figures[0].mae)

    @property
    def network(self) -> ForecastFigures:
        """The network's own."""
        return self.figures[0]

    def named(self, name: str) -> ForecastFigures:
        """The figures of one forecaster.

        Raises:
            KeyError: there are none of that name.
        """
        return {one.name: one for one in self.figures}[name]


def forecast_metrics(
    truth: Forecasts,
    forecasts: Mapping[str, Forecasts],
    *,
    target: str,
    unit: str = "",
    ahead: int = 1,
) -> ForecastMetrics:
    """The figures of each forecaster against the truth, and the first one's difference to each other.

    Args:
        truth: ``(N, K)`` in the target's unit, windows in the order of time.
        forecasts: ``(N, K)`` by name, the network's first; with `PERSISTENCE` among them there is a skill.
        target: what is forecast.
        unit: what it is counted in, for sentences.
        ahead: rows from a window's present to its last target: blocks are no shorter.

    Raises:
        DataError: there is no window.
        ValueError: shapes differ, or a number is not finite.

    Example:
        >>> t = np.arange(200.0)[:, None] % 7
        >>> found = forecast_metrics(t, {"the net": t + 0.5, "persistence": t - 1}, target="T", unit="degC")
        >>> found.network.mae, found.network.skill, found.differences[0].sentence
        (0.5, 0.5, "the net's error is 0.5000 degC below that of persistence (0.5000 to 0.5000)")
    """
    if not len(truth):
        raise DataError("there is no window to evaluate", hint="give more rows")
    for name, found in forecasts.items():
        if found.shape != truth.shape or not np.isfinite(found).all():
            raise ValueError(
                f"forecasts of {name} are {found.shape}, the truth is {truth.shape}, or not finite"
            )
    if not np.isfinite(truth).all():
        raise ValueError("a target is not finite")
    names = list(forecasts)
    errors = np.stack([forecasts[name] - truth for name in names])  # (C, N, K)
    absolute, squared = np.abs(errors).mean(axis=2).T, (errors**2).mean(axis=2).T  # (N, C)
    block = block_length(absolute[:, 0], ahead)
    drawn = block_means(np.hstack([absolute, squared]), block)
    drawn_mae = np.maximum(drawn[:, : len(names)], 0)
    drawn_rmse = np.sqrt(np.maximum(drawn[:, len(names) :], 0))
    mae, rmse = absolute.mean(axis=0), np.sqrt(squared.mean(axis=0))
    reference = names.index(PERSISTENCE) if PERSISTENCE in names else None
    figures = []
    for at, name in enumerate(names):
        skill: tuple[float | None, float | None, float | None] = (None, None, None)
        if reference is not None and at != reference and mae[reference] > 0:
            ratios = drawn_mae[:, at] / np.maximum(drawn_mae[:, reference], 1e-300)
            skill = (float(1 - mae[at] / mae[reference]), *ends(1 - ratios))
        mae_ends, rmse_ends = ends(drawn_mae[:, at]), ends(drawn_rmse[:, at])
        figures.append(
            ForecastFigures(
                name=name,
                mae=float(mae[at]),
                mae_low=mae_ends[0],
                mae_high=mae_ends[1],
                rmse=float(rmse[at]),
                rmse_low=rmse_ends[0],
                rmse_high=rmse_ends[1],
                bias=float(errors[at].mean()),
                skill=skill[0],
                skill_low=skill[1],
                skill_high=skill[2],
                mae_ahead=np.abs(errors[at]).mean(axis=0).tolist(),
            )
        )
    decimals = decimals_of(float(mae[0]))
    differences = [
        _difference(
            names[0],
            names[at],
            float(mae[0] - mae[at]),
            ends(drawn_mae[:, 0] - drawn_mae[:, at]),
            unit,
            decimals,
        )
        for at in range(1, len(names))
    ]
    return ForecastMetrics(
        target=target, unit=unit, windows=len(truth), block=block, figures=figures, differences=differences
    )


def decimals_of(size: float) -> int:
    """Decimals that show a number of this size to three or four digits, and so small differences to it.

    Example:
        >>> decimals_of(2.2), decimals_of(63.0), decimals_of(0.004)
        (3, 2, 6)
    """
    return int(np.clip(3 - np.floor(np.log10(size)), 0, 9)) if size > 0 else 3


def _difference(
    first: str, second: str, difference: float, interval: tuple[float, float], unit: str, decimals: int
) -> ForecastDifference:
    low, high = interval
    shown = low > 0 or high < 0
    counted = f" {unit}" if unit else ""
    d = f".{decimals}f"
    if shown:
        near, far = sorted(abs(end) for end in interval)
        word = "below" if difference < 0 else "above"
        sentence = (
            f"{first}'s error is {abs(difference):{d}}{counted} {word} that of {second} "
            f"({near:{d}} to {far:{d}})"
        )
    else:
        sentence = (
            f"no difference shown between {first} and {second}: {difference:+{d}}{counted} "
            f"({low:+{d}} to {high:+{d}})"
        )
    return ForecastDifference(
        first=first, second=second, difference=difference, low=low, high=high, shown=shown, sentence=sentence
    )
