"""Predictions of a forecaster: after the last row, or after every row with a full window before it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.errors import ConfigError, DataError
from recurra.tasks.answers import Answers, kept_columns
from recurra.tasks.base import PredictRequest
from recurra.tasks.checks import many
from recurra.tasks.forecasting.assess import forecasts_of
from recurra.tasks.forecasting.bundle import ForecasterBundle, layout_of, reach_of
from recurra.tasks.forecasting.gaps import Gaps, gaps_in_words, gaps_of
from recurra.tasks.forecasting.prepare import Part
from recurra.tasks.forecasting.series.grid import even_grid
from recurra.tasks.forecasting.series.layout import encode
from recurra.tasks.forecasting.series.spelling import Stamps
from recurra.tasks.forecasting.series.table import Table, from_columns, read_lines, read_table

__all__ = ["answer", "forecast_table", "table_answers"]


def answer(bundle: ForecasterBundle, request: PredictRequest) -> Answers:
    """Returns the forecasts for a request: after the last row, or with the option ``all`` after every row.

    A record has the current row of the file and its time, the time of the forecast, the number of values
    ahead if there are several, the value under the name of the target, and ``filled``, the share of missing
    cells in its window, which were filled with earlier ones; it is no column of a CSV. The value is empty
    where the window has no known value of the target; in a CSV it has six decimals, or nine digits if the
    target varies by less than 0.001 or by 1e12 and more.

    Raises:
        ConfigError: the request has texts.
        DataError: there are too few rows, a column is missing, or no window has a known value of the target.
    """
    if request.texts:
        raise ConfigError("a forecaster reads rows, not --text", hint="give a CSV file")
    data = bundle.config.data
    if isinstance(request.table, str):
        table = read_lines(request.table.encode(), "the table", data)
    elif request.table is not None:
        table = from_columns(request.table)
    elif request.file is None or str(request.file) == "-":
        table = read_lines(sys.stdin.buffer.read(), "standard input", data)
    else:
        table = read_table(request.file, data, cached=False)
    # A table of a series may be wide, so its columns are repeated if they are asked for.
    keep = kept_columns(tuple(table.columns), request.keep) if isinstance(request.keep, tuple) else ()
    return table_answers(bundle, table, bool(request.options.get("all")), keep)


def table_answers(
    bundle: ForecasterBundle, table: Table, every: bool = False, keep: tuple[str, ...] = ()
) -> Answers:
    """Returns the forecasts for a table, as `answer` does; from every row if ``every``."""
    timed, several = bool(bundle.assets.layout.time), reach_of(bundle).horizon > 1
    fields = ["row", *(["time", "for"] if timed else []), *(["ahead"] if several or not timed else [])]
    fields.append(bundle.assets.layout.target.name)
    part, forecasts, gaps, warnings = forecast_table(bundle, table, every)
    target = bundle.assets.layout.target
    form = ".6f" if 1e-3 <= target.std < 1e12 else ".9g"

    def cells(record: Mapping[str, Any]) -> list[Any]:
        value = record[target.name]
        return [*(record[name] for name in fields[:-1]), "" if value is None else format(value, form)]

    def values(record: Mapping[str, Any]) -> list[Any]:
        return [record[name] for name in fields]

    records = _records(bundle, part, forecasts, gaps)
    if keep:
        records = _with_columns(records, table, keep)
    return Answers(fields, records, cells, warnings, keep, values=values)


def _with_columns(
    records: Iterator[dict[str, Any]], table: Table, keep: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    """Yields the records with the cells of their current row."""
    for record in records:
        position = int(np.searchsorted(table.numbers, record["row"]))
        given = {name: table.columns[name][position].as_py() for name in keep}
        yield {"row": record.pop("row"), "input": given, **record}


def forecast_table(
    bundle: ForecasterBundle, table: Table, every: bool
) -> tuple[Part, NDArray[np.float64], Gaps, list[str]]:
    """Returns the windows of a table, their forecasts (N, K) in the unit of the target, gaps and warnings.

    If ``every``, the forecasts are from every row with a full window, otherwise from the last row. A forecast
    is NaN if its window has no known value of the target, unless the network does not depend on it.

    Raises:
        DataError: there are too few rows, a column is missing, or no window has a known value of the target.
    """
    layout, reach = layout_of(bundle), reach_of(bundle)
    grid = even_grid(table, layout.clock, layout.spacing)
    matrix = encode(table, grid, layout)
    if len(matrix) <= reach.back:
        raise DataError(
            f"a forecast needs the last {many(reach.back + 1, 'row', 'rows')}, and "
            f"{many(len(matrix), 'row is', 'rows are')} given",
            where=table.where,
            hint="give more rows",
        )
    rows = np.arange(reach.back, len(matrix)) if every else np.array([len(matrix) - 1])
    rows = rows[matrix.numbers[rows] > 0]
    part = Part("rows", table.where, matrix, rows, 0, len(matrix))
    gaps = gaps_of(part, reach)
    warnings = [*table.notes, *grid.warnings, *gaps_in_words(part, gaps, layout)]
    depends = bundle.config.series.residual or layout.target in layout.numbers
    if not depends or not gaps.blind.any():
        return part, forecasts_of(bundle, part), gaps, warnings
    target, last = layout.target.name, int(matrix.numbers[rows[gaps.blind][-1]])
    if gaps.blind.all():
        raise DataError(
            f"no value of {target!r} is known in the {gaps.rows:,} rows up to row {last:,}",
            where=table.where,
            hint="a forecast needs the past of its target: give rows with values of it",
        )
    forecasts = np.full((len(rows), reach.horizon), np.nan)
    forecasts[~gaps.blind] = forecasts_of(bundle, replace(part, rows=rows[~gaps.blind]))
    warnings.append(
        f"no forecast from {int(gaps.blind.sum()):,} rows, the last is row {last:,}: no value of {target!r} "
        "is known in their windows"
    )
    return part, forecasts, gaps, warnings


def _records(
    bundle: ForecasterBundle, part: Part, forecasts: NDArray[np.float64], gaps: Gaps
) -> Iterator[dict[str, Any]]:
    layout, matrix, targets = bundle.assets.layout, part.matrix, reach_of(bundle).targets.tolist()
    times: list[str] = []
    target_times: list[list[str]] = []
    if matrix.stamps is not None and layout.spacing is not None:
        stamps = matrix.stamps[part.rows]
        times = _texts(stamps)
        target_times = [_texts(layout.spacing.later(stamps, distance)) for distance in targets]
    for window, (row, values) in enumerate(zip(part.rows, forecasts.tolist(), strict=True)):
        for index, (distance, value) in enumerate(zip(targets, values, strict=True)):
            record: dict[str, Any] = {"row": int(matrix.numbers[row])}
            if times:
                record |= {"time": times[window], "for": target_times[index][window]}
            if len(targets) > 1 or not times:
                record["ahead"] = index + 1 if times else distance
            record[layout.target.name] = value if np.isfinite(value) else None
            yield {**record, "filled": round(float(gaps.share[window]), 4)}


def _texts(stamps: Stamps) -> list[str]:
    return [str(stamp).replace("T", " ") for stamp in stamps.astype("datetime64[s]")]
