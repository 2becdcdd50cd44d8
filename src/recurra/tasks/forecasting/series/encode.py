"""A table to the matrix that a network reads, by a layout."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recurra.errors import DataError
from recurra.tasks.forecasting.series.cells import numbers_of, words_of
from recurra.tasks.forecasting.series.clock import read_stamps
from recurra.tasks.forecasting.series.grid import Grid, even_grid, rows_as_they_are
from recurra.tasks.forecasting.series.layout import Layout, Matrix, calendar_columns, forward_filled
from recurra.tasks.forecasting.series.table import Table

__all__ = ["column_values", "encode", "grid_of"]


def grid_of(table: Table, layout: Layout) -> Grid:
    """The rows of ``table`` on the layout's grid of times.

    Raises:
        DataError: as `read_stamps` and `even_grid` say.
    """
    clock = layout.clock
    if clock is None:
        return rows_as_they_are(table)
    return even_grid(table, read_stamps(table, clock), layout.spacing)


def encode(table: Table, grid: Grid, layout: Layout) -> Matrix:
    """A table as the network reads it: nothing in a row is from after its time.

    A missing number is the last one above it (the training mean before the first), in deviations from the
    training mean; a word that training did not have, or a missing one, is all zeros.

    Raises:
        DataError: a column of the layout is missing, or has a text where a number should stand.
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
        words = _on_grid_words(table, grid, category.name)
        columns += [(words == word).astype(np.float64) for word in category.words]
    if grid.stamps is not None:
        columns += list(calendar_columns(grid.stamps, layout.calendar).T)
    target = layout.target.known(column_values(table, grid, layout.target.name))
    inputs = np.stack(columns, axis=1).astype(np.float32)
    last = forward_filled(target, layout.target.mean)
    numbers = np.where(grid.source < 0, 0, table.numbers[np.maximum(grid.source, 0)])
    return Matrix(inputs, target, last, grid.stamps, numbers)


def column_values(table: Table, grid: Grid, name: str) -> NDArray[np.float64]:
    """``(M,)`` a column of numbers on the grid, NaN where a cell is missing or a row was inserted.

    Raises:
        DataError: there is no such column, or a cell holds a text.
    """
    if name not in table.columns:
        raise DataError(f"there is no column {name!r}", where=table.where)
    found = numbers_of(table.columns[name], table.decimal_comma)
    if found.first is not None:
        raise not_a_number(table, name, found.first)
    return np.where(grid.source < 0, np.nan, found.values[np.maximum(grid.source, 0)])


def not_a_number(table: Table, name: str, position: int) -> DataError:
    """The complaint about a cell."""
    cell = str(table.columns[name][position].as_py())
    short = cell if len(cell) <= 40 else f"{cell[:37]}..."
    return DataError(
        f"{short!r} in column {name!r} is no number",
        where=table.where,
        row=int(table.numbers[position]),
        hint="fix the cell or leave it empty, or choose columns with series.inputs",
    )


def _on_grid_words(table: Table, grid: Grid, name: str) -> NDArray[np.object_]:
    if name not in table.columns:
        raise DataError(f"there is no column {name!r}", where=table.where)
    words = words_of(table.columns[name])[np.maximum(grid.source, 0)]
    words[grid.source < 0] = None
    return words
