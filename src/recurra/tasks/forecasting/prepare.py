"""A file of numbers over time made ready: read, put on a grid, split by time, encoded."""

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

_MEANINGLESS = ("text", "label", "group", "label_separator", "label_kind", "valid_fraction", "split_seed")


@dataclass(frozen=True)
class Part:
    """The windows of one part of the time.

    Attributes:
        name: ``training``, ``validation`` or ``test``.
        where: the file.
        matrix: all rows of that file: a window may look back over the part's beginning.
        rows: ``(N,)`` int64, the present row of each window, ascending.
        first: the part's first row in the file.
        end: the row past its last.
        warnings: what was repaired in a file of its own.
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
    """Read the files, learn columns and scales from the training rows, and split by time.

    Without files of their own, the last rows of ``data`` are the test part and those before them the
    validation part. A window belongs to a part where both its present row and its last target lie in it; it
    may read rows of the part before, which were known by then.

    Raises:
        DataError: the rows can't be used, or are too few.
        ConfigError: a setting names no column, or means nothing for a series.
    """
    _refuse_meaningless(config.data)
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
    """Tables by the name of their part made ready, as `prepare` does with files.

    Args:
        tables: ``training``, and ``validation`` and ``test`` where they are no part of it.
        config: every setting.
        key: fingerprint of the data.
        reporter: receives what was found.
        tested: whether a test part is taken from the training rows where there is no table for it.
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
        updated(config, {"series": _found(series, layout, reach)}),
        SeriesAssets(layout),
        parts["training"],
        parts["validation"],
        parts.get("test"),
        key,
        warnings,
    )


def open_series(name: str, table: Table, layout: Layout, reach: Reach) -> Part:
    """All windows of a file of its own, read by a layout.

    Raises:
        DataError: its columns are not those of the layout, or its rows are too few.
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
    """The windows of a part, the target in deviations; read backwards where the settings say so."""
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


def _borders(rows: int, series: SeriesConfig, own_valid: bool, own_test: bool) -> list[int]:
    """Where the training rows end, and where the validation rows do."""
    test = 0 if own_test else round(rows * series.test_fraction)
    valid = 0 if own_valid else round(rows * series.valid_fraction)
    return [rows - test - valid, rows - test]


def _part(name: str, where: str, matrix: Matrix, first: int, end: int, reach: Reach, stride: int) -> Part:
    """The windows whose present row and last target lie from ``first`` to ``end``.

    Left out are those at a row that was inserted, and those with a target that is missing.
    """
    begin = max(first, reach.back)
    rows = np.arange(begin, end - reach.ahead)
    if len(rows):
        known = np.isfinite(matrix.target[rows[:, None] + reach.targets]).all(axis=1)
        rows = rows[known & (matrix.numbers[rows] > 0)][::stride]
    if not len(rows):
        needed = max(0, reach.back - first) + 1 + reach.ahead
        have = f"the {name} part has {end - first:,} rows"
        if end - first >= needed:
            raise DataError(f"{have} and no window whose target is known", where=where)
        raise DataError(
            f"{have}, one window of it needs {needed:,}: {reach.back + 1:,} to look back "
            f"and {reach.ahead:,} ahead",
            where=where,
            hint="give more rows, or a smaller series.lookback or series.delay",
        )
    return Part(name, where, matrix, rows, first, end)


def _found(series: SeriesConfig, layout: Layout, reach: Reach) -> dict[str, Any]:
    """What was found in the file, by the name of the setting that is None."""
    spacing = layout.spacing
    found: dict[str, Any] = {
        "target": layout.target.name,
        "time": layout.time if len(layout.time) > 1 else layout.time[0] if layout.time else None,
        "lookback": written(reach.points * reach.step, spacing),
        "step": written(reach.step, spacing),
        "delay": written(reach.delay, spacing),
    }
    return {name: value for name, value in found.items() if getattr(series, name) is None}


def _refuse_meaningless(data: DataConfig) -> None:
    for name in _MEANINGLESS:
        if getattr(data, name) != DataConfig.model_fields[name].default:
            hint = f"set series.{name}" if name == "valid_fraction" else "leave it out"
            raise ConfigError(f"setting data.{name} means nothing for a series", hint=hint)


def layout_facts(layout: Layout, reach: Reach) -> dict[str, str]:
    """What the columns are, by name, for screen and report."""
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
    """How far ahead, and from what.

    Example:
        >>> reach_in_words(Reach(240, 1, 24, 1, 24), 3600.0)
        '1 d ahead, from 240 points of the last 10 d'
    """
    apart = rows_in_words(reach.step, spacing)
    many = f" and on, {reach.horizon:,} values {apart} apart" if reach.horizon > 1 else ""
    points = f"{reach.points:,} points of the last {rows_in_words(reach.points * reach.step, spacing)}"
    return f"{rows_in_words(reach.delay, spacing)} ahead{many}, from {points}"


def rows_in_words(rows: int, spacing: float | None) -> str:
    """How long so many rows are."""
    counted = "1 row" if rows == 1 else f"{rows:,} rows"
    return counted if spacing is None else span(rows * spacing)


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
