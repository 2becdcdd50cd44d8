"""A forecaster's answers while the rows of a series arrive."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from recurra.errors import DataError
from recurra.tasks.forecasting.answers import table_answers
from recurra.tasks.forecasting.bundle import ForecasterBundle, reach_of
from recurra.tasks.forecasting.series.table import Table, from_columns, read_lines
from recurra.tasks.streaming import Streamed

__all__ = ["stream"]


def stream(
    bundle: ForecasterBundle, inputs: Any, options: Mapping[str, Any], recompute: bool
) -> Iterator[Streamed]:
    """Yields after each row of a series the ``forecasts`` from it; none while too few rows precede it.

    A forecast is computed from a window of rows that begins anew with each row: no states are carried, and
    each forecast is that of all rows so far.

    Args:
        bundle: the model.
        inputs: rows as mappings of cells by column, as they arrive; or a table, or CSV text, row by row.
        options: not used.
        recompute: not used.

    Raises:
        DataError: a row is not a mapping, or has other columns than the first.
    """
    least = reach_of(bundle).back + 1
    for step, table in enumerate(_tables(bundle, inputs), 1):
        records = list(table_answers(bundle, table).records) if step >= least else []
        yield {"step": step, "forecasts": records}


def _tables(bundle: ForecasterBundle, inputs: Any) -> Iterator[Table]:
    """Yields the table of all rows so far, after each row."""
    if isinstance(inputs, str):
        inputs = read_lines(inputs.encode(), "the table", bundle.config.data)
    elif isinstance(inputs, Mapping):
        inputs = from_columns(inputs)
    if not isinstance(inputs, Table):
        yield from _arriving(inputs)
        return
    for rows in range(1, len(inputs) + 1):
        columns = {name: column.slice(0, rows) for name, column in inputs.columns.items()}
        yield replace(inputs, columns=columns, numbers=inputs.numbers[:rows])


def _arriving(rows: Iterable[Any]) -> Iterator[Table]:
    columns: dict[str, list[Any]] = {}
    for step, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            raise DataError(f"row {step} is {type(row).__name__}, not a mapping of cells by column")
        if step > 1 and row.keys() != columns.keys():
            what = f"row {step} has the columns {', '.join(map(str, row))}"
            raise DataError(what, hint="give those of the first row")
        for name, cell in row.items():
            columns.setdefault(name, []).append(cell)
        yield from_columns(columns)
