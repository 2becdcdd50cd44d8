"""Rows on an even grid of times: copies are left out, missing rows inserted, rows out of order refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from recurra.tasks.forecasting.series.clock import Clock, read_stamps
from recurra.tasks.forecasting.series.numbers import BLOCK, counts_rows, words_of
from recurra.tasks.forecasting.series.spacing import Spacing, calendar_spacing, span
from recurra.tasks.forecasting.series.spelling import Stamps
from recurra.tasks.forecasting.series.table import Table
from recurra.tasks.reporter import Tick

__all__ = ["Grid", "even_grid"]

_MOST = 20
"""A grid of more than this many times the file's rows has a wrong time, not a gap."""
_UNEVEN = 0.1
_HOUR = 3_600


@dataclass(frozen=True)
class Grid:
    """Rows at equal distances in time.

    Attributes:
        source: ``(M,)`` int64, the position in the table of each row; -1 for an inserted one.
        stamps: ``(M,)`` datetime64[us]; None if rows have no time.
        spacing: the distance of the rows; None if rows have no time.
        warnings: the corrections that were made, a sentence each.
    """

    source: NDArray[np.int64]
    stamps: Stamps | None
    spacing: Spacing | None
    warnings: list[str] = field(default_factory=list)

    def place(self, values: NDArray[Any], missing: Any) -> NDArray[Any]:
        """Returns values of a table's rows (N,) on the grid, of shape (M,); inserted rows get ``missing``."""
        if self.is_whole and len(values) == len(self.source):
            return values
        return np.where(self.source < 0, missing, values[np.maximum(self.source, 0)])

    @cached_property
    def is_whole(self) -> bool:
        """Whether the grid has all rows of the table that begin it, and no other."""
        positions = np.arange(min(BLOCK, len(self.source)))
        return all(
            bool((self.source[first : first + BLOCK] == positions[: len(self.source) - first] + first).all())
            for first in range(0, len(self.source), BLOCK)
        )

    def blocks(self) -> Iterator[Grid]:
        """Yields the grid in parts of bounded size, one at least."""
        for first in range(0, max(1, len(self.source)), BLOCK):
            rows = slice(first, first + BLOCK)
            stamps = None if self.stamps is None else self.stamps[rows]
            yield Grid(self.source[rows], stamps, self.spacing)


