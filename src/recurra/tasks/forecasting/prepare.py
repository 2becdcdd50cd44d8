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
from recurra.tasks.checks import many
from recurra.tasks.forecasting.bundle import ForecasterBundle, SeriesAssets, SeriesSource, layout_of, reach_of
from recurra.tasks.forecasting.series.clock import find_clock
from recurra.tasks.forecasting.series.grid import even_grid
from recurra.tasks.forecasting.series.layout import Layout, Matrix, encode
from recurra.tasks.forecasting.series.learn import learn_layout
from recurra.tasks.forecasting.series.numbers import BLOCK
from recurra.tasks.forecasting.series.reach import Reach, as_setting, find_reach, reach_in_words
from recurra.tasks.forecasting.series.scale import Scale
from recurra.tasks.forecasting.series.table import Table, read_table
from recurra.tasks.forecasting.settings import ForecasterConfig, SeriesConfig
from recurra.tasks.forecasting.windows import Windows
from recurra.tasks.reporter import Counting, Reporter

__all__ = [
    "Part",
    "SeriesData",
    "continued",
    "layout_facts",
    "open_series",
    "prepare",
    "prepare_tables",
    "read_series",
    "windows_of",
]

_EVALUATION_BATCH = 512
_SILENT = Reporter().counting
_UNUSED = (
    *("text", "label", "group", "label_separator", "label_kind"),
    *("valid_fraction", "valid_rows", "split_seed"),
)


@dataclass(frozen=True)
class Part:
    """The windows of one part of the time.

    Attributes:
        name: ``training``, ``validation`` or ``test``.
        where: the file.
        matrix: all rows of that file; a window may begin before the part's first row.
        rows: the current row of each window, ascending, of shape (N,), int64.
        first: the part's first row in the file.
        end: the row after its last.
        warnings: the corrections in a file that has this part only.
    """

    name: str
    where: str
    matrix: Matrix
    rows: NDArray[np.int64]
    first: int
    end: int
    warnings: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        """Number of windows."""
        return len(self.rows)

    @property
    def dates(self) -> str:
        """The first and the last day of the part; empty if rows have no time."""
        if self.matrix.stamps is None:
            return ""
        days = self.matrix.stamps[[self.first, self.end - 1]].astype("datetime64[D]")
        return f"{days[0]} to {days[1]}"

    def truth(self, reach: Reach) -> NDArray[np.float64]:
        """Returns the targets of all windows in their own unit, of shape (N, K)."""
        return np.asarray(self.matrix.target[self.rows[:, None] + reach.targets])


SeriesData: TypeAlias = Prepared[ForecasterConfig, SeriesAssets, Part]
"""A series ready for training."""


def prepare(
    data: Path,
    config: ForecasterConfig,
    reporter: Reporter,
    *,
    valid: Path | None = None,
    test: Path | None = None,
    layout: Layout | None = None,
) -> SeriesData:
    """Reads the files, learns columns and scales from the training rows, and splits by time.

    A ``layout`` has the columns and scales that are not to be learned.

    If not given as files, the test part is the last rows of ``data`` and the validation part the rows before
    them. A window belongs to a part if its current row and its last target are in it; it may read rows of the
    part before, which were known by then.

    Raises:
        DataError: the rows can't be used, or there are too few.
        ConfigError: see `prepare_tables`.
    """
    reporter.step("Reading")
    given = {"training": data, "validation": valid, "test": test}
    paths = {name: path for name, path in given.items() if path is not None}
    tables = {name: read_series(path, config.data, reporter) for name, path in paths.items()}
    settings = (config.series.model_dump_json(), config.data.model_dump_json())
    return prepare_tables(tables, config, content_key([*paths.values()], *settings), reporter, layout=layout)


def continued(
    bundle: ForecasterBundle,
    data: Path,
    config: ForecasterConfig,
    reporter: Reporter,
    *,
    valid: Path | None = None,
    test: Path | None = None,
) -> SeriesData:
    """Returns new rows with the columns and scales of a model, split by time as in `prepare`.

    Raises:
        DataError: columns of the model are missing, or there are too few rows.
    """
    layout = layout_of(replace(bundle, config=config))
    return replace(prepare(data, config, reporter, valid=valid, test=test, layout=layout), goes_on=True)


