"""Whether a file can only be a series: its first rows have a time and numbers, and no texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from recurra.config import DataConfig
from recurra.errors import RecurraError
from recurra.io.files import look
from recurra.tasks.forecasting.series.clock import find_clock
from recurra.tasks.forecasting.series.numbers import counts_rows, numbers_of, words_of
from recurra.tasks.forecasting.series.table import Table, read_lines

__all__ = ["is_series"]

_PARQUET = b"PAR1"
_BYTES = 100_000
_ROWS = 1_000
_LEAST_ROWS = 5
_WORDS = 0.05


def is_series(path: Path) -> bool:
    """Whether the first rows of a file have a time, numbers that change, and otherwise few words only.

    A file with a column of texts is none, since it is for another task.
    """
    try:
        table = _first_rows(path)
        clock = None if table is None else find_clock(table, None, None)
    except RecurraError:
        return False  # whoever reads the file says what is wrong
    if table is None or clock is None or len(table) < _LEAST_ROWS:
        return False
    changing = 0
    for name, column in table.columns.items():
        if name in clock.columns:
            continue
        numbers = numbers_of(column, table.decimal_comma)
        if 2 * len(numbers.strange) < numbers.present:
            known = numbers.values[np.isfinite(numbers.values)]
            changing += bool(len(np.unique(known)) > 1) and not counts_rows(numbers.values)
        elif numbers.present and not _are_few_words(column):
            return False
    return changing > 0


def _are_few_words(column: pa.ChunkedArray) -> bool:
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        return False
    words = words_of(column)
    return len({word for word in words if word is not None}) <= max(2, _WORDS * len(words))


def _first_rows(path: Path) -> Table | None:
    if path.is_dir():
        return None
    head = look(path, (_PARQUET,))
    if head.data.startswith(_PARQUET):
        try:
            with pq.ParquetFile(path) as file:
                batch = next(file.iter_batches(_ROWS), None)
        except (pa.ArrowException, OSError):
            return None
        if batch is None:
            return None
        columns = {name: pa.chunked_array([batch.column(name)]) for name in batch.schema.names}
        return Table(str(path), columns, np.arange(1, batch.num_rows + 1))
    data = head.data[:_BYTES]
    whole = head.complete and len(head.data) <= _BYTES
    return read_lines(
        data if whole else data[: data.rfind(b"\n") + 1], str(path), DataConfig(skip_bad_rows=True)
    )
