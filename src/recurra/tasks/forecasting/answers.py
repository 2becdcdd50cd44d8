"""Forecasts from rows as they come: after the last row, or after every row with a full window behind it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.errors import ConfigError, DataError
from recurra.tasks.answers import Answers
from recurra.tasks.base import PredictRequest
from recurra.tasks.forecasting.bundle import ForecasterBundle, reach_of
from recurra.tasks.forecasting.network import forecast_windows
from recurra.tasks.forecasting.prepare import Part, windows_of
from recurra.tasks.forecasting.series.clock import Stamps
from recurra.tasks.forecasting.series.grid import later
from recurra.tasks.forecasting.series.layout import Matrix, encode, grid_of
from recurra.tasks.forecasting.series.table import Table, read_lines, read_table
from recurra.tasks.forecasting.windows import Windows

__all__ = ["answer", "forecast_table"]

_BATCH = 512


def answer(bundle: ForecasterBundle, request: PredictRequest) -> Answers:
    """The forecasts for a request: those after the last row, or with the option ``all`` after every row.

    A record has the row of the file it was forecast from, that row's time, the time that is forecast, how
    many values ahead it is where there are several, and the value under the target's name.

    Raises:
        ConfigError: texts were given.
        DataError: the rows are too few, or lack a column.
    """
    if request.texts:
        raise ConfigError("a forecaster reads rows, not --text", hint="give a CSV file")
    data = bundle.config.data
    if request.file is None or str(request.file) == "-":
        table = read_lines(sys.stdin.buffer.read(), "standard input", data)
    else:
        table = read_table(request.file, data)
    timed, several = bool(bundle.assets.layout.time), reach_of(bundle).horizon > 1
    fields = ["row", *(["time", "for"] if timed else []), *(["ahead"] if several or not timed else [])]
    fields.append(bundle.assets.layout.target.name)
    return Answers(fields, _records(bundle, table, bool(request.options.get("all"))))


def forecast_table(
    bundle: ForecasterBundle, table: Table, every: bool
) -> tuple[Matrix, Windows, NDArray[np.float64]]:
    """The rows as read, the windows, and ``(N, K)`` float64 forecasts in the target's unit.

    Args:
        bundle: the model.
        table: rows with the columns of training.
        every: a window at every row that has enough before it; else at the last row alone.

    Raises:
        DataError: the rows are too few, or lack a column.
    """
    layout, reach = bundle.assets.layout, reach_of(bundle)
    grid = grid_of(table, layout)
    matrix = encode(table, grid, layout)
    if len(matrix) <= reach.back:
        raise DataError(
            f"there are {len(matrix):,} rows, a forecast needs the last {reach.back + 1:,}",
            where=table.where,
            hint="give more rows",
        )
    rows = np.arange(reach.back, len(matrix)) if every else np.array([len(matrix) - 1])
    rows = rows[matrix.numbers[rows] > 0]
    part = Part("rows", table.where, matrix, rows, 0, len(matrix))
    windows = windows_of(part, layout, reach, bundle.config.series, _BATCH)
    scale = layout.target
    return (
        matrix,
        windows,
        forecast_windows(bundle.model, windows).astype(np.float64) * scale.std + scale.mean,
    )


def _records(bundle: ForecasterBundle, table: Table, every: bool) -> Iterator[dict[str, Any]]:
    matrix, windows, found = forecast_table(bundle, table, every)
    layout, reach = bundle.assets.layout, reach_of(bundle)
    name, spacing = layout.target.name, layout.spacing
    targets = reach.targets.tolist()
    now: list[str] = []
    then: list[list[str]] = []
    if matrix.stamps is not None and spacing is not None:
        stamps = matrix.stamps[windows.rows]
        now, then = _texts(stamps), [_texts(later(stamps, distance, spacing)) for distance in targets]
    for at, (row, values) in enumerate(zip(windows.rows.tolist(), found.tolist(), strict=True)):
        for place, (distance, value) in enumerate(zip(targets, values, strict=True)):
            record: dict[str, Any] = {"row": int(matrix.numbers[row])}
            if now:
                record |= {"time": now[at], "for": then[place][at]}
            if reach.horizon > 1 or not now:
                record["ahead"] = place + 1 if now else distance
            yield {**record, name: value}


def _texts(stamps: Stamps) -> list[str]:
    return [str(stamp).replace("T", " ") for stamp in stamps.astype("datetime64[s]")]
