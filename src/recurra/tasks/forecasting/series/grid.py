"""Rows on an even grid of times: copies are left out, missing rows inserted, rows out of order refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from recurra.tasks.forecasting.series.clock import Clock, Stamps, read_stamps
from recurra.tasks.forecasting.series.table import Table, counts_rows, numbers_of

__all__ = ["Grid", "even_grid", "later", "span"]

_MOST = 20
"""A grid of more than this many times the file's rows has a wrong time, not a gap."""
_UNEVEN = 0.1
_DAY = 86_400
_MONTHLIKE = ((28 * _DAY, 31 * _DAY), (90 * _DAY, 92 * _DAY), (365 * _DAY, 366 * _DAY))


@dataclass(frozen=True)
class Grid:
    """Rows at equal distances in time.

    Attributes:
        source: ``(M,)`` int64, the position in the table of each row; -1 for an inserted one.
        stamps: ``(M,)`` datetime64[us]; None if rows have no time.
        spacing: seconds between rows; None if rows have no time.
        warnings: the corrections that were made, a sentence each.
    """

    source: NDArray[np.int64]
    stamps: Stamps | None
    spacing: float | None
    warnings: list[str] = field(default_factory=list)

    def place(self, values: NDArray[Any], missing: Any) -> NDArray[Any]:
        """Returns values of a table's rows (N,) on the grid, of shape (M,); inserted rows get ``missing``."""
        return np.where(self.source < 0, missing, values[np.maximum(self.source, 0)])


