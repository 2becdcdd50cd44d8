"""The reach of a window in rows: the rows that it reads, and those that it forecasts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recurra.errors import ConfigError
from recurra.tasks.forecasting.series.spacing import Spacing
from recurra.tasks.forecasting.settings import SeriesConfig, seconds_of

__all__ = ["Reach", "as_setting", "find_reach", "reach_in_words", "rows_in_words"]

_HOUR, _DAY, _WEEK = 3_600.0, 86_400.0, 604_800.0


@dataclass(frozen=True)
class Reach:
    """A window in rows: it reads ``t - (points - 1) * step`` to ``t`` and forecasts from ``t + delay`` on.

    Attributes:
        points: the number of rows that are read.
        step: rows from one of them to the next, and from one forecast value to the next.
        delay: rows from the last known one to the first forecast value.
        horizon: the number of values that are forecast.
        period: rows of one season; None if there is no season.
    """

    points: int
    step: int
    delay: int
    horizon: int
    period: int | None

    @property
    def back(self) -> int:
        """The number of rows before the current one that a window needs."""
        return (self.points - 1) * self.step

    @property
    def ahead(self) -> int:
        """The number of rows from the current one to the last target."""
        return self.delay + (self.horizon - 1) * self.step

    @property
    def behind(self) -> NDArray[np.int64]:
        """The rows that are read, relative to the current one, in ascending order, of shape (points,)."""
        return np.arange(-self.back, 1, self.step)

    @property
    def targets(self) -> NDArray[np.int64]:
        """The rows that are forecast, relative to the current one, of shape (horizon,)."""
        return self.delay + self.step * np.arange(self.horizon)


def find_reach(config: SeriesConfig, spacing: Spacing | None) -> Reach:
    """Returns the window of ``config``, in rows that are ``spacing`` apart.

    The default values are 10 days back, one point an hour, 24 hours ahead.

    Raises:
        ConfigError: a duration although rows have no time, or one that is not a whole number of rows.

    Example:
        >>> find_reach(SeriesConfig(), Spacing(600.0))
        Reach(points=240, step=6, delay=144, horizon=1, period=144)
    """
    seconds = spacing.seconds if spacing else _HOUR  # rows without a time are taken for hours
    step = _rows("step", config.step, spacing) or (1 if _HOUR % seconds else round(_HOUR / seconds))
    ten_days = 24 if seconds > _DAY else round(10 * _DAY / seconds)
    lookback = _rows("lookback", config.lookback, spacing) or ten_days
    delay = _rows("delay", config.delay, spacing) or max(1, round(_DAY / seconds))
    period = _rows("period", config.period, spacing) or (spacing.season if spacing else None)
    if lookback < step:
        raise ConfigError(
            f"setting series.lookback is {lookback:,} rows, less than a step of {step:,}",
            hint="use a larger series.lookback or a smaller series.step",
        )
    return Reach(lookback // step, step, delay, config.horizon, period)


def as_setting(rows: int, spacing: Spacing | None) -> int | str:
    """Returns a number of rows as a setting: a duration if rows have times
    at equal distances.

    Example:
        >>> as_setting(240, Spacing(3600.0)), as_setting(3, Spacing(600.0)), as_setting(24, None)
        ('10d', '30min', 24)
    """
    if spacing is None or spacing.in_calendar:
        return rows
    seconds = rows * spacing.seconds
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", 60.0), ("s", 1.0)):
        if seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return rows


def reach_in_words(reach: Reach, spacing: Spacing | None) -> str:
    """Describes the forecast distance and the window.

    Example:
        >>> reach_in_words(Reach(240, 1, 24, 1, 24), Spacing(3600.0))
        '1 d ahead, from 240 points of the last 10 d'
    """
    distance = rows_in_words(reach.step, spacing)
    values = f" and on, {reach.horizon:,} values {distance} apart" if reach.horizon > 1 else ""
    points = f"{reach.points:,} points of the last {rows_in_words(reach.points * reach.step, spacing)}"
    return f"{rows_in_words(reach.delay, spacing)} ahead{values}, from {points}"


def rows_in_words(rows: int, spacing: Spacing | None) -> str:
    """Describes a number of rows: the time they last, or their number if rows have no time."""
    if spacing is not None:
        return spacing.words(rows)
    return "1 row" if rows == 1 else f"{rows:,} rows"


def _rows(name: str, given: int | str | None, spacing: Spacing | None) -> int | None:
    if not isinstance(given, str):
        return given
    seconds = seconds_of(given)
    if spacing is None:
        raise ConfigError(
            f"setting series.{name} is {given}, and the rows have no time",
            hint=f"name the time column (series.time), or give series.{name} in rows",
        )
    rows = seconds / spacing.seconds
    if spacing.weekmask:  # 2w are 10 business days; days are not counted, since some have no row
        rows = seconds / _WEEK * spacing.weekmask.count("1") if seconds % _WEEK == 0 else 0.0
    if rows < 1 or abs(rows - round(rows)) > 1e-6:
        raise ConfigError(
            f"setting series.{name} is {given}, not a whole number of rows: they are {spacing.words()} apart",
            hint=f"give a multiple of that, or rows: --set series.{name}=24",
        )
    return round(rows)
