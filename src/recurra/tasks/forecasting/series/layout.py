"""The layout of a series: its columns, their scales in training, and how they become inputs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, model_validator

from recurra.io.cache import cache_folder, cached_columns, content_key
from recurra.io.columns import Arrays, texts_of, to_texts
from recurra.tasks.forecasting.series.clock import Clock
from recurra.tasks.forecasting.series.grid import Grid
from recurra.tasks.forecasting.series.numbers import BLOCK, words_of
from recurra.tasks.forecasting.series.scale import Scale
from recurra.tasks.forecasting.series.spacing import SavedSpacing
from recurra.tasks.forecasting.series.spelling import Stamps
from recurra.tasks.forecasting.series.table import Table
from recurra.tasks.forecasting.settings import Period
from recurra.tasks.reporter import Counting, Reporter, Tick

__all__ = ["Category", "Layout", "Matrix", "calendar_columns", "encode", "filled"]

_DAY = 86_400_000_000  # microseconds
_SILENT = Reporter().counting


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


def encode(table: Table, grid: Grid, layout: Layout, counting: Counting = _SILENT) -> Matrix:
    """Returns a table as the network reads it. Each row depends only on rows up to its time.

    The arrays of a large table are mapped from the cache; ``counting`` shows the progress.

    A missing number is replaced by the last one before it, or by the training mean if there is none. A word
    that is missing, or not among those of training, is all zeros.

    Raises:
        DataError: a column of the layout is missing, or a column of numbers has a text or a number that is
            too far from those of training.
    """
    for name in layout.columns:
        if name not in table.columns:
            raise table.error(f"there is no column {name!r}")
    numbers = {scale.name: _checked(table, scale) for scale in (*layout.numbers, layout.target)}
    with counting("encoding the rows", len(grid.source)) as tick:
        if table.is_large:
            places = hashlib.sha256(grid.source.tobytes()).hexdigest()
            key = content_key([], table.key, "series", layout.model_dump_json(), places)
            return cached_columns(
                cache_folder(),
                key,
                lambda: _encoded(table, grid, layout, numbers, tick),
                lambda arrays: _matrix(arrays, grid, layout),
            )
        blocks = list(_encoded(table, grid, layout, numbers, tick))
        names = dict.fromkeys(name for block in blocks for name in block)
        arrays = {name: np.concatenate([block[name] for block in blocks if name in block]) for name in names}
        return _matrix(arrays, grid, layout)


def _encoded(
    table: Table, grid: Grid, layout: Layout, numbers: Mapping[str, NDArray[np.float64]], tick: Tick
) -> Iterator[Arrays]:
    """The arrays of a matrix, some rows after the other, and at the end its unknown words."""
    before = {scale.name: scale.mean for scale in layout.numbers}
    last = layout.target.mean
    unknown: dict[str, tuple[list[int], list[str]]] = {c.name: ([], []) for c in layout.categories}
    first = 0
    for rows in grid.blocks():
        size = len(rows.source)
        gone: dict[str, NDArray[np.bool_]] = {}
        columns: list[NDArray[np.float64]] = []
        for scale in layout.numbers:
            values = scale.known(rows.place(numbers[scale.name], np.nan))
            gone[scale.name] = np.isnan(values)
            values = filled(values, before[scale.name])
            before[scale.name] = float(values[-1]) if size else before[scale.name]
            columns.append(scale.normal(values))
        for group in layout.flags:
            columns.append(np.logical_or.reduce([gone[name] for name in group]).astype(np.float64))
        for category in layout.categories:
            words = _words(table.columns[category.name], rows)
            columns += [(words == word).astype(np.float64) for word in category.words]
            gone[category.name] = np.array([word is None for word in words.tolist()], bool)
            new = np.flatnonzero(~gone[category.name] & ~np.isin(words.astype(str), category.words))
            at, texts = unknown[category.name]
            at += (new + first).tolist()
            texts += words[new].tolist()
        if rows.stamps is not None:
            columns += list(calendar_columns(rows.stamps, layout.calendar).T)
        target = layout.target.known(rows.place(numbers[layout.target.name], np.nan))
        known = filled(target, last)
        last = float(known[-1]) if size else last
        yield {
            "inputs": np.stack(columns, axis=1).astype(np.float32),
            "target": target,
            "last": known,
            "numbers": rows.place(table.numbers, 0),
            "missing": np.stack([*gone.values(), np.zeros(size, bool)], axis=1)[:, :-1],
        }
        first += size
        tick(size)
    for position, (at, texts) in enumerate(unknown.values()):
        content, ends = to_texts(texts)
        name = f"unknown{position}"
        yield {name: np.array(at, np.int64), f"{name}_words": content, f"{name}_ends": ends}


def _matrix(arrays: Mapping[str, NDArray[Any]], grid: Grid, layout: Layout) -> Matrix:
    unknown: dict[str, NDArray[np.object_]] = {}
    for position, category in enumerate(layout.categories):
        name = f"unknown{position}"
        if len(at := arrays[name]):
            unknown[category.name] = np.full(len(grid.source), None, dtype=object)
            unknown[category.name][at] = texts_of(arrays[f"{name}_words"], arrays[f"{name}_ends"])
    return Matrix(
        arrays["inputs"],
        arrays["target"],
        arrays["last"],
        grid.stamps,
        arrays["numbers"],
        arrays["missing"],
        unknown,
    )


def _words(column: pa.ChunkedArray, rows: Grid) -> NDArray[np.object_]:
    """The words of some rows of the grid, of which those from the file are in its order."""
    given = rows.source[rows.source >= 0]
    if not len(given):
        return np.full(len(rows.source), None, dtype=object)
    begin = int(given[0])
    words = words_of(column.slice(begin, int(given[-1]) + 1 - begin))
    placed = words[np.maximum(rows.source - begin, 0)]
    placed[rows.source < 0] = None
    return placed


def _checked(table: Table, scale: Scale) -> NDArray[np.float64]:
    """The numbers of a column of the file, of shape (N,), which are all numbers and not too far away."""
    numbers = table.numbers_in(scale.name)
    if len(numbers.strange):
        raise table.not_a_number(scale.name, int(numbers.strange[0]))
    for first in range(0, len(numbers.values), BLOCK):
        values = scale.known(numbers.values[first : first + BLOCK])
        far = scale.too_far(values)
        if len(far):
            value = float(values[far[0]])
            training = f"{scale.low:g} to {scale.high:g} in the training rows"
            what = f"{value:g} in column {scale.name!r} is too far from its values, {training}"
            hint = f"fix the cell or leave it empty, or train with series.missing={value:g} or other columns"
            raise table.error(what, first + int(far[0]), hint)
    return numbers.values
