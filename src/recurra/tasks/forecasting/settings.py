"""The settings of forecasting: the columns of a series, its windows, and what is forecast."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from recurra.config import Config, Section

__all__ = ["ForecasterConfig", "Period", "SeriesConfig", "seconds_of"]

_UNITS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]+)")


def seconds_of(duration: str) -> float:
    """Returns the seconds of a duration such as ``10d``, ``1h``, ``30min``, ``2w`` or ``5s``.

    Raises:
        ValueError: ``duration`` is not a positive number with one of these units.

    Example:
        >>> seconds_of("10d"), seconds_of("1.5 h")
        (864000.0, 5400.0)
    """
    match = _DURATION.fullmatch(duration.strip())
    if match is None or match[2] not in _UNITS or float(match[1]) <= 0:
        raise ValueError(
            f"{duration!r} is not a duration: give a number of rows (240) or of s, min, h, d or w (10d)"
        )
    return float(match[1]) * _UNITS[match[2]]


def _checked(span: int | str) -> int | str:
    if isinstance(span, str):
        seconds_of(span)
    elif span < 1:
        raise ValueError(f"{span} rows are too few: give 1 or more")
    return span


Span = Annotated[int | str, AfterValidator(_checked)]
"""A number of rows, or a duration."""
Share = Annotated[float, Field(gt=0, lt=0.9)]
Period = Literal["day", "week", "year"]


class SeriesConfig(Section):
    """The series, its windows and what is forecast; settings that are None are detected."""

    target: str | None = Field(None, description="column to forecast; null: the only one")
    time: str | list[str] | None = Field(
        None,
        description="time column; or the columns of year, month, day, hour, minute and second, as many as "
        "there are; or the columns of date and time",
    )
    time_format: Annotated[str, Field(pattern="%")] | None = Field(
        None, description="format of the time stamps, as in strptime: '%d.%m.%Y %H:%M:%S'"
    )
    inputs: list[str] | None = Field(
        None, description="input columns; null: all usable ones, with the past of the target"
    )
    calendar: list[Period] = Field(
        ["day", "year"],
        description="periods whose sine and cosine at the time of each row are added as inputs",
    )
    missing: list[float] | None = Field(
        None, description="numbers that stand for a missing value; null: detect -9999 and similar ones"
    )
    lookback: Span | None = Field(
        None, description="length of a window, in rows or as 10d, 12h, 30min; null: 10d"
    )
    step: Span | None = Field(
        None, description="distance of the points in a window, in rows or as 1h; null: an hour, or one row"
    )
    delay: Span | None = Field(
        None,
        description="time from the end of the window to the first forecast, in rows or as 24h; null: 24h",
    )
    horizon: Annotated[int, Field(ge=1, le=1_000)] = Field(
        1, description="number of forecast values, one step apart"
    )
    period: Span | None = Field(
        None, description="period of the seasonal baseline; null: a day, or a week if a row is a day"
    )
    reversed: bool = Field(False, description="process windows from the newest point to the oldest")
    residual: bool = Field(
        True, description="forecast the change from the last known value instead of the value"
    )
    relative: bool = Field(
        True,
        description="subtract a window's newest row from the window; the head receives the values of that "
        "row",
    )
    loss: Literal["mae", "mse"] = Field(
        "mae", description="training loss: mean absolute or mean squared error"
    )
    stride: Annotated[int, Field(ge=1)] = Field(
        1, description="rows between the ends of training windows; larger is faster for finely sampled series"
    )
    windows: Annotated[int, Field(ge=1)] | None = Field(
        None, description="number of training windows, the last ones before the validation rows; null: all"
    )
    valid_fraction: Share = Field(
        0.15, description="fraction of the rows, before the test rows, used for validation"
    )
    test_fraction: Share = Field(
        0.15,
        description="fraction of the rows, the last ones, used as test set; unused if a test file is given",
    )

    @model_validator(mode="after")
    def _rows_are_left(self) -> SeriesConfig:
        if self.valid_fraction + self.test_fraction >= 0.95:
            raise ValueError("valid_fraction and test_fraction leave no rows to train on")
        return self


class ForecasterConfig(Config):
    """All settings of a forecaster."""

    task: Literal["forecast"] = "forecast"
    series: SeriesConfig = SeriesConfig()