def read_series(path: Path, data: DataConfig, reporter: Reporter) -> Table:
    """Returns the table of a file, as `read_table` does, and shows the progress."""
    with reporter.counting(f"reading {path.name}") as tick:
        return read_table(path, data, tick)


def prepare_tables(
    tables: dict[str, Table],
    config: ForecasterConfig,
    key: str,
    reporter: Reporter,
    *,
    tested: bool = True,
    layout: Layout | None = None,
) -> SeriesData:
    """Prepares tables as `prepare` does files.

    Args:
        tables: tables by part: ``training``, and ``validation`` and ``test`` if they are not taken from it.
        config: all settings.
        key: fingerprint of the data.
        reporter: receives the layout and the warnings.
        tested: whether a test part is taken from the training table if there is no table for it.
        layout: columns and scales; None to learn them.

    Raises:
        DataError: the rows can't be used, or there are too few.
        ConfigError: a setting names a missing column, or is not used for series.
    """
    for name in _UNUSED:
        if getattr(config.data, name) != DataConfig.model_fields[name].default:
            hint = "set series.valid_fraction" if name.startswith("valid_") else "remove it"
            raise ConfigError(f"setting data.{name} is not used for a series", hint=hint)
    table, series = tables["training"], config.series
    clock = find_clock(table, series.time, series.time_format) if layout is None else layout.clock
    spacing = None if layout is None else layout.spacing
    with reporter.counting("reading the times", 3 * len(table)) as tick:
        grid = even_grid(table, clock, spacing, tick)
    reach = find_reach(series, grid.spacing)
    rows = len(grid.source)
    test = 0 if "test" in tables or not tested else round(rows * series.test_fraction)
    valid = 0 if "validation" in tables else round(rows * series.valid_fraction)
    ends = {"training": rows - test - valid, "validation": rows - test, "test": rows}
    warnings = [*table.notes, *grid.warnings]
    if layout is None:
        layout, more = learn_layout(table, clock, grid, series, ends["training"], reporter.counting)
        warnings += more
    reporter.facts({"rows": f"{len(table):,}", **layout_facts(layout, reach)})
    matrix = encode(table, grid, layout, reporter.counting)
    parts: dict[str, Part] = {}
    first = 0
    for name, end in ends.items():
        if name in tables and name != "training":
            parts[name] = open_series(name, tables[name], layout, reach, reporter.counting)
            warnings += [f"{name} file: {warning}" for warning in parts[name].warnings]
        elif end > first:
            stride = series.stride if name == "training" else 1
            part = _part(name, table.where, matrix, first, end, reach, stride)
            if name == "training" and series.windows is not None:
                part = replace(part, rows=part.rows[-series.windows :])
            parts[name] = part
        first = end
    for warning in warnings:
        reporter.warn(warning)
    counts = [
        [part.name, part.dates, f"{part.end - part.first:,}", f"{len(part.rows):,}"]
        for part in parts.values()
    ]
    reporter.table("", ["part", "from", "rows", "windows"], counts)
    return Prepared(
        updated(config, {"series": _detected(series, layout, reach)}),
        SeriesAssets(layout),
        parts["training"],
        parts["validation"],
        parts.get("test"),
        key,
        warnings,
    )


def open_series(name: str, table: Table, layout: Layout, reach: Reach, counting: Counting = _SILENT) -> Part:
    """Returns all windows of a file; ``counting`` shows the progress.

    Raises:
        DataError: columns are missing, or there are too few rows.
    """
    with counting("reading the times", 3 * len(table)) as tick:
        grid = even_grid(table, layout.clock, layout.spacing, tick)
    matrix = encode(table, grid, layout, counting)
    part = _part(name, table.where, matrix, 0, len(matrix), reach, 1)
    return replace(part, warnings=[*table.notes, *grid.warnings])