def even_grid(
    table: Table, clock: Clock | None, spacing: Spacing | None = None, tick: Tick = lambda rows: None
) -> Grid:
    """Returns the rows of ``table`` on an even grid of times; without a clock all rows as they are.

    A row that is an exact copy of an earlier one (as in the Jena climate file) is left out. A time between
    two grid points moves to the later one, so that no value is known before it was measured. Missing rows are
    inserted without values. Months, quarters, years and the working days of a week count as even; up to 10
    working days without a row are holidays, for which none is inserted.

    Args:
        table: the cells.
        clock: the columns and the format of the time; None if rows have no time.
        spacing: the distance of the rows in training; if None, it is detected.
        tick: called with the number of rows whose time was read, three times for each row at most.

    Raises:
        DataError: a cell is not a time, rows are out of order, two rows of the same time differ, or times are
            not evenly spaced.
    """
    if clock is None:
        return Grid(np.arange(len(table)), None, None)
    stamps = read_stamps(table, clock, tick)
    warnings: list[str] = []
    kept = _without_copies(table, stamps, warnings)
    tick(len(kept) // 3)
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
    found = calendar_spacing(stamps[kept]) if spacing is None else spacing
    if found is not None and found.in_calendar:
        width, places = found, _calendar_places(table, stamps[kept], found, warnings)
    else:
        width, places = _even_places(table, times, spacing, warnings)
    tick(len(kept) // 3)
    last = np.append(np.diff(places) > 0, True)  # of several rows at one place the latest
    if not last.all():
        warnings.append(
            f"{int((~last).sum()):,} rows are closer than {width.words()} to a later one and left out"
        )
    kept, places = kept[last], places[last]
    size = int(places[-1]) + 1
    if size > _MOST * len(table) + 1_000:
        widest = int(np.diff(places).argmax())
        raise table.error(
            f"the time jumps by {width.words(int(places[widest + 1] - places[widest]))}, from "
            f"{_text(stamps[kept[widest]])} to {_text(stamps[kept[widest + 1]])}",
            position=kept[widest + 1],
            hint="fix the time, or cut the file there",
        )
    source = np.full(size, -1, np.int64)
    source[places] = kept
    tick(len(kept) // 3)
    if size > len(places):
        warnings.append(_gaps(table, stamps, kept, places, width))
        begins = _summer_time(stamps, kept, places, width)
        if begins is not None:
            warnings.append(
                f"an hour is missing before row {table.numbers[begins]:,} ({_text(stamps[begins])}), as "
                "where summer time begins: if the time is a local one, write it in UTC or with its offset"
            )
    if width.in_calendar:
        return Grid(source, _calendar_stamps(stamps, source, width), width, warnings)
    grid = times[0] + np.arange(size) * round(width.seconds * 1e6)
    return Grid(source, grid.view("datetime64[us]"), width, warnings)


def _even_places(
    table: Table, times: NDArray[np.int64], spacing: Spacing | None, warnings: list[str]
) -> tuple[Spacing, NDArray[np.int64]]:
    """The distance in seconds and the place of each row, rounded up: no value is known before its time."""
    steps = np.diff(times)
    even = bool((steps == steps[0]).all())
    values, counts = np.unique(steps[:1] if even else steps, return_counts=True)
    usual = int(values[counts.argmax()])
    width = usual if spacing is None else round(spacing.seconds * 1e6)
    if usual != width and (even or 2 * counts.max() > len(steps)):
        raise table.error(f"rows are {span(usual / 1e6)} apart, in training they are {span(width / 1e6)}")
    uneven = int((steps % width != 0).sum())
    if uneven > _UNEVEN * len(steps):
        raise table.error(
            f"rows are not evenly spaced in time: {uneven:,} of {len(steps):,} distances are not multiples "
            f"of {span(width / 1e6)}",
            hint="give a file with rows at equal distances",
        )
    places = -((times[0] - times) // width)
    moved = int((times != times[0] + places * width).sum())
    if moved:
        warnings.append(f"{moved:,} rows are between two times of the grid and move to the later one")
    return Spacing(width / 1e6), places


def _calendar_places(
    table: Table, stamps: Stamps, spacing: Spacing, warnings: list[str]
) -> NDArray[np.int64]:
    """The place of each row among months or working days."""
    places = spacing.places(stamps)
    closer = int((np.diff(places) < 1).sum())
    if spacing.weekmask:
        closer += int((~np.is_busday(stamps.astype("datetime64[D]"), weekmask=spacing.weekmask)).sum())
    if closer > _UNEVEN * len(stamps):
        usual = span(float(np.median(np.diff(stamps).astype(np.int64))) / 1e6)
        raise table.error(f"rows are {usual} apart, in training they are {spacing.words()}")
    holidays = spacing.holidays(stamps)
    if holidays:
        warnings.append(
            "1 business day has no row: it counts as a holiday"
            if holidays == 1
            else f"{holidays:,} business days have no row: they count as holidays"
        )
    return places


def _calendar_stamps(stamps: Stamps, source: NDArray[np.int64], spacing: Spacing) -> Stamps:
    """The times of rows at places of a calendar: their own, and for an inserted one that of its place."""
    position = np.arange(len(source))
    before = np.maximum.accumulate(np.where(source >= 0, position, 0))
    grid = stamps[source[before]]
    distance = position - before
    for rows in np.unique(distance[distance > 0]).tolist():
        at = distance == rows
        grid[at] = spacing.later(grid[at], rows)
    return grid


def _without_copies(table: Table, stamps: Stamps, warnings: list[str]) -> NDArray[np.int64]:
    """The positions of the rows that are not copies of earlier ones ``(n,)``."""
    if (stamps[1:] > stamps[:-1]).all():
        return np.arange(len(stamps))
    _, first, inverse = np.unique(stamps, return_index=True, return_inverse=True)
    earlier = first[inverse.reshape(-1)]
    again = np.flatnonzero(earlier != np.arange(len(stamps)))
    if not len(again):
        return np.arange(len(stamps))
    same = np.ones(len(again), bool)
    for name, column in table.columns.items():
        if counts_rows(table.numbers_in(name).values):
            continue  # a number of the row differs between copies
        later_cells, earlier_cells = (column.take(places) for places in (again, earlier[again]))
        equal = np.asarray(pc.fill_null(pc.equal(later_cells, earlier_cells), False))
        same &= equal | (np.asarray(pc.is_null(later_cells)) & np.asarray(pc.is_null(earlier_cells)))
    if not same.all():
        at = int(again[~same][0])
        names = _names_of_series(table, stamps)
        if names is not None:
            series, words = names
            raise table.error(
                f"has the time of row {table.numbers[earlier[at]]:,}, {_text(stamps[at])}: column {series!r} "
                f"names {len(words):,} series ({', '.join(words[:3])}{', ...' if len(words) > 3 else ''})",
                position=at,
                hint="give a file with the rows of one series",
            )
        raise table.error(
            f"has the time of row {table.numbers[earlier[at]]:,}, {_text(stamps[at])}, and other values",
            position=at,
            hint="keep one of the two; a local time with summer time has an hour twice: write it in UTC or "
            "with its offset, such as 02:00+01:00",
        )
    number = int(table.numbers[again[0]])
    warnings.append(
        f"{len(again):,} rows are copies of earlier ones and left out, the first is row {number:,}"
    )
    return np.setdiff1d(np.arange(len(stamps)), again, assume_unique=True)


def _names_of_series(table: Table, stamps: Stamps) -> tuple[str, list[str]] | None:
    """The column that tells rows of the same time apart, and its values; None if there is none."""
    times, rows = np.unique(stamps, return_inverse=True, return_counts=True)[1:]
    if 2 * (rows > 1).sum() < len(rows):
        return None  # few times occur twice
    times = times.reshape(-1)
    for name, column in table.columns.items():
        words, which = np.unique(words_of(column).astype(str), return_inverse=True)
        if not 2 <= len(words) <= len(stamps) // 2:
            continue
        pairs = times * len(words) + which.reshape(-1)
        if len(np.unique(pairs)) == len(pairs):
            return name, [str(word) for word in words]
    return None


def _summer_time(
    stamps: Stamps, kept: NDArray[np.int64], places: NDArray[np.int64], width: Spacing
) -> int | None:
    """The position of a row after a missing hour of the night of a Sunday, as where summer time begins."""
    if width.in_calendar or width.seconds > _HOUR or _HOUR % width.seconds:
        return None
    after = stamps[kept[1:]]
    days = after.astype("datetime64[D]").astype(np.int64)
    month = after.astype("datetime64[M]").astype(np.int64) % 12 + 1
    hour = (after - after.astype("datetime64[D]").astype("datetime64[us]")).astype(np.int64) / (_HOUR * 1e6)
    lost = (np.diff(places) - 1) * width.seconds == _HOUR
    begins = lost & ((days + 3) % 7 == 6) & np.isin(month, (3, 4, 9, 10)) & (hour >= 1) & (hour <= 3)
    return int(kept[1:][begins][0]) if begins.any() else None


def _gaps(
    table: Table, stamps: Stamps, kept: NDArray[np.int64], places: NDArray[np.int64], width: Spacing
) -> str:
    missing = np.diff(places) - 1
    longest = int(missing.argmax())
    count, rows = int((missing > 0).sum()), int(missing.sum())
    gaps = "1 gap" if count == 1 else f"{count:,} gaps"
    inserted = "1 row is" if rows == 1 else f"{rows:,} rows are"
    row = int(kept[longest + 1])
    return (
        f"{gaps} in time: {inserted} inserted as missing; the longest is "
        f"{width.words(int(missing[longest]))}, before row {table.numbers[row]:,} ({_text(stamps[row])})"
    )


def _text(stamp: np.datetime64) -> str:
    return str(stamp.astype("datetime64[s]")).replace("T", " ")
