"""The layout of a series: its columns, their scales in training, and how they become inputs."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from recurra.errors import BundleError, DataError
from recurra.tasks.forecasting.series.clock import Clock, Stamps, read_stamps
from recurra.tasks.forecasting.series.grid import Grid, even_grid, rows_as_they_are
from recurra.tasks.forecasting.series.table import SENTINELS, Table, far_outside, numbers_of, words_of

__all__ = [
    "Category",
    "Layout",
    "Matrix",
    "Period",
    "Scale",
    "calendar_columns",
    "column_values",
    "encode",
    "forward_filled",
    "grid_of",
    "not_a_number",
]

Period = Literal["day", "week", "year"]
_DAY = 86_400_000_000  # microseconds


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Scale(_Record):
    """A column of numbers, standardized by its mean and standard deviation in the training rows.

    Attributes:
        low: the smallest value in the training rows, and ``high``, the largest.
        missing: numbers that mark a missing value.
    """

    name: str
    mean: float
    std: float
    low: float
    high: float
    missing: list[float]

    def known(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the values ``(M,)``, with NaN for numbers that mark a missing value."""
        gone = np.isin(values, self.missing)
        for sentinel in SENTINELS:
            if far_outside(sentinel, self.low, self.high):
                gone |= values == sentinel
        return np.where(gone, np.nan, values)

    def normal(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the standardized values."""
        return (values - self.mean) / self.std

    def in_unit(self, normal: NDArray[np.float32]) -> NDArray[np.float64]:
        """Returns standardized values in the unit of the column."""
        return normal.astype(np.float64) * self.std + self.mean


class Category(_Record):
    """A column of words. Each word of the training rows (sorted) is an input of zeros and ones."""

    name: str
    words: list[str]


class Layout(_Record):
    """The columns of a series.

    Attributes:
        time: the columns of the time; empty if rows have no time.
        time_format: the format of the time.
        spacing: seconds between rows; None if rows have no time.
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
    spacing: float | None
    target: Scale
    numbers: list[Scale]
    categories: list[Category]
    flags: list[list[str]]
    calendar: list[Period]
    left_out: dict[str, str]

    @property
    def clock(self) -> Clock | None:
        """The columns and the format of the time."""
        return Clock(tuple(self.time), self.time_format) if self.time else None

    @property
    def features(self) -> list[str]:
        """The names of the inputs of a row, in order."""
        return [
            *(column.name for column in self.numbers),
            *(f"{', '.join(group)} missing" for group in self.flags),
            *(f"{column.name} {word}" for column in self.categories for word in column.words),
            *(f"{wave} of the {period}" for period in self.calendar for wave in ("sine", "cosine")),
        ]

    def to_json(self) -> str:
        """Returns the layout as JSON."""
        return self.model_dump_json(indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Layout:
        """Returns the layout that `to_json` wrote.

        Raises:
            BundleError: ``text`` is not what `to_json` writes.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise BundleError(f"is not a layout of a series ({error.errors()[0]['msg']})") from error


class Matrix(NamedTuple):
    """A series as a network reads it.

    Attributes:
        inputs: ``(M, E)`` float32, with the columns `Layout.features`.
        target: ``(M,)`` float64 in its own unit, NaN if missing.
        last: ``(M,)`` float64 the last known target up to each row; the training mean before the first.
        stamps: ``(M,)`` the time of each row; None without times.
        numbers: ``(M,)`` int64 the row of the file; 0 for an inserted row.
    """

    inputs: NDArray[np.float32]
    target: NDArray[np.float64]
    last: NDArray[np.float64]
    stamps: Stamps | None
    numbers: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.inputs)


def forward_filled(values: NDArray[np.float64], before: float) -> NDArray[np.float64]:
    """Returns ``values`` ``(M,)`` with each NaN replaced by the last value before it, or by ``before``.

    Example:
        >>> forward_filled(np.array([np.nan, 1.0, np.nan, 2.0]), 0.0).tolist()
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


def grid_of(table: Table, layout: Layout) -> Grid:
    """Returns the rows of ``table`` on the layout's grid of times.

    Raises:
        DataError: as in `read_stamps` and `even_grid`.
    """
    clock = layout.clock
    if clock is None:
        return rows_as_they_are(table)
    return even_grid(table, read_stamps(table, clock), layout.spacing)


def encode(table: Table, grid: Grid, layout: Layout) -> Matrix:
    """Returns a table as the network reads it. Each row depends only on rows up to its time.

    A missing number is replaced by the last one before it, or by the training mean if there is none. A word
    that is missing, or not among those of training, is all zeros.

    Raises:
        DataError: a column of the layout is missing, or a column of numbers has a text.
    """
    gone: dict[str, NDArray[np.bool_]] = {}
    columns: list[NDArray[np.float64]] = []
    for scale in layout.numbers:
        values = scale.known(column_values(table, grid, scale.name))
        gone[scale.name] = np.isnan(values)
        columns.append(scale.normal(forward_filled(values, scale.mean)))
    for group in layout.flags:
        columns.append(np.logical_or.reduce([gone[name] for name in group]).astype(np.float64))
    for category in layout.categories:
        words = grid.place(words_of(table.column(category.name)), None)
        columns += [(words == word).astype(np.float64) for word in category.words]
    if grid.stamps is not None:
        columns += list(calendar_columns(grid.stamps, layout.calendar).T)
    target = layout.target.known(column_values(table, grid, layout.target.name))
    inputs = np.stack(columns, axis=1).astype(np.float32)
    last = forward_filled(target, layout.target.mean)
    return Matrix(inputs, target, last, grid.stamps, grid.place(table.numbers, 0))


def column_values(table: Table, grid: Grid, name: str) -> NDArray[np.float64]:
    """Returns a column of numbers on the grid ``(M,)``, NaN if a cell is missing or a row was inserted.

    Raises:
        DataError: there is no such column, or a cell is a text.
    """
    numbers = numbers_of(table.column(name), table.decimal_comma)
    if len(numbers.strange):
        raise not_a_number(table, name, int(numbers.strange[0]))
    return grid.place(numbers.values, np.nan)


def not_a_number(table: Table, name: str, position: int) -> DataError:
    """Returns the error for a cell that should be a number."""
    cell = str(table.columns[name][position].as_py())
    short = cell if len(cell) <= 40 else f"{cell[:37]}..."
    return DataError(
        f"{short!r} in column {name!r} is not a number",
        where=table.where,
        row=int(table.numbers[position]),
        hint="fix the cell or leave it empty, or choose columns with series.inputs",
    )