def windows_of(
    part: Part, source: SeriesSource, batch_size: int = _EVALUATION_BATCH, *, shuffle: bool = False
) -> Windows:
    """Returns the windows of a part with a standardized target, reversed if ``series.reversed`` is set.

    The order of shuffled windows is drawn by the seed of training.
    """
    series, layout, reach = source.config.series, source.assets.layout, reach_of(source)
    scale, matrix = layout.target, part.matrix
    return Windows(
        matrix.inputs,
        _normal(scale, matrix.target, part, reach),
        _normal(scale, matrix.last, part, reach),
        part.rows,
        reach.behind[::-1] if series.reversed else reach.behind,
        reach.targets,
        batch_size,
        relative=len(layout.numbers) if series.relative else 0,
        shuffle=shuffle,
        seed=source.config.train.seed,
    )


def _part(name: str, where: str, matrix: Matrix, first: int, end: int, reach: Reach, stride: int) -> Part:
    """The windows whose current row and last target are in the rows from ``first`` to ``end``.

    Windows at an inserted row and windows with a missing target are left out.
    """
    rows = np.arange(max(first, reach.back), end - reach.ahead)
    if len(rows):
        keep = np.zeros(len(rows), bool)
        for start in range(0, len(rows), BLOCK):
            some = rows[start : start + BLOCK]
            known = np.isfinite(matrix.target[some[:, None] + reach.targets]).all(axis=1)
            keep[start : start + BLOCK] = known & (matrix.numbers[some] > 0)
        rows = (rows if keep.all() else rows[keep])[::stride]
    if not len(rows):
        needed = max(0, reach.back - first) + 1 + reach.ahead
        size = f"the {name} part has {many(end - first, 'row', 'rows')}"
        if end - first >= needed:
            raise DataError(f"{size} and no window with a known target", where=where)
        raise DataError(
            f"{size}, but one window needs {needed:,}: {reach.back + 1:,} for its input "
            f"and {reach.ahead:,} ahead",
            where=where,
            hint="give more rows, or a smaller series.lookback or series.delay",
        )
    return Part(name, where, matrix, rows, first, end)


def _normal(scale: Scale, values: NDArray[np.float64], part: Part, reach: Reach) -> NDArray[np.float32]:
    """Standardized values (M,) of the rows that the windows of a part read; 0 elsewhere takes no memory."""
    result = np.zeros(len(values), np.float32)
    first = int(part.rows[0]) - reach.back if len(part.rows) else 0
    end = int(part.rows[-1]) + reach.ahead + 1 if len(part.rows) else 0
    for start in range(max(0, first), min(end, len(values)), BLOCK):
        rows = slice(start, min(start + BLOCK, end))
        result[rows] = scale.normal(values[rows])
    return result


def _detected(series: SeriesConfig, layout: Layout, reach: Reach) -> dict[str, Any]:
    """The detected values of the settings that are None."""
    spacing = layout.spacing
    detected: dict[str, Any] = {
        "target": layout.target.name,
        "time": layout.time if len(layout.time) > 1 else layout.time[0] if layout.time else None,
        "lookback": as_setting(reach.points * reach.step, spacing),
        "step": as_setting(reach.step, spacing),
        "delay": as_setting(reach.delay, spacing),
    }
    return {name: value for name, value in detected.items() if getattr(series, name) is None}


def layout_facts(layout: Layout, reach: Reach) -> dict[str, str]:
    """Returns facts about the columns by name, for the screen and the report."""
    clock, spacing = layout.clock, layout.spacing
    inputs = [column.name for column in layout.numbers]
    inputs += [f"{column.name} ({len(column.words)} words)" for column in layout.categories]
    if layout.calendar:
        inputs.append(f"time of {' and '.join(layout.calendar)}")
    apart = f", rows {spacing.words()} apart" if spacing else ""
    facts = {
        "time": f"{clock}{apart}" if clock else "none found: rows are counted",
        "target": f"{layout.target.name}, {reach_in_words(reach, spacing)}",
        "inputs": f"{', '.join(inputs)}: {len(layout.features)} numbers a row",
    }
    if layout.left_out:
        facts["left out"] = "; ".join(f"{name} ({reason})" for name, reason in layout.left_out.items())
    return facts
