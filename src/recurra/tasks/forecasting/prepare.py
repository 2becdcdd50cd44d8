"""Prepares a file of time series for training: read, put on an even grid, split by time, encoded."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recurra.config import DataConfig, updated
from recurra.errors import ConfigError, DataError
from recurra.io.cache import content_key
from recurra.tasks.base import Prepared
from recurra.tasks.forecasting.bundle import SeriesAssets
from recurra.tasks.forecasting.series.clock import find_clock, read_stamps
from recurra.tasks.forecasting.series.grid import even_grid, rows_as_they_are, span
from recurra.tasks.forecasting.series.layout import Layout, Matrix, encode, grid_of
from recurra.tasks.forecasting.series.learn import learn_layout
from recurra.tasks.forecasting.series.reach import Reach, find_reach, written
from recurra.tasks.forecasting.series.table import Table, read_table
from recurra.tasks.forecasting.settings import ForecasterConfig, SeriesConfig
from recurra.tasks.forecasting.windows import Windows
from recurra.tasks.reporter import Reporter

__all__ = [
    "Part",
    "SeriesData",
    "layout_facts",
    "open_series",
    "prepare",
    "prepare_tables",
    "reach_in_words",
    "rows_in_words",
    "windows_of",
]

_UNUSED = ("text", "label", "group", "label_separator", "label_kind", "valid_fraction", "split_seed")


@dataclass(frozen=True)
class Part:
    """The windows of one part of the time.

    Attributes:
        name: ``training``, ``validation`` or ``test``.
        where: the file.
        matrix: all rows of the file, since the input of a window may begin before the part.
        rows: current row of each window, sorted, of shape (N,), int64.
        first: first row of the part in the file.
        end: row after the last one.
        warnings: corrections made to a separate file.
    """

    name: str
    where: str
    matrix: Matrix
    rows: NDArray[np.int64]
    first: int
    end: int
    warnings: list[str] = field(default_factory=list)


SeriesData: TypeAlias = Prepared[ForecasterConfig, SeriesAssets, Part]
"""A series ready for training."""


def prepare(
    data: Path,
    config: ForecasterConfig,
    reporter: Reporter,
    *,
    valid: Path | None = None,
    test: Path | None = None,
) -> SeriesData:
    """Reads the files, splits by time, and learns columns and scales from the training rows.

    Without separate files, the last rows of ``data`` are the test part and the rows before them the
    validation part. A window belongs to the part that contains its current row and its last target; its input
    may begin in the part before, since those rows are known at that time.

    Raises:
        DataError: the rows can't be used, or there are too few.
        ConfigError: a setting names a missing column, or is not used for series.
    """
    _refuse_unused(config.data)
    reporter.step("Reading")
    tables = {"training": read_table(data, config.data)}
    for name, path in (("validation", valid), ("test", test)):
        if path is not None:
            tables[name] = read_table(path, config.data)
    key = content_key(
        [path for path in (data, valid, test) if path is not None],
        config.series.model_dump_json(),
        config.data.model_dump_json(),
    )
    return prepare_tables(tables, config, key, reporter)


def prepare_tables(
    tables: dict[str, Table],
    config: ForecasterConfig,
    key: str,
    reporter: Reporter,
    *,
    tested: bool = True,
) -> SeriesData:
    """Prepares tables, by the name of their part, as `prepare` does for files.

    Args:
        tables: ``training``, and separate tables ``validation`` and ``test`` if there are any.
        config: the settings.
        key: fingerprint of the data.
        reporter: receives the facts about the data.
        tested: whether to split a test part from the training rows if there is no table for it.
    """
    table, series = tables["training"], config.series
    clock = find_clock(table, series.time, series.time_format)
    grid = rows_as_they_are(table) if clock is None else even_grid(table, read_stamps(table, clock))
    reach = find_reach(series, grid.spacing)
    borders = _borders(len(grid.source), series, "validation" in tables, "test" in tables or not tested)
    learned = learn_layout(table, clock, grid, series, borders[0])
    layout = learned.layout
    reporter.facts({"rows": f"{len(table):,}", **layout_facts(layout, reach)})
    warnings = [*table.notes, *grid.warnings, *learned.warnings]
    matrix = encode(table, grid, layout)
    first = [0, *borders]
    names = ["training", "validation", "test"]
    parts: dict[str, Part] = {}
    for name, begin, end in zip(names, first, [*borders, len(matrix)], strict=False):
        if name in tables and name != "training":
            parts[name] = open_series(name, tables[name], layout, reach)
            warnings += [f"{name} file: {warning}" for warning in parts[name].warnings]
        elif end > begin:
            stride = series.stride if name == "training" else 1
            parts[name] = _part(name, table.where, matrix, begin, end, reach, stride)
    for warning in warnings:
        reporter.warn(warning)
    _report_parts(parts, reporter)
    return Prepared(
        updated(config, {"series": _detected(series, layout, reach)}),
        SeriesAssets(layout),
        parts["training"],
        parts["validation"],
        parts.get("test"),
        key,
        warnings,
    )


def open_series(name: str, table: Table, layout: Layout, reach: Reach) -> Part:
    """Returns all windows of a separate table with the columns of a layout.

    Raises:
        DataError: columns are missing, or there are too few rows.
    """
    grid = grid_of(table, layout)
    matrix = encode(table, grid, layout)
    part = _part(name, table.where, matrix, 0, len(matrix), reach, 1)
    return replace(part, warnings=[*table.notes, *grid.warnings])


def windows_of(
    part: Part,
    layout: Layout,
    reach: Reach,
    series: SeriesConfig,
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int = 0,
) -> Windows:
    """Returns the windows of a part with a standardized target, reversed if ``series.reversed`` is set."""
    scale, matrix = layout.target, part.matrix
    return Windows(
        matrix.inputs,
        scale.normal(matrix.target).astype(np.float32),
        scale.normal(matrix.last).astype(np.float32),
        part.rows,
        reach.behind[::-1] if series.reversed else reach.behind,
        reach.targets,
        batch_size,
        relative=len(layout.numbers) if series.relative else 0,
        shuffle=shuffle,
        seed=seed,
    )


def _borders(rows: int, series: SeriesConfig, valid_file: bool, test_file: bool) -> list[int]:
    """Returns the ends of the training rows and of the validation rows."""
    test = 0 if test_file else round(rows * series.test_fraction)
    valid = 0 if valid_file else round(rows * series.valid_fraction)
    return [rows - test - valid, rows - test]


def _part(name: str, where: str, matrix: Matrix, first: int, end: int, reach: Reach, stride: int) -> Part:
    """Returns the windows whose current row and last target are within ``first`` and ``end``.

    Windows at an inserted row and windows with a missing target are excluded.
    """
    rows = np.arange(max(first, reach.back), end - reach.ahead)
    if len(rows):
        known = np.isfinite(matrix.target[rows[:, None] + reach.targets]).all(axis=1)
        rows = rows[known & (matrix.numbers[rows] > 0)][::stride]
    if not len(rows):
        needed = max(0, reach.back - first) + 1 + reach.ahead
        size = f"the {name} part has {end - first:,} rows"
        if end - first >= needed:
            raise DataError(f"{size} and no window with a known target", where=where)
        raise DataError(
            f"{size}, but one window needs {needed:,}: {reach.back + 1:,} for its input "
            f"and {reach.ahead:,} ahead",
            where=where,
            hint="give more rows, or a smaller series.lookback or series.delay",
        )
    return Part(name, where, matrix, rows, first, end)


def _detected(series: SeriesConfig, layout: Layout, reach: Reach) -> dict[str, Any]:
    """Returns the detected values of settings that are None, by name."""
    spacing = layout.spacing
    detected: dict[str, Any] = {
        "target": layout.target.name,
        "time": layout.time if len(layout.time) > 1 else layout.time[0] if layout.time else None,
        "lookback": written(reach.points * reach.step, spacing),
        "step": written(reach.step, spacing),
        "delay": written(reach.delay, spacing),
    }
    return {name: value for name, value in detected.items() if getattr(series, name) is None}


def _refuse_unused(data: DataConfig) -> None:
    for name in _UNUSED:
        if getattr(data, name) != DataConfig.model_fields[name].default:
            hint = f"set series.{name}" if name == "valid_fraction" else "remove it"
            raise ConfigError(f"setting data.{name} is not used for a series", hint=hint)


def layout_facts(layout: Layout, reach: Reach) -> dict[str, str]:
    """Returns facts about the columns for the screen and the report."""
    clock, spacing = layout.clock, layout.spacing
    inputs = [column.name for column in layout.numbers]
    inputs += [f"{column.name} ({len(column.words)} words)" for column in layout.categories]
    if layout.calendar:
        inputs.append(f"time of {' and '.join(layout.calendar)}")
    apart = f", rows {span(spacing)} apart" if spacing else ""
    facts = {
        "time": f"{clock}{apart}" if clock else "none found: rows are counted",
        "target": f"{layout.target.name}, {reach_in_words(reach, spacing)}",
        "inputs": f"{', '.join(inputs)}: {len(layout.features)} numbers a row",
    }
    if layout.left_out:
        facts["left out"] = "; ".join(f"{name} ({why})" for name, why in layout.left_out.items())
    return facts


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
    """Returns the duration of a number of rows as text; their number if rows have no times."""
    count = "1 row" if rows == 1 else f"{rows:,} rows"
    return count if spacing is None else span(rows * spacing)


def _report_parts(parts: dict[str, Part], reporter: Reporter) -> None:
    rows = []
    for part in parts.values():
        stamps = part.matrix.stamps
        when = ""
        if stamps is not None:
            days = stamps[[part.first, part.end - 1]].astype("datetime64[D]")
            when = f"{days[0]} to {days[1]}"
        rows.append([part.name, when, f"{part.end - part.first:,}", f"{len(part.rows):,}"])
    reporter.table("", ["part", "from", "rows", "windows"], rows)
