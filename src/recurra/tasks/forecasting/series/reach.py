"""The reach of a window in rows: the rows that it reads, and those that it forecasts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recurra.errors import ConfigError
from recurra.tasks.forecasting.series.grid import span
from recurra.tasks.forecasting.settings import SeriesConfig, seconds_of

__all__ = ["Reach", "as_setting", "find_reach", "reach_in_words", "rows_in_words"]

_HOUR, _DAY = 3_600.0, 86_400.0


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


def find_reach(config: SeriesConfig, spacing: float | None) -> Reach:
    """Returns the window of ``config``, in rows that are ``spacing`` seconds apart.

    The default values are 10 days back, one point an hour, 24 hours ahead.

    Raises:
        ConfigError: a duration although rows have no time, or one that is not a whole number of rows.

    Example:
        >>> find_reach(SeriesConfig(), 600.0)
        Reach(points=240, step=6, delay=144, horizon=1, period=144)
    """
    seconds = spacing or _HOUR  # rows without a time are taken for hours
    step = _rows("step", config.step, spacing) or (1 if _HOUR % seconds else round(_HOUR / seconds))
    ten_days = 24 if seconds > _DAY else round(10 * _DAY / seconds)
    lookback = _rows("lookback", config.lookback, spacing) or ten_days
    delay = _rows("delay", config.delay, spacing) or max(1, round(_DAY / seconds))
    period = _rows("period", config.period, spacing) or _season(spacing)
    if lookback < step:
        raise ConfigError(
            f"setting series.lookback is {lookback:,} rows, less than a step of {step:,}",
            hint="use a larger series.lookback or a smaller series.step",
        )
    return Reach(lookback // step, step, delay, config.horizon, period)


def as_setting(rows: int, spacing: float | None) -> int | str:
    """Returns a number of rows as a setting: a duration if rows have times.

    Example:
        >>> as_setting(240, 3600.0), as_setting(3, 600.0), as_setting(24, None)
        ('10d', '30min', 24)
    """
    if spacing is None:
        return rows
    seconds = rows * spacing
    for unit, size in (("d", _DAY), ("h", _HOUR), ("min", 60.0), ("s", 1.0)):
        if seconds % size == 0:
            return f"{seconds / size:.0f}{unit}"
    return rows


def reach_in_words(reach: Reach, spacing: float | None) -> str:
    """Describes the forecast distance and the window.

    Example:
        >>> reach_in_words(Reach(240, 1, 24, 1, 24), 3600.0)
        '1 d ahead, from 240 points of the last 10 d'
    """
    distance = rows_in_words(reach.step, spacing)
    values = f" and on, {reach.horizon:,} values {distance} apart" if reach.horizon > 1 else ""
    points = f"{reach.points:,} points of the last {rows_in_words(reach.points * reach.step, spacing)}"
    return f"{rows_in_words(reach.delay, spacing)} ahead{values}, from {points}"


def rows_in_words(rows: int, spacing: float | None) -> str:
    """Describes a number of rows: the time they last, or their number if rows have no time."""
    if spacing is not None:
        return span(rows * spacing)
    return "1 row" if rows == 1 else f"{rows:,} rows"


def _season(spacing: float | None) -> int | None:
    if spacing is None:
        return None
    for seconds in (_DAY, 7 * _DAY):
        if spacing < seconds and seconds % spacing == 0:
            return round(seconds / spacing)
    return 12 if 28 * _DAY <= spacing <= 31 * _DAY else None


def _rows(name: str, given: int | str | None, spacing: float | None) -> int | None:
    if not isinstance(given, str):
        return given
    seconds = seconds_of(given)
    if spacing is None:
        raise ConfigError(
            f"setting series.{name} is {given}, and the rows have no time",
            hint=f"name the time column (series.time), or give series.{name} in rows",
        )
    rows = seconds / spacing
    if rows < 1 or abs(rows - round(rows)) > 1e-6:
        raise ConfigError(
            f"setting series.{name} is {given}, not a whole number of rows: they are {span(spacing)} apart",
            hint=f"give a multiple of that, or rows: --set series.{name}=24",
        )
    return round(rows)
