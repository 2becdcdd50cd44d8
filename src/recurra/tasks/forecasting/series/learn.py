"""The layout of a series, learned from a table: which columns are inputs, and their scales in training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.errors import ConfigError
from recurra.tasks.forecasting.series.clock import TIME_NAMES, Clock, has_offsets
from recurra.tasks.forecasting.series.grid import Grid
from recurra.tasks.forecasting.series.layout import Category, Layout
from recurra.tasks.forecasting.series.numbers import Numbers, compound, counts_rows, words_of
from recurra.tasks.forecasting.series.scale import LARGEST, SMALLEST, Scale, mean_and_std, sentinels_of
from recurra.tasks.forecasting.series.table import Table
from recurra.tasks.forecasting.settings import Period, SeriesConfig
from recurra.tasks.reporter import Counting, Reporter, Tick

__all__ = ["learn_layout"]

_MOST_WORDS = 50
_PERIODS = {"day": 86_400, "week": 604_800, "year": 365 * 86_400}
_SILENT = Reporter().counting
_UNUSED = "the same, or missing, in all training rows"


def learn_layout(
    table: Table,
    clock: Clock | None,
    grid: Grid,
    config: SeriesConfig,
    rows: int,
    counting: Counting = _SILENT,
) -> tuple[Layout, list[str]]:
    """Returns the layout of ``table``, with scales and words of the training rows, and its warnings.

    Columns that number the rows, columns that are empty or constant in the training rows, and columns of more
    than 50 different words are left out. A column whose cells are mostly numbers is a column of numbers.

    Args:
        table: the cells.
        clock: the columns of the time.
        grid: the rows.
        config: target, inputs, calendar and numbers that mark missing values.
        rows: the number of training rows at the start of the grid.
        counting: shows the progress over the cells.

    Raises:
        ConfigError: a named column does not exist, or the target must be named.
        DataError: the target is not a number, or missing or constant in the training rows; a column of
            numbers has a text, or numbers too large or too small to compute with; or there are no inputs.
    """
    time = [] if clock is None else list(clock.columns)
    left_out: dict[str, str] = {}
    warnings: list[str] = []
    with counting("reading the numbers", len(table) * len(table.columns)) as tick:
        columns = _columns(table, config, time, left_out, tick)
    target = _target(table, columns, config, time)
    found = columns.get(target) or _read(table, target, table.numbers_in(target))
    if found is None or found.are_words:
        raise table.error(f"the target {target!r} has no numbers")
    values = found.on(grid)
    target_scale = _scale(table, grid, target, values, rows, config.missing, warnings)
    if target_scale is None:
        what = "the same" if np.isfinite(values[:rows]).any() else "missing"
        raise table.error(
            f"the target {target!r} is {what} in all training rows: there is nothing to forecast"
        )
    unknown = int(np.isnan(target_scale.known(values)).sum())
    if unknown:
        rows_in_words = "1 row: it is" if unknown == 1 else f"{unknown:,} rows: they are"
        warnings.append(f"the target {target!r} is missing in {rows_in_words} never forecast")
    if clock is None:
        warnings += [
            f"column {name!r} has the name of a time, but numbers that are none: rows are counted"
            for name in columns
            if name.strip().lower() in TIME_NAMES and name != target
        ]
    numbers: list[Scale] = []
    categories: list[Category] = []
    with counting("learning the scales", len(table) * len(columns)) as tick:
        for name, column in columns.items():
            if column.are_words:
                words = sorted({word for word in column.on(grid)[:rows] if word is not None})
                if len(words) < 2:
                    left_out[name] = _UNUSED
                elif len(words) > _MOST_WORDS:
                    left_out[name] = f"{len(words):,} different words"
                else:
                    categories.append(Category(name=name, words=words))
            elif name == target:
                numbers.append(target_scale)
            else:
                scale = _scale(table, grid, name, column.on(grid), rows, config.missing, warnings)
                if scale is None:
                    left_out[name] = _UNUSED
                else:
                    numbers.append(scale)
            tick(len(table))
    layout = Layout(
        time=time,
        time_format=clock.format if clock else "",
        time_zoned=has_offsets(table, clock) if clock else None,
        spacing=grid.spacing,
        target=target_scale,
        numbers=numbers,
        categories=categories,
        flags=_flags(numbers, columns, grid, rows),
        calendar=_calendar(config, grid, rows, left_out),
        left_out=left_out,
    )
    if not layout.features:
        hint = "name columns in series.inputs"
        raise table.error("no column is left as an input", hint=hint)
    return layout, warnings


@dataclass(frozen=True)
class _Column:
    """The cells of a column: numbers (N,) float64, or words, which are read when they are asked for."""

    table: Table
    name: str
    are_words: bool

    def on(self, grid: Grid) -> NDArray[Any]:
        """Returns the cells on the grid: float64, or object for words."""
        if self.are_words:
            return grid.place(words_of(self.table.columns[self.name]), None)
        return grid.place(self.table.numbers_in(self.name).values, np.nan)


def _columns(
    table: Table, config: SeriesConfig, time: list[str], left_out: dict[str, str], tick: Tick
) -> dict[str, _Column]:
    """The columns that may be inputs, by name; the reasons for others are added to ``left_out``."""
    for name in config.inputs or []:
        if name not in table.columns:
            raise table.no_column("inputs", name)
    parts = {"year", "month", "day", "hour", "minute", "second"} if time else set()
    columns = {}
    for name in table.names if config.inputs is None else config.inputs:
        if name in time:
            tick(len(table))
            continue
        if (what := compound(table.columns[name])) is not None:
            left_out[name] = f"holds {what}"
            continue
        numbers = table.numbers_in(name, tick)
        if config.inputs is None and name != config.target:
            if name.strip().lower() in parts:
                left_out[name] = "a part of the time"
                continue
            if counts_rows(numbers.values):
                left_out[name] = "it numbers the rows"
                continue
        column = _read(table, name, numbers)
        if column is None:
            left_out[name] = "empty"
        else:
            columns[name] = column
    return columns


def _read(table: Table, name: str, numbers: Numbers) -> _Column | None:
    """A column of numbers or words; None if all cells are missing."""
    if not numbers.present:
        return None
    if not len(numbers.strange):
        return _Column(table, name, are_words=False)
    if 2 * len(numbers.strange) < numbers.present:
        raise table.not_a_number(name, int(numbers.strange[0]))
    return _Column(table, name, are_words=True)


def _target(table: Table, columns: dict[str, _Column], config: SeriesConfig, time: list[str]) -> str:
    if config.target is not None:
        if config.target not in table.columns or config.target in time:
            raise table.no_column("target", config.target)
        return config.target
    numeric = [name for name, column in columns.items() if not column.are_words]
    if len(numeric) == 1:
        return numeric[0]
    raise ConfigError(
        "the column to forecast is not named",
        where=table.where,
        hint=f"pass --target with one of {', '.join(numeric)}" if numeric else "give a column of numbers",
    )


def _scale(
    table: Table,
    grid: Grid,
    name: str,
    values: NDArray[np.float64],
    rows: int,
    missing: list[float] | None,
    warnings: list[str],
) -> Scale | None:
    """The scale of a column's training rows; None if they are all missing or equal."""
    training = values[:rows]
    if missing is None:
        markers = sentinels_of(training)
    else:
        markers = [number for number in missing if bool((values == number).any())]
    used = np.isfinite(training) & ~np.isin(training, markers)
    known = training[used]
    if not len(known) or known.min() == known.max():
        return None
    largest = int(np.abs(known).argmax())
    if not SMALLEST <= abs(known[largest]) <= LARGEST:
        size = "large" if abs(known[largest]) > LARGEST else "small"
        limit, cure = (LARGEST, "divide") if size == "large" else (SMALLEST, "multiply")
        raise table.error(
            f"the values of column {name!r} are too {size}: {known[largest]:g}, the limit is {limit:g}",
            position=int(grid.source[np.flatnonzero(used)[largest]]),
            hint=f"{cure} the column by a power of ten, or choose other columns with series.inputs",
        )
    mean, std = mean_and_std(known)
    scale = Scale(
        name=name, mean=mean, std=std, low=float(known.min()), high=float(known.max()), missing=markers
    )
    gone = np.isnan(scale.known(values)) & ~np.isnan(values)
    if gone.any():
        which = ", ".join(f"{number:g}" for number in np.unique(values[gone]))
        cells = "1 cell" if gone.sum() == 1 else f"{int(gone.sum()):,} cells"
        warnings.append(f"column {name!r}: {which} in {cells} counts as missing")
    return scale


def _flags(numbers: list[Scale], columns: dict[str, _Column], grid: Grid, rows: int) -> list[list[str]]:
    """Columns with missing training rows, grouped if they are missing in the same rows."""
    groups: dict[bytes, list[str]] = {}
    for scale in numbers:
        gone = np.isnan(scale.known(columns[scale.name].on(grid)[:rows]))
        if gone.any():
            groups.setdefault(np.packbits(gone).tobytes(), []).append(scale.name)
    return list(groups.values())


def _calendar(config: SeriesConfig, grid: Grid, rows: int, left_out: dict[str, str]) -> list[Period]:
    """The periods that the training rows contain twice; one that occurs once could be a trend."""
    if grid.spacing is None:
        return []
    periods: list[Period] = []
    for period in config.calendar:
        if grid.spacing.seconds >= _PERIODS[period]:
            continue
        if grid.spacing.mean_seconds * rows < 2 * _PERIODS[period]:
            left_out[f"time of the {period}"] = f"training rows are less than two {period}s"
        else:
            periods.append(period)
    return periods
