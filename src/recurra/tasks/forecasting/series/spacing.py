"""The distance of the rows of a series in time: seconds, calendar months, or the working days of a week."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, PlainSerializer

from recurra.tasks.forecasting.series.spelling import Stamps

__all__ = ["SavedSpacing", "Spacing", "calendar_spacing", "span"]

_DAY = 86_400.0
_LAST = 31
_WOBBLE = 4  # days that the rows of a monthly series may differ, such as the first working day of a month
_HOLIDAYS = 10  # working days in a row without a row of the table that are taken for holidays
_FEWEST = 10
_MOSTLY = 0.8
_MONTHLIKE = ((1, 28, 31), (3, 90, 92), (12, 365, 366))


@dataclass(frozen=True)
class Spacing:
    """The distance from one row to the next.

    Attributes:
        seconds: the distance in seconds; the usual one if rows are months or working days apart.
        months: the number of calendar months; 0 if the distance is not one of the calendar.
        day: the day of the month of all rows, 31 for the last one.
        weekmask: a digit for each day of the week from Monday, 1 if it has rows, as in `numpy.busday_offset`;
            empty if all have.

    Example:
        >>> last_days = Spacing(31 * 86400.0, months=1, day=31)
        >>> last_days.later(np.array(["2010-02-28"], "datetime64[us]"), 1).astype("datetime64[D]")
        array(['2010-03-31'], dtype='datetime64[D]')
        >>> Spacing(86400.0, weekmask="1111100").words(2), Spacing(600.0).words(6)
        ('2 business days', '1 h')
    """

    seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    months: Annotated[int, Field(ge=0, le=12_000)] = 0
    day: Annotated[int, Field(ge=0, le=31)] = 0
    weekmask: Annotated[str, Field(pattern="^([01]{7})?$")] = ""

    @property
    def in_calendar(self) -> bool:
        """Whether rows are months or working days apart."""
        return bool(self.months or self.weekmask)

    @property
    def mean_seconds(self) -> float:
        """The mean distance in seconds, with the days of the week that have no rows."""
        return 7 * _DAY / self.weekmask.count("1") if self.weekmask else self.seconds

    @property
    def season(self) -> int | None:
        """The number of rows of a day, a week or a year, whichever is the shortest of several rows."""
        if self.weekmask:
            return self.weekmask.count("1")
        if self.months:
            return 12 // self.months if self.months < 12 and 12 % self.months == 0 else None
        for seconds in (_DAY, 7 * _DAY):
            if self.seconds < seconds and seconds % self.seconds == 0:
                return round(seconds / self.seconds)
        return 12 if 28 * _DAY <= self.seconds <= 31 * _DAY else None

    def words(self, rows: int = 1) -> str:
        """Returns the time from a row to the one ``rows`` later as text."""
        if self.weekmask:
            return _counted(rows, "business day")
        if self.months:
            months = rows * self.months
            return _counted(months, "month") if months % 12 else _counted(months // 12, "year")
        return span(rows * self.seconds)

    def later(self, stamps: Stamps, rows: int) -> Stamps:
        """Returns the times ``rows`` rows after ``stamps``.

        After the last day of a month comes the last day of another one, after a Friday a Monday if the series
        has no rows on Saturday and Sunday. Holidays are not known.
        """
        if self.months:
            month = stamps.astype("datetime64[M]") + rows * self.months
            days = np.minimum(self.day, _days_of(month)) - 1
            of_day = stamps - stamps.astype("datetime64[D]").astype("datetime64[us]")
            return np.asarray((month.astype("datetime64[D]") + days).astype("datetime64[us]") + of_day)
        if self.weekmask:
            day = stamps.astype("datetime64[D]")
            days = np.busday_offset(day, rows, roll="backward", weekmask=self.weekmask)
            return np.asarray(days.astype("datetime64[us]") + (stamps - day.astype("datetime64[us]")))
        return np.asarray(stamps + np.timedelta64(round(rows * self.seconds * 1e6), "us"))

    def places(self, stamps: Stamps) -> NDArray[np.int64]:
        """Returns the place of each of ascending times among rows of the calendar, of shape (N,), from 0.

        Up to 10 working days without a row are holidays, which have no place.
        """
        if self.months:
            month = stamps.astype("datetime64[M]").astype(np.int64)
            return np.asarray(-((month[0] - month) // self.months))
        days = stamps.astype("datetime64[D]")
        passed = np.busday_count(days[:-1], days[1:], weekmask=self.weekmask)
        passed = np.where(
            (passed < 1) | (passed <= _HOLIDAYS + 1), np.diff(days).astype(np.int64) > 0, passed
        )
        return np.concatenate([[0], np.cumsum(passed)]).astype(np.int64)

    def holidays(self, stamps: Stamps) -> int:
        """Returns the number of working days that `places` takes for holidays."""
        if not self.weekmask:
            return 0
        days = stamps.astype("datetime64[D]")
        passed = np.busday_count(days[:-1], days[1:], weekmask=self.weekmask)
        return int((passed - 1)[(passed > 1) & (passed <= _HOLIDAYS + 1)].sum())


def _from_saved(value: Any) -> Any:
    """A model of before calendar spacings has seconds only; those of a month, quarter or year were such."""
    if not isinstance(value, int | float):
        return value
    months = next((n for n, least, most in _MONTHLIKE if least * _DAY <= value <= most * _DAY), 0)
    return {"seconds": value, "months": months, "day": _LAST if months else 0}


def _to_saved(spacing: Spacing | None) -> Any:
    if spacing is None:
        return None
    return asdict(spacing) if spacing.in_calendar else spacing.seconds


SavedSpacing = Annotated[Spacing | None, BeforeValidator(_from_saved), PlainSerializer(_to_saved)]
"""A spacing in JSON: seconds as a number, one of the calendar as an object."""


def calendar_spacing(stamps: Stamps) -> Spacing | None:
    """Returns the months or the working days from one of ascending times to the next.

    Months (quarters, years) may be missing, and their days may differ by up to 4 days. The rows of working
    days are on the same days of all weeks, and at most a fifth of these days has none. None if the times are
    neither.

    Example:
        >>> calendar_spacing(np.array(["2020-01-31", "2020-02-29", "2020-04-30"], "datetime64[us]"))
        Spacing(seconds=3888000.0, months=1, day=31, weekmask='')
    """
    if len(stamps) < 2:
        return None
    return _months(stamps) or _working_days(stamps)


def span(seconds: float) -> str:
    """Returns a length of time as text, such as ``10 min`` or ``2 d 3 h``.

    Example:
        >>> span(600), span(3600 * 51), span(0.5)
        ('10 min', '2 d 3 h', '0.5 s')
    """
    words = []
    left = seconds
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        whole, left = divmod(left, size)
        if whole:
            words.append(f"{whole:,.0f} {unit}")
    if left or not words:
        words.append(f"{left:g} s")
    return " ".join(words[:2])


def _months(stamps: Stamps) -> Spacing | None:
    months = stamps.astype("datetime64[M]")
    steps = np.diff(months).astype(np.int64)
    if (steps < 1).any() or np.diff(stamps).min() < np.timedelta64(27, "D"):
        return None
    values, counts = np.unique(steps, return_counts=True)
    usual = int(values[counts.argmax()])
    if (steps % usual).any():
        return None
    days = (stamps.astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64) + 1
    lengths = _days_of(months)
    if (days == lengths).all():
        day = _LAST
    elif (days == np.minimum(days.max(), lengths)).all():
        day = int(days.max())
    elif np.ptp(days) <= _WOBBLE:
        day = _most_frequent(days)
    elif np.ptp(lengths - days) <= _WOBBLE:
        day = _LAST - _most_frequent(lengths - days)
    else:
        return None
    return Spacing(float(np.median(np.diff(stamps).astype(np.int64))) / 1e6, months=usual, day=day)


def _working_days(stamps: Stamps) -> Spacing | None:
    days = stamps.astype("datetime64[D]")
    steps = np.diff(days).astype(np.int64)
    if len(days) < _FEWEST or (steps < 1).any() or (steps == steps[0]).all():
        return None
    weekdays = np.unique((days.astype(np.int64) + 3) % 7)  # the epoch, day 0, was a Thursday
    if not 2 <= len(weekdays) <= 6 or int((days[-1] - days[0]).astype(np.int64)) < 14:
        return None
    weekmask = "".join("1" if weekday in weekdays else "0" for weekday in range(7))
    passed = np.busday_count(days[:-1], days[1:], weekmask=weekmask)
    return Spacing(_DAY, weekmask=weekmask) if (passed == 1).mean() >= _MOSTLY else None


def _days_of(months: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """The number of days of months (N,), datetime64[M]."""
    return np.asarray(
        ((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")).astype(np.int64)
    )


def _most_frequent(values: NDArray[np.int64]) -> int:
    found, counts = np.unique(values, return_counts=True)
    return int(found[counts.argmax()])


def _counted(number: int, unit: str) -> str:
    return f"1 {unit}" if number == 1 else f"{number:,} {unit}s"
