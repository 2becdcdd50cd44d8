"""Tables given from Python: a path, columns by name, an array, a data frame with its index."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recurra.config import DataConfig
from recurra.errors import DataError
from recurra.tasks.forecasting.series.clock import TIME_NAMES
from recurra.tasks.forecasting.series.table import Table, from_columns, read_table
from recurra.tasks.inputs import frame_of, listed, written

__all__ = ["table_of"]

_TIMES = ("datetime64", "datetime", "date", "period")  # kinds of an index


def table_of(X: Any, config: DataConfig, name: str = "X") -> Table:
    """Returns the table of a path, a mapping, a data frame, its column, or an array.

    An index of pandas is the first column if it has times or texts, or the name of a time (``date``, ``year``
    ...); without a name it is called ``time``, if it has texts ``index``. Other indexes only label the rows.

    Raises:
        DataError: the table can't be used.
    """
    if isinstance(X, str | Path):
        return read_table(Path(X), config)
    if isinstance(X, Mapping):
        return from_columns({written(str(column), "name of a column", name): X[column] for column in X})
    if hasattr(X, "to_frame") and hasattr(X, "name"):  # a column of pandas or polars
        X = X.rename("0").to_frame() if X.name in (None, "") else X.to_frame()
    index = _index(X, name)
    frame = frame_of(X, name)
    if frame is not None:
        return from_columns(index | {column: _cells(frame.get_column(column)) for column in frame.columns})
    if hasattr(X, "columns") and hasattr(X, "__getitem__"):  # a data frame that narwhals does not know
        return from_columns({str(column): np.asarray(X[column]) for column in X.columns})
    try:
        array = X if isinstance(X, np.ndarray) else np.asarray(listed(X, name))
    except ValueError as error:  # lists of several lengths
        raise DataError("the rows differ in length", where=name) from error
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2:
        raise DataError(f"the table has {array.ndim} dimensions", hint="give (rows, columns)")
    return from_columns({str(at): array[:, at] for at in range(array.shape[1])})


def _cells(column: Any) -> Any:
    """The cells of a column of narwhals; times with a zone as Arrow has them, since NumPy drops the zone."""
    zoned = getattr(column.dtype, "time_zone", None) is not None
    return column.to_arrow() if zoned else column.to_numpy()


def _index(X: Any, name: str) -> dict[str, Any]:
    """The column of a data frame's index; empty if it has none, or one that only labels the rows."""
    index = getattr(X, "index", None)
    if index is None or not hasattr(index, "nlevels") or not hasattr(X, "columns"):
        return {}
    if index.nlevels > 1:
        names = ", ".join(map(str, index.names))
        what = f"the index has {index.nlevels} levels ({names})"
        raise DataError(what, where=name, hint="give the rows of one series, or X.reset_index()")
    kind = getattr(index, "inferred_type", "")
    if kind == "timedelta64":
        hint = "give times: X.set_axis(pandas.Timestamp('2000-01-01') + X.index)"
        raise DataError("the index has durations, not times", where=name, hint=hint)
    given = "" if index.name is None else str(index.name)
    if kind not in (*_TIMES, "string") and given.strip().lower() not in (*TIME_NAMES, "year"):
        return {}
    label = given or ("time" if kind in _TIMES else "index")
    if label in [str(column) for column in X.columns]:
        what = f"the index is read as a column named {label!r}, and there is one already"
        raise DataError(what, where=name, hint="name the index otherwise: X.rename_axis('...')")
    return {label: index.to_numpy()}
