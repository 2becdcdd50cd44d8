"""What the columns of a series are and how each becomes inputs: learned in training, saved, applied."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from recurra.errors import BundleError
from recurra.tasks.forecasting.series.cells import SENTINELS, far_outside
from recurra.tasks.forecasting.series.clock import Clock, Stamps

__all__ = ["Category", "Layout", "Matrix", "Scale", "calendar_columns", "forward_filled"]

Period = Literal["day", "week", "year"]
_DAY = 86_400_000_000  # microseconds


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Scale(_Record):
    """A column of numbers: what one less its mean, divided by its deviation, makes of it.

    ``low`` and ``high`` are its range in the training rows, ``missing`` numbers that mean a missing value.
    """

    name: str
    mean: float
    std: float
    low: float
    high: float
    missing: list[float]

    def known(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """``(M,)`` the values, NaN where one stands for missing."""
        gone = np.isin(values, self.missing)
        for one in SENTINELS:
            if far_outside(one, self.low, self.high):
                gone |= values == one
        return np.where(gone, np.nan, values)

    def normal(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """In deviations from the mean."""
        return (values - self.mean) / self.std

    def in_unit(self, normal: NDArray[np.float32]) -> NDArray[np.float64]:
        """Deviations in the column's own unit again."""
        return normal.astype(np.float64) * self.std + self.mean


class Category(_Record):
    """A column of words, those of the training rows, sorted: each is a column of zeros and ones."""

    name: str
    words: list[str]


class Layout(_Record):
    """The columns of a series.

    Attributes:
        time: the time's columns; empty where rows have no time.
        time_format: how a stamp is written.
        spacing: seconds between rows, None where rows have no time.
        target: the column to forecast.
        numbers: columns of numbers that are inputs.
        categories: columns of words that are inputs.
        flags: groups of columns that were missing together in training; each group has an input that is 1
            where one of them is missing.
        calendar: periods whose sine and cosine are inputs.
        left_out: columns that are no inputs, and why.
    """

    time: list[str]
    time_format: str
    spacing: float | None
    target: Scale
    numbers: list[Scale]
    categories: list[Category]
    flags: list[list[str]]
    calendar: list[Period]
    left_out: dict[str, str]

    @property
    def clock(self) -> Clock | None:
        """Where the time stands."""
        return Clock(tuple(self.time), self.time_format) if self.time else None

    @property
    def features(self) -> list[str]:
        """The inputs of a row, in order."""
        return [
            *(column.name for column in self.numbers),
            *(f"{', '.join(group)} missing" for group in self.flags),
            *(f"{column.name} {word}" for column in self.categories for word in column.words),
            *(f"{wave} of the {period}" for period in self.calendar for wave in ("sine", "cosine")),
        ]

    def to_json(self) -> str:
        """As a text for a model's directory."""
        return self.model_dump_json(indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """What ``to_json`` wrote.

        Raises:
            BundleError: it is something else.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise BundleError(f"is no layout of a series ({error.errors()[0]['msg']})") from error


class Matrix(NamedTuple):
    """A series as a network reads it.

    Attributes:
        inputs: ``(M, E)`` float32, a row of `Layout.features` each.
        target: ``(M,)`` float64 in its own unit, NaN where missing.
        last: ``(M,)`` float64 the last known target up to each row, the training mean before the first.
        stamps: ``(M,)`` the time of each row, None without.
        numbers: ``(M,)`` int64 the row of the file, 0 for one that was inserted.
        inserted: how many were.
    """

    inputs: NDArray[np.float32]
    target: NDArray[np.float64]
    last: NDArray[np.float64]
    stamps: Stamps | None
    numbers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.inputs)


def forward_filled(values: NDArray[np.float64], before: float) -> NDArray[np.float64]:
    """``(M,)`` with each NaN replaced by the last value above it; ``before`` where there is none.

    Example:
        >>> forward_filled(np.array([np.nan, 1.0, np.nan, 2.0]), 0.0).tolist()
        [0.0, 1.0, 1.0, 2.0]
    """
    known = np.isfinite(values)
    last = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))
    return np.where(last >= 0, values[np.maximum(last, 0)], before)


def calendar_columns(stamps: Stamps, periods: list[Period]) -> NDArray[np.float64]:
    """``(M, 2 * periods)`` sine and cosine of how much of the day, week or year has gone by at each time.

    A week begins on Monday; a year has its own length.
    """
    days = stamps.astype("datetime64[D]")
    columns = []
    for period in periods:
        if period == "year":
            years = stamps.astype("datetime64[Y]")
            begin, end = years.astype("datetime64[us]"), (years + 1).astype("datetime64[us]")
            share = (stamps - begin) / (end - begin)
        else:
            share = (stamps - days.astype("datetime64[us]")).astype(np.int64) / _DAY
            if period == "week":  # the epoch, day 0, was a Thursday
                share = ((days.astype(np.int64) + 3) % 7 + share) / 7
        columns += [np.sin(2 * np.pi * share), np.cos(2 * np.pi * share)]
    return np.stack(columns, axis=1) if columns else np.zeros((len(stamps), 0))