def even_grid(table: Table, clock: Clock | None, spacing: float | None = None) -> Grid:
    """Returns the rows of ``table`` on an even grid of times; without a clock all rows as they are.

    A row that is an exact copy of an earlier one (as in the Jena climate file) is left out. A time between
    two grid points moves to the later one, so that no value is known before it was measured. Missing rows are
    inserted without values. Months, quarters and years count as even.

    Args:
        table: the cells.
        clock: the columns and the format of the time; None if rows have no time.
        spacing: seconds between rows, as in training; if None, the most frequent distance.

    Raises:
        DataError: a cell is not a time, rows are out of order, two rows of the same time differ, or times are
            not evenly spaced.
    """
    if clock is None:
        return Grid(np.arange(len(table)), None, None)
    stamps = read_stamps(table, clock)
    warnings: list[str] = []
    kept = _without_copies(table, stamps, warnings)
    times = stamps[kept].astype(np.int64)
    steps = np.diff(times)
    disorder = np.flatnonzero(steps < 0)
    if len(disorder):
        at = int(kept[disorder[0] + 1])
        raise table.error(
            f"the time {_text(stamps[at])} comes after the later {_text(stamps[kept[disorder[0]]])}",
            position=at,
            hint="sort the rows by time",
        )
    if len(times) < 2:
        return Grid(kept, stamps[kept], spacing, warnings)
    if any(((steps >= low * 1e6) & (steps <= high * 1e6)).all() for low, high in _MONTHLIKE):
        return Grid(kept, stamps[kept], float(np.median(steps)) / 1e6, warnings)
    values, counts = np.unique(steps, return_counts=True)
    usual = int(values[counts.argmax()])
    width = usual if spacing is None else round(spacing * 1e6)
    if usual != width and 2 * counts.max() > len(steps):
        raise table.error(f"rows are {span(usual / 1e6)} apart, in training they are {span(width / 1e6)}")
    uneven = int((steps % width != 0).sum())
    if uneven > _UNEVEN * len(steps):
        raise table.error(
            f"rows are not evenly spaced in time: {uneven:,} of {len(steps):,} distances are not multiples "
            f"of {span(width / 1e6)}",
            hint="give a file with rows at equal distances",
        )
    places = -((times[0] - times) // width)  # rounded up, so that no value is known before it was measured
    moved = int((times != times[0] + places * width).sum())
    if moved:
        warnings.append(f"{moved:,} rows are between two times of the grid and move to the later one")
    last = np.append(np.diff(places) > 0, True)  # of several rows at one place the latest
    if not last.all():
        warnings.append(
            f"{int((~last).sum()):,} rows are closer than {span(width / 1e6)} to a later one and left out"
        )
    kept, places = kept[last], places[last]
    size = int(places[-1]) + 1
    if size > _MOST * len(table) + 1_000:
        widest = int(np.diff(places).argmax())
        raise table.error(
            f"the time jumps by {span((places[widest + 1] - places[widest]) * width / 1e6)}, from "
            f"{_text(stamps[kept[widest]])} to {_text(stamps[kept[widest + 1]])}",
            position=kept[widest + 1],
            hint="fix the time, or cut the file there",
        )
    source = np.full(size, -1, np.int64)
    source[places] = kept
    if size > len(places):
        warnings.append(_gaps(table, stamps, kept, places, width))
    grid = times[0] + np.arange(size) * width
    return Grid(source, grid.view("datetime64[us]"), width / 1e6, warnings)


def later(stamps: Stamps, rows: int, spacing: float) -> Stamps:
    """Returns the times ``rows`` rows after ``stamps``; months, quarters and years have their own lengths.

    Example:
        >>> later(np.array(["2024-01-15"], "datetime64[us]"), 2, 31 * 86400.0).astype("datetime64[D]")
        array(['2024-03-15'], dtype='datetime64[D]')
    """
    for months, (least, most) in zip((1, 3, 12), _MONTHLIKE, strict=True):
        if least <= spacing <= most:
            month = stamps.astype("datetime64[M]")
            target = month + np.timedelta64(rows * months, "M")
            passed = stamps - month.astype("datetime64[us]")
            left = (month + 1).astype("datetime64[us]") - stamps
            from_end = (target + 1).astype("datetime64[us]") - left
            is_last_day = left <= np.timedelta64(1, "D")  # which the last day of another month follows
            return np.where(is_last_day, from_end, target.astype("datetime64[us]") + passed)
    return np.asarray(stamps + np.timedelta64(round(rows * spacing * 1e6), "us"))


def span(seconds: float) -> str:
    """Returns a length of time as text, such as ``10 min`` or ``2 d 3 h``.

    Example:
        >>> span(600), span(3600 * 51), span(0.5)
        ('10 min', '2 d 3 h', '0.5 s')
    """
    words = []
    left = seconds
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        whole, left = divmod(left, size)
        if whole:
            words.append(f"{whole:,.0f} {unit}")
    if left or not words:
        words.append(f"{left:g} s")
    return " ".join(words[:2])


def _without_copies(table: Table, stamps: Stamps, warnings: list[str]) -> NDArray[np.int64]:
    """The positions of the rows that are not copies of earlier ones ``(n,)``."""
    _, first, inverse = np.unique(stamps, return_index=True, return_inverse=True)
    earlier = first[inverse.reshape(-1)]
    again = np.flatnonzero(earlier != np.arange(len(stamps)))
    if not len(again):
        return np.arange(len(stamps))
    same = np.ones(len(again), bool)
    for column in table.columns.values():
        if counts_rows(numbers_of(column).values):
            continue  # a number of the row differs between copies
        later_cells, earlier_cells = (column.take(places) for places in (again, earlier[again]))
        equal = np.asarray(pc.fill_null(pc.equal(later_cells, earlier_cells), False))
        same &= equal | (np.asarray(pc.is_null(later_cells)) & np.asarray(pc.is_null(earlier_cells)))
    if not same.all():
        at = int(again[~same][0])
        raise table.error(
            f"has the time of row {table.numbers[earlier[at]]:,}, {_text(stamps[at])}, and other values",
            position=at,
            hint="keep one of the two (is the time a local one with summer time?)",
        )
    number = int(table.numbers[again[0]])
    warnings.append(
        f"{len(again):,} rows are copies of earlier ones and left out, the first is row {number:,}"
    )
    return np.setdiff1d(np.arange(len(stamps)), again, assume_unique=True)


def _gaps(
    table: Table, stamps: Stamps, kept: NDArray[np.int64], places: NDArray[np.int64], width: int
) -> str:
    missing = np.diff(places) - 1
    longest = int(missing.argmax())
    count, rows = int((missing > 0).sum()), int(missing.sum())
    gaps = "1 gap" if count == 1 else f"{count:,} gaps"
    inserted = "1 row is" if rows == 1 else f"{rows:,} rows are"
    row = int(kept[longest + 1])
    return (
        f"{gaps} in time: {inserted} inserted as missing; the longest is "
        f"{span(missing[longest] * width / 1e6)}, before row {table.numbers[row]:,} ({_text(stamps[row])})"
    )


def _text(stamp: np.datetime64) -> str:
    return str(stamp.astype("datetime64[s]")).replace("T", " ")
