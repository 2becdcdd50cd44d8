"""The layout of a series: its columns, their scales in training, and how they become inputs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

from recurra.tasks.forecasting.series.clock import Clock
from recurra.tasks.forecasting.series.grid import Grid
from recurra.tasks.forecasting.series.scale import Scale
from recurra.tasks.forecasting.series.spacing import SavedSpacing
from recurra.tasks.forecasting.series.spelling import Stamps
from recurra.tasks.forecasting.series.table import Table, numbers_of, words_of
from recurra.tasks.forecasting.settings import Period

__all__ = ["Category", "Layout", "Matrix", "calendar_columns", "encode", "filled"]

_DAY = 86_400_000_000  # microseconds


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Category(_Record):
    """A column of words. Each word of the training rows (sorted) is an input of zeros and ones."""

    name: str
    words: list[str]


class Layout(_Record):
    """The columns of a series.

    Attributes:
        time: the columns of the time; empty if rows have no time.
        time_format: the format of the time.
        time_zoned: whether the times of training have an offset from UTC; None if that is not known.
        spacing: the distance of the rows; None if rows have no time.
        target: the column to forecast.
        numbers: columns of numbers that are inputs.
        categories: columns of words that are inputs.
        flags: groups of columns that are missing in the same training rows; each group has an input that is 1
            if one of them is missing.
        calendar: periods whose sine and cosine are inputs.
        left_out: columns that are not inputs, and the reason.
    """

    time: list[str]
    time_format: str
    time_zoned: bool | None = None
    spacing: SavedSpacing
    target: Scale
    numbers: list[Scale]
    categories: list[Category]
    flags: list[list[str]]
    calendar: list[Period]
    left_out: dict[str, str]

    @model_validator(mode="after")
    def _calendar_has_a_time(self) -> Layout:
        if self.calendar and not self.time:
            raise ValueError("there is a calendar, but no column of the time")
        return self

    @property
    def clock(self) -> Clock | None:
        """The columns and the format of the time."""
        return Clock(tuple(self.time), self.time_format, self.time_zoned) if self.time else None

    @property
    def columns(self) -> list[str]:
        """The names of the inputs' columns and of the target."""
        inputs = [scale.name for scale in self.numbers] + [category.name for category in self.categories]
        return list(dict.fromkeys([*inputs, self.target.name]))

    @property
    def features(self) -> list[str]:
        """The names of the inputs of a row, in order."""
        return [
            *(column.name for column in self.numbers),
            *(f"{', '.join(group)} missing" for group in self.flags),
            *(f"{column.name} {word}" for column in self.categories for word in column.words),
            *(f"{wave} of the {period}" for period in self.calendar for wave in ("sine", "cosine")),
        ]


class Matrix(NamedTuple):
    """A series as a network reads it.

    Attributes:
        inputs: ``(M, E)`` float32, with the columns `Layout.features`.
        target: ``(M,)`` float64 in its own unit, NaN if missing.
        last: ``(M,)`` float64 the last known target up to each row; the training mean before the first.
        stamps: ``(M,)`` the time of each row; None without times.
        numbers: ``(M,)`` int64 the row of the file; 0 for an inserted row.
        missing: ``(M, C)`` whether the cell of each column (numbers, then words) is missing.
        unknown: ``(M,)`` words that training had not, None elsewhere, by the name of the column.
    """

    inputs: NDArray[np.float32]
    target: NDArray[np.float64]
    last: NDArray[np.float64]
    stamps: Stamps | None
    numbers: NDArray[np.int64]
    missing: NDArray[np.bool_]
    unknown: dict[str, NDArray[np.object_]]

    def __len__(self) -> int:
        return len(self.inputs)


def filled(values: NDArray[np.float64], before: float) -> NDArray[np.float64]:
    """Returns ``values`` ``(M,)`` with each NaN replaced by the last value before it, or by ``before``.

    Example:
        >>> filled(np.array([np.nan, 1.0, np.nan, 2.0]), 0.0).tolist()
        [0.0, 1.0, 1.0, 2.0]
    """
    known = np.isfinite(values)
    last = np.maximum.accumulate(np.where(known, np.arange(len(values)), -1))
    return np.where(last >= 0, values[np.maximum(last, 0)], before)


def calendar_columns(stamps: Stamps, periods: list[Period]) -> NDArray[np.float64]:
    """Returns the sine and cosine of the share of each period that has passed ``(M, 2 * periods)``.

    A week begins on Monday; a year has 365 or 366 days.
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


def encode(table: Table, grid: Grid, layout: Layout) -> Matrix:
    """Returns a table as the network reads it. Each row depends only on rows up to its time.

    A missing number is replaced by the last one before it, or by the training mean if there is none. A word
    that is missing, or not among those of training, is all zeros.

    Raises:
        DataError: a column of the layout is missing, or a column of numbers has a text or a number that is
            too far from those of training.
    """
    for name in layout.columns:
        if name not in table.columns:
            raise table.error(f"there is no column {name!r}")
    gone: dict[str, NDArray[np.bool_]] = {}
    unknown: dict[str, NDArray[np.object_]] = {}
    columns: list[NDArray[np.float64]] = []
    for scale in layout.numbers:
        values = _column_values(table, grid, scale)
        gone[scale.name] = np.isnan(values)
        columns.append(scale.normal(filled(values, scale.mean)))
    for group in layout.flags:
        columns.append(np.logical_or.reduce([gone[name] for name in group]).astype(np.float64))
    for category in layout.categories:
        words = grid.place(words_of(table.columns[category.name]), None)
        columns += [(words == word).astype(np.float64) for word in category.words]
        gone[category.name] = np.array([word is None for word in words.tolist()], bool)
        new = ~gone[category.name] & ~np.isin(words.astype(str), category.words)
        if new.any():
            unknown[category.name] = words.copy()
            unknown[category.name][~new] = None
    if grid.stamps is not None:
        columns += list(calendar_columns(grid.stamps, layout.calendar).T)
    target = _column_values(table, grid, layout.target)
    inputs = np.stack(columns, axis=1).astype(np.float32)
    last = filled(target, layout.target.mean)
    missing = np.stack([*gone.values(), np.zeros(len(inputs), bool)], axis=1)[:, :-1]
    return Matrix(inputs, target, last, grid.stamps, grid.place(table.numbers, 0), missing, unknown)


def _column_values(table: Table, grid: Grid, scale: Scale) -> NDArray[np.float64]:
    """A column of numbers on the grid, of shape (M,); NaN if a cell is missing or a row was inserted."""
    numbers = numbers_of(table.columns[scale.name], table.decimal_comma)
    if len(numbers.strange):
        raise table.not_a_number(scale.name, int(numbers.strange[0]))
    values = scale.known(numbers.values)
    far = scale.too_far(values)
    if len(far):
        value = float(values[far[0]])
        training = f"{scale.low:g} to {scale.high:g} in the training rows"
        what = f"{value:g} in column {scale.name!r} is too far from its values, {training}"
        hint = f"fix the cell or leave it empty, or train with series.missing={value:g} or other columns"
        raise table.error(what, int(far[0]), hint)
    return grid.place(values, np.nan)
