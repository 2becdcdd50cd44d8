"""The check of a series: step, gaps, missing values, ranges, constant columns, and how its level moves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from recurra.config import updated
from recurra.errors import DataError
from recurra.tasks.checks import listed, many, report_findings
from recurra.tasks.forecasting.prepare import read_series
from recurra.tasks.forecasting.series.clock import Clock, find_clock
from recurra.tasks.forecasting.series.grid import Grid, even_grid
from recurra.tasks.forecasting.series.numbers import counts_rows, words_of
from recurra.tasks.forecasting.series.scale import sentinels_of
from recurra.tasks.forecasting.series.table import Table
from recurra.tasks.forecasting.settings import ForecasterConfig, SeriesConfig
from recurra.tasks.reporter import Reporter, Tick

__all__ = ["ColumnCheck", "PartCheck", "SeriesCheck", "check_files"]

_SHOWN = 40  # columns; more are counted, not listed
_DRIFT = 1.0  # standard deviations
_MOSTLY_MISSING = 0.5


class ColumnCheck(BaseModel, frozen=True):
    """The counts of one column.

    Attributes:
        kind: ``numbers``, ``words`` or ``empty``; ``row numbers`` if it numbers the rows.
        missing: number of rows without a value, with the rows that are inserted in gaps.
        longest: the longest run of rows without a value.
        strange: number of cells of a column of numbers that are not numbers, and ``first_strange``, the row
            of the first.
        markers: numbers such as -9999 that stand for missing values; they are counted as missing.
        values: number of different values.
        low, mean, high, std: of the numbers; None without numbers.
        drift: the mean of the last quarter of the rows less that of the first, in standard deviations.
    """

    kind: str
    missing: int
    longest: int
    strange: int = 0
    first_strange: int | None = None
    markers: list[float] = []
    values: int
    low: float | None = None
    mean: float | None = None
    high: float | None = None
    std: float | None = None
    drift: float | None = None

    @property
    def constant(self) -> bool:
        """Whether there is one value only."""
        return self.values == 1


class PartCheck(BaseModel, frozen=True):
    """The counts of one file.

    Attributes:
        time: the columns of the time and their format; None if there are none, or they can't be read.
        step: the distance of the rows in words; None without a time, or if the rows are not evenly spaced.
        first: the first time, and ``last``, the last one.
        inserted: number of rows that are missing in time.
        columns: by name, without those of the time.
    """

    file: str
    rows: int
    time: str | None
    step: str | None
    first: str | None
    last: str | None
    inserted: int
    columns: dict[str, ColumnCheck]


class SeriesCheck(BaseModel, frozen=True):
    """The check of a training file and of its validation and test files.

    Attributes:
        parts: the counts by "train", "valid" and "test".
        targets: the columns that can be forecast.
        warnings: one sentence each, with what to do.
    """

    parts: dict[str, PartCheck]
    targets: list[str]
    warnings: list[str]


@dataclass(frozen=True)
class _Read:
    table: Table
    clock: Clock | None
    grid: Grid
    warnings: list[str] = field(default_factory=list)


def check_files(
    data: Path,
    config: ForecasterConfig,
    reporter: Reporter,
    *,
    valid: Path | None = None,
    test: Path | None = None,
) -> dict[str, Any]:
    """Reports what to know about files of a series before training; see `Task.check`.

    Raises:
        DataError: a file is missing or has no whole row.
        ConfigError: a setting names a missing column.
    """
    reporter.step("Data check")
    paths = {"train": data, "valid": valid, "test": test}
    config = updated(config, {"data": {"skip_bad_rows": True}})
    read = {name: _opened(path, config, reporter) for name, path in paths.items() if path is not None}
    parts = {name: _counted(each, config.series, reporter) for name, each in read.items()}
    train = parts["train"]
    targets = [
        name for name, column in train.columns.items() if column.kind == "numbers" and not column.constant
    ]
    warnings = [f"{name}: {warning}" for name, each in read.items() for warning in each.warnings]
    warnings += _column_warnings(train, config.series, targets)
    for name, part in parts.items():
        warnings += _held_out_warnings(name, part, train) if part is not train else []
    report = SeriesCheck(parts=parts, targets=targets, warnings=warnings)
    reporter.facts({"file": str(data), "format": "a series: numbers over time"})
    for name, part in parts.items():
        reporter.facts(_facts("" if len(parts) == 1 else f"{name} ", part))
    if targets:
        reporter.facts({"can be forecast": listed(targets, 12)})
    target = config.series.target or (targets[-1] if targets else "COLUMN")
    report_findings(reporter, _table(train), warnings, ["fit", str(data), "--target", target])
    return report.model_dump(mode="json")


def _opened(path: Path, config: ForecasterConfig, reporter: Reporter) -> _Read:
    """Reads a file; what is wrong with its time becomes a warning, and its rows are taken as they are."""
    table, series = read_series(path, config.data, reporter), config.series
    warnings = list(table.notes)
    try:
        clock = find_clock(table, series.time, series.time_format)
        with reporter.counting("reading the times", 3 * len(table)) as tick:
            grid = even_grid(table, clock, tick=tick)
    except DataError as error:
        place = "" if error.row is None else f"row {error.row:,}: "
        warnings.append(f"{place}{error.what}" + (f"; {error.hint}" if error.hint else ""))
        return _Read(table, None, even_grid(table, None), warnings)
    if clock is None:
        warnings.append("no column has times: rows are counted; name it with --set series.time=COLUMN")
    return _Read(table, clock, grid, [*warnings, *grid.warnings])


def _counted(read: _Read, series: SeriesConfig, reporter: Reporter) -> PartCheck:
    table, clock, grid = read.table, read.clock, read.grid
    time = () if clock is None else clock.columns
    stamps = None if grid.stamps is None else [str(grid.stamps[at].astype("datetime64[s]")) for at in (0, -1)]
    names = [name for name in table.names if name not in time]
    columns = {}
    with reporter.counting("checking the columns", 4 * len(table) * len(names)) as tick:
        for name in names:
            columns[name] = _column(table, grid, name, series, tick)
    return PartCheck(
        file=table.where,
        rows=len(table),
        time=None if clock is None else str(clock),
        step=grid.spacing.words() if grid.spacing else None,
        first=None if stamps is None else stamps[0].replace("T", " "),
        last=None if stamps is None else stamps[1].replace("T", " "),
        inserted=int((grid.source < 0).sum()),
        columns=columns,
    )


def _column(table: Table, grid: Grid, name: str, series: SeriesConfig, tick: Tick) -> ColumnCheck:
    numbers = table.numbers_in(name, tick)
    if not numbers.present:
        return ColumnCheck(kind="empty", missing=len(grid.source), longest=len(grid.source), values=0)
    if 2 * len(numbers.strange) >= numbers.present:
        words = grid.place(words_of(table.columns[name]), None)
        missing = np.array([word is None for word in words])
        different = len({word for word in words if word is not None})
        return ColumnCheck(
            kind="words", missing=int(missing.sum()), longest=_longest_run(missing), values=different
        )
    values = grid.place(numbers.values, np.nan)
    markers = sentinels_of(values) if series.missing is None else list(series.missing)
    values = np.where(np.isin(values, markers), np.nan, values)
    known = values[np.isfinite(values)]
    tick(len(table))
    strange = len(numbers.strange)
    missing = np.isnan(values)
    counts = {
        "missing": max(0, int(missing.sum()) - strange),
        "longest": _longest_run(missing),
        "strange": strange,
    }
    first = int(table.numbers[numbers.strange[0]]) if strange else None
    if not len(known):
        return ColumnCheck(kind="empty", values=0, first_strange=first, markers=markers, **counts)
    scale = float(np.abs(known).max()) or 1.0  # so that squares of very large numbers are finite
    std = float((known / scale).std()) * scale
    tick(len(table))
    quarter = len(values) // 4
    parts = [part[np.isfinite(part)] for part in (values[:quarter], values[len(values) - quarter :])]
    drift = None
    if std and all(len(part) for part in parts):
        drift = float(((parts[1] / scale).mean() - (parts[0] / scale).mean()) / (std / scale))
    tick(len(table))
    return ColumnCheck(
        kind="row numbers" if counts_rows(numbers.values) else "numbers",
        first_strange=first,
        markers=[marker for marker in markers if bool((numbers.values == marker).any())],
        values=len(np.unique(known)),
        low=float(known.min()),
        mean=float((known / scale).mean()) * scale,
        high=float(known.max()),
        std=std,
        drift=drift,
        **counts,
    )


def _longest_run(missing: NDArray[np.bool_]) -> int:
    """The longest run of True.

    Example:
        >>> _longest_run(np.array([True, False, True, True]))
        2
    """
    edges = np.flatnonzero(np.diff(np.concatenate([[False], missing, [False]]).astype(np.int8)))
    return int((edges[1::2] - edges[::2]).max(initial=0))


def _facts(prefix: str, part: PartCheck) -> dict[str, str]:
    facts = {f"{prefix}rows": f"{part.rows:,}"}
    if part.time is not None:
        facts[f"{prefix}time"] = f"{part.time}, from {part.first} to {part.last}"
        inserted = many(part.inserted, "row is missing", "rows are missing")
        gaps = inserted if part.inserted else "no row is missing"
        facts[f"{prefix}step"] = f"{part.step or 'one row'}; {gaps}"
    return facts


def _table(part: PartCheck) -> tuple[list[str], list[list[str]]]:
    header = ["column", "missing", "smallest", "mean", "largest", "std", "drift"]
    rows = []
    for name, column in list(part.columns.items())[:_SHOWN]:
        missing = f"{column.missing / max(1, part.rows + part.inserted):.1%}"
        if column.kind == "numbers" and not column.constant:
            figures = [
                f"{x:.4g}" for x in (column.low, column.mean, column.high, column.std) if x is not None
            ]
            rows.append([name, missing, *figures, "" if column.drift is None else f"{column.drift:+.1f}"])
        else:
            kind = "constant" if column.constant else column.kind
            kind = f"{column.values:,} words" if kind == "words" else kind
            rows.append([name, missing, kind, "", "", "", ""])
    if len(part.columns) > _SHOWN:
        rows.append([f"... {len(part.columns) - _SHOWN:,} more columns", *[""] * 6])
    return header, rows


def _column_warnings(part: PartCheck, series: SeriesConfig, targets: Sequence[str]) -> list[str]:
    """Advice on the columns of the training file."""
    warnings = []
    size = max(1, part.rows + part.inserted)
    if not targets:
        warnings.append("there is no column of numbers that changes: nothing can be forecast")
    constant = [name for name, column in part.columns.items() if column.constant]
    if constant:
        is_are = "is" if len(constant) == 1 else "are"
        warnings.append(f"{listed(constant)} {is_are} constant; constant columns are left out")
    for name, column in part.columns.items():
        if column.strange:
            cells = many(column.strange, "cell is no number", "cells are no numbers")
            warnings.append(
                f"column {name!r}: {cells} (first: row {column.first_strange:,}); fix or empty them, or "
                "choose columns with --set series.inputs"
            )
        if column.markers:
            numbers = listed([f"{marker:g}" for marker in column.markers])
            warnings.append(f"column {name!r}: {numbers} is taken for a missing value (series.missing)")
        if column.missing > _MOSTLY_MISSING * size and column.values:
            warnings.append(
                f"column {name!r}: {column.missing / size:.0%} of the values are missing, at most "
                f"{column.longest:,} in a row"
            )
    drifting = {name: part.columns[name].drift or 0.0 for name in targets}
    drifting = {name: drift for name, drift in drifting.items() if abs(drift) > _DRIFT}
    if drifting:
        names = listed([f"{name} ({drift:+.1f})" for name, drift in drifting.items()])
        advice = "compare the model with persistence, and test it on the last rows"
        if not series.residual:
            advice = "forecast changes with --set series.residual=true"
        warnings.append(
            f"the level moves by more than a standard deviation from the first to the last quarter: {names}; "
            f"{advice}"
        )
    return warnings


def _held_out_warnings(name: str, part: PartCheck, train: PartCheck) -> list[str]:
    """Advice on a held-out file beside the training file."""
    warnings = []
    lost = [column for column in train.columns if column not in part.columns]
    if lost:
        warnings.append(f"{name}: columns of train are missing: {listed(lost)}")
    if part.step != train.step:
        warnings.append(f"{name}: rows are {part.step} apart, those of train {train.step}")
    if part.first is not None and train.last is not None and part.first <= train.last:
        warnings.append(
            f"{name}: begins at {part.first}, before the end of train at {train.last}; give later rows, or "
            "the figures are too high"
        )
    outside: Mapping[str, ColumnCheck] = {
        column: counts
        for column, counts in part.columns.items()
        if _is_outside(counts, train.columns.get(column))
    }
    if outside:
        warnings.append(f"{name}: values are far outside the range of train in {listed(list(outside))}")
    return warnings


def _is_outside(column: ColumnCheck, train: ColumnCheck | None) -> bool:
    """Whether values are outside the range of training by more than its width."""
    if train is None or None in (column.low, column.high, train.low, train.high):
        return False
    low, high = float(train.low or 0), float(train.high or 0)
    width = high - low
    return float(column.high or 0) > high + width or float(column.low or 0) < low - width
