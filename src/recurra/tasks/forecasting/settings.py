"""The settings of forecasting: the columns of a series, its windows, and what is forecast."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from recurra.config import Config
from recurra.config.section import Section

__all__ = ["ForecasterConfig", "SeriesConfig", "seconds_of"]

_UNITS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([a-zA-Z]+)")


def seconds_of(duration: str) -> float:
    """The seconds of a duration such as ``10d``, ``1h``, ``30min``, ``2w`` or ``5s``.

    Raises:
        ValueError: it is no number with a unit, or the unit is another.

    Example:
        >>> seconds_of("10d"), seconds_of("1.5 h")
        (864000.0, 5400.0)
    """
    found = _DURATION.fullmatch(duration.strip())
    if found is None or found[2] not in _UNITS or float(found[1]) <= 0:
        raise ValueError(
            f"{duration!r} is no duration: write rows (240), or a number with s, min, h, d or w (10d)"
        )
    return float(found[1]) * _UNITS[found[2]]


def _checked(span: int | str) -> int | str:
    if isinstance(span, str):
        seconds_of(span)
    elif span < 1:
        raise ValueError(f"{span} rows are too few: give 1 or more")
    return span


Span = Annotated[int | str, AfterValidator(_checked)]
"""A number of rows, or a duration."""
Share = Annotated[float, Field(gt=0, lt=0.9)]


class SeriesConfig(Section):
    """What only forecasting has; what is left at None is found by itself."""

    target: str | None = Field(None, description="the column to forecast; null where there is but one")
    time: str | list[str] | None = Field(
        None,
        description="the time column, or the columns of year, month, day, hour, minute and second (as many "
        "as there are), or of date and time",
    )
    time_format: str | None = Field(
        None, description="how a stamp is written, as in strptime: '%d.%m.%Y %H:%M:%S'"
    )
    inputs: list[str] | None = Field(
        None, description="columns to read; null for all that can be used, the target's own past included"
    )
    calendar: list[Literal["day", "week", "year"]] = Field(
        ["day", "year"], description="periods whose sine and cosine at each row's time are inputs"
    )
    missing: list[float] | None = Field(
        None, description="numbers that mean a missing value; null looks for -9999 and its like"
    )
    lookback: Span | None = Field(
        None, description="how far back a window reads, in rows or as 10d, 12h, 30min; null for 10d"
    )
    step: Span | None = Field(
        None, description="one point of a window every so many rows, or every 1h; null for an hour, or a row"
    )
    delay: Span | None = Field(
        None, description="how far ahead the first forecast value lies, in rows or as 24h; null for 24h"
    )
    horizon: Annotated[int, Field(ge=1, le=1_000)] = Field(
        1, description="how many values are forecast, one step apart"
    )
    period: Span | None = Field(
        None, description="of the seasonal baseline; null for a day, or a week where a row is a day"
    )
    reversed: bool = Field(False, description="windows are read from their newest point back to their oldest")
    residual: bool = Field(
        True, description="the network forecasts the change from the last known value, not the value"
    )
    relative: bool = Field(
        True,
        description="the numbers of a window are read as what they differ from its newest row's, which the "
        "head sees as they are",
    )
    loss: Literal["mae", "mse"] = Field(
        "mae", description="what training makes small: the mean absolute or the mean squared error"
    )
    stride: Annotated[int, Field(ge=1)] = Field(
        1, description="training windows end so many rows apart; more is faster on finely sampled series"
    )
    valid_fraction: Share = Field(
        0.15, description="share of the rows, before those of the test, that choose the epoch"
    )
    test_fraction: Share = Field(
        0.15, description="share of the rows, the last ones, to measure on; none where a test file is given"
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
