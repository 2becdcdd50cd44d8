"""The time of each row: the columns that have it, their format, and the times."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recurra.tasks.forecasting.series.numbers import BLOCK, numbers_of
from recurra.tasks.forecasting.series.spelling import (
    Stamps,
    formats_of,
    may_be_time,
    offsets_of,
    read_format,
    read_iso,
    read_quarters,
    shapes_of,
    share_of_times,
)
from recurra.tasks.forecasting.series.table import Table
from recurra.tasks.reporter import Tick

__all__ = ["ISO", "PARTS", "TIME_NAMES", "Clock", "find_clock", "has_offsets", "read_stamps"]

ISO, PARTS, UNIX, QUARTERS = "ISO 8601", "parts", "unix", "year and quarter"
_FIELDS = ("year", "month", "day", "hour", "minute", "second")
TIME_NAMES = ("date time", "datetime", "date_time", "timestamp", "time", "date", "ds", "stamp", "utc")
"""Names of columns that must have times, in lower case."""
_TIME_OF_DAY = re.compile(r"\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?")
_SWAPPED = str.maketrans("md", "dm")
_UNIX_UNITS = (("s", 1e8, 1e10), ("ms", 1e11, 1e13), ("us", 1e14, 1e16))
_SAMPLE = 500


@dataclass(frozen=True)
class Clock:
    """The columns that have the time of a row, and their format.

    Attributes:
        columns: one column, date and time of day, or the parts of a date from the year down.
        format: `ISO`, `PARTS`, `QUARTERS`, ``unix s``, ``unix ms``, ``unix us``, or a format of strptime.
        zoned: whether the times must have an offset from UTC, or must have none; None: either.
    """

    columns: tuple[str, ...]
    format: str
    zoned: bool | None = None

    def __str__(self) -> str:
        names = " + ".join(self.columns)
        return names if self.format == PARTS else f"{names} ({self.format})"


def find_clock(table: Table, columns: str | Sequence[str] | None, written: str | None) -> Clock | None:
    """Detects the columns with the time of a row; None if there are none.

    Args:
        table: the cells.
        columns: the columns that the user named.
        written: the format that the user gave.

    Raises:
        ConfigError: there is no such column.
        DataError: a column that is named, or whose name is that of a time (``date``, ``timestamp`` ...), has
            no times, or they are ambiguous, as 03/04/2020 is.
    """
    if columns is None:
        clock = _search(table, written)
        if clock is None:
            _refuse_unread(table, written)
        return clock
    named = (columns,) if isinstance(columns, str) else tuple(columns)
    for name in named:
        if name not in table.columns:
            raise table.no_column("time", name)
    if len(named) > 2 or (len(named) == 2 and not _is_day_and_time(table, named)) or _has_years(table, named):
        return Clock(named, PARTS)
    clock = _try(table, named, written)
    if clock is None:
        raise table.error(
            f"column {' and '.join(map(repr, named))} has no times that can be read",
            hint="give their format: --set series.time_format='%d.%m.%Y %H:%M'",
        )
    return clock


def read_stamps(table: Table, clock: Clock, tick: Tick = lambda rows: None) -> Stamps:
    """Returns the time of each row ``(N,)``, datetime64[us]; ``tick`` gets the number of rows read.

    Raises:
        DataError: a column is missing, a cell is not a time, or it has an offset from UTC where `Clock.zoned`
            forbids it, or none where it demands one.
    """
    for name in clock.columns:
        if name not in table.columns:
            raise table.error(f"there is no time column {name!r}")
    _refuse_other_offsets(table, clock)
    stamps = _parts(table, clock.columns) if clock.format == PARTS else _parse(table, clock, len(table), tick)
    bad = np.flatnonzero(np.isnat(stamps))
    if len(bad):
        cells = [str(table.columns[name][int(bad[0])].as_py()) for name in clock.columns]
        raise table.error(
            f"{' '.join(cells)!r} in {' + '.join(clock.columns)} is not a time ({clock.format})",
            position=bad[0],
            hint="fix or remove the row",
        )
    return stamps


def has_offsets(table: Table, clock: Clock, tick: Tick = lambda rows: None) -> bool | None:
    """Returns whether times have an offset from UTC; None for Unix times, which are never local."""
    if clock.format.startswith(UNIX):
        return None
    if clock.format != ISO:
        return "%z" in clock.format or clock.format.endswith("Z")
    zoned = local = 0
    for cells in _blocks(table, clock.columns, len(table)):
        counts = [int(which.sum()) for which in offsets_of(cells)]
        zoned, local = zoned + counts[0], local + counts[1]
        tick(len(cells))
    return zoned > local


def _refuse_other_offsets(table: Table, clock: Clock) -> None:
    """Raises DataError for the first time with an offset if training had none, or the reverse."""
    if clock.zoned is None or not len(table) or (zoned := has_offsets(table, clock)) is None:
        return
    cells = _joined(table, clock.columns, len(table))
    if clock.format == ISO:
        others = np.flatnonzero(offsets_of(cells)[0 if not clock.zoned else 1])
    else:
        others = np.arange(0 if zoned == clock.zoned else len(table))
    if not len(others):
        return
    column, typed = " + ".join(clock.columns), not pa.types.is_string(cells.type)
    if clock.zoned:
        what = "has no offset from UTC, and the times in training had one"
        hint = "write the times with it, as in 2020-01-31T12:00+01:00, or in UTC with Z"
        cure = "give the times their time zone (in pandas: tz_localize), or texts such as 2020-01-31T12:00Z"
    else:
        what = "has an offset from UTC, and the times in training had none"
        hint = "write the times as in training, without it: as local times if those were local"
        cure = "give times without a time zone, as in training (in pandas: tz_localize(None))"
    at = int(others[0])
    raise table.error(f"{str(cells[at].as_py())!r} in column {column!r} {what}", at, cure if typed else hint)


def _search(table: Table, written: str | None) -> Clock | None:
    lower = {name.strip().lower(): name for name in reversed(table.names)}
    order = [lower[name] for name in TIME_NAMES if name in lower]
    order += [name for name in table.names if name not in order]
    for name in order:
        dated = _try(table, (name,), written)
        if dated is None:
            continue
        stamps = _parse(table, dated, _SAMPLE)
        if (stamps == stamps.astype("datetime64[D]")).all():
            for other in table.names:
                both = (name, other)
                if other != name and _is_day_and_time(table, both) and (clock := _try(table, both, written)):
                    return clock
        return dated
    parts = [lower[field] for field in _FIELDS if field in lower]
    if parts and [lower.get(field) for field in _FIELDS[: len(parts)]] == parts:
        clock = Clock(tuple(parts), PARTS)
        if len(parts) >= 3:
            return clock
        stamps = _parts(table, parts)  # years, or years and months, if each occurs once
        if len(stamps) > 1 and bool((np.diff(stamps) > np.timedelta64(0, "us")).all()):
            return clock
    return None


def _refuse_unread(table: Table, written: str | None) -> None:
    """Raises DataError if a column has the name of a time and other cells than numbers."""
    if written is not None:
        hint = f"the columns are {', '.join(table.names)}; name one of them in series.time"
        raise table.error(f"no column has times of the format {written!r}", hint=hint)
    for name in table.names:
        if name.strip().lower() not in TIME_NAMES:
            continue
        numbers = table.numbers_in(name)
        if 2 * len(numbers.strange) <= numbers.present:
            continue
        head = table.columns[name].slice(0, _SAMPLE)
        best = max(
            (read_iso(head), *(read_format(head, each) for each in formats_of(shapes_of(head)))),
            key=share_of_times,
        )
        unread = np.flatnonzero(np.isnat(best) & ~np.asarray(pc.is_null(head)))
        at = int(unread[0]) if len(unread) else int(numbers.strange[0])
        raise table.error(
            f"{str(table.columns[name][at].as_py())[:40]!r} in column {name!r} can't be read as a time",
            at,
            "give the format of the column: --set series.time_format='%d.%m.%Y %H:%M'; or rename the column "
            "if it is not the time",
        )


def _try(table: Table, names: tuple[str, ...], written: str | None) -> Clock | None:
    """The clock of these columns, or None if their first cells are not times."""
    head = _joined(table, names, _SAMPLE)
    if written is not None:
        return Clock(names, written) if share_of_times(read_format(head, written)) > 0.5 else None
    kind = table.columns[names[0]].type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return Clock(names, ISO)
    named = names[0].strip().lower() in TIME_NAMES
    shapes = shapes_of(head)
    if not named and not any(map(may_be_time, shapes)):
        return None
    numbers = numbers_of(head)
    plain = numbers.present > len(numbers.strange)  # such as 2016 or 20160701
    if share_of_times(read_iso(head)) > 0.9 and not plain:
        return Clock(names, ISO)
    if len(names) == 1 and named:
        values = table.numbers_in(names[0]).values
        for unit, least, most in _UNIX_UNITS:
            if len(values) and np.all((values >= least) & (values < most)):
                return Clock(names, f"{UNIX} {unit}")
    if plain and not named:
        return None
    if share_of_times(read_quarters(head)) > 0.9:
        return Clock(names, QUARTERS)
    few = head.drop_null().slice(0, 20)
    likely = [each for each in formats_of(shapes) if share_of_times(read_format(few, each)) > 0.5]
    fitting = [each for each in likely if share_of_times(read_format(head, each)) > 0.9]
    if len(fitting) > 1:
        fitting = _agreeing(table, names, fitting)
    return Clock(names, fitting[0]) if fitting else None


def _agreeing(table: Table, names: tuple[str, ...], formats: list[str]) -> list[str]:
    """The formats that fit every row; if they give different times, the one with times in order."""
    cells = _joined(table, names, len(table))
    read = {each: read_format(cells, each) for each in formats}
    best = max(map(share_of_times, read.values()))
    read = {each: stamps for each, stamps in read.items() if share_of_times(stamps) == best}
    first = next(iter(read.values()))
    if all(np.array_equal(stamps, first, equal_nan=True) for stamps in read.values()):
        return list(read)
    zero = np.timedelta64(0, "us")
    ordered = [each for each, stamps in read.items() if bool((np.diff(stamps) >= zero).all())]
    # The order alone is no proof: the first 12 days of each month are in order too.
    if len(ordered) == 1 and (
        ordered[0].translate(_SWAPPED) not in read or len(np.unique(np.diff(read[ordered[0]]))) == 1
    ):
        return ordered
    examples = " or ".join(read)
    raise table.error(
        f"day and month can't be told apart: {cells[0].as_py()!r} in {names[0]!r} may be written as "
        f"{examples}",
        hint=f"choose one: --set series.time_format='{(ordered or list(read))[0]}'",
    )


def _parse(table: Table, clock: Clock, rows: int, tick: Tick = lambda rows: None) -> Stamps:
    """The times of the first rows."""
    # Times with an offset and local ones can't be compared: those of the kind that fewer rows have are none.
    zoned = None
    if clock.format == ISO and min(rows, len(table)) > BLOCK:
        zoned = has_offsets(table, clock, tick)
    blocks = []
    for cells in _blocks(table, clock.columns, rows):
        blocks.append(_parsed(cells, clock, zoned))
        tick(len(cells))
    return np.concatenate(blocks)


def _blocks(table: Table, names: Sequence[str], rows: int) -> Iterator[pa.ChunkedArray]:
    """The cells of `_joined`, in parts of bounded size, one at least."""
    rows = min(rows, len(table))
    for first in range(0, max(1, rows), BLOCK):
        yield _joined(table, names, min(BLOCK, rows - first), first)


def _parsed(cells: pa.ChunkedArray, clock: Clock, zoned: bool | None) -> Stamps:
    if clock.format.startswith(UNIX):
        scale = {"s": 1e6, "ms": 1e3, "us": 1.0}[clock.format.split()[1]]
        return np.round(numbers_of(cells).values * scale).astype("datetime64[us]")  # NaN becomes NaT
    if clock.format == QUARTERS:
        return read_quarters(cells)
    return read_iso(cells, zoned) if clock.format == ISO else read_format(cells, clock.format)


def _parts(table: Table, names: Sequence[str]) -> Stamps:
    """Times from columns of the year and, if present, month, day, hour, minute and second."""
    columns = [table.numbers_in(name).values for name in names]
    known = np.logical_and.reduce([np.isfinite(column) for column in columns])
    limits = ((1, 9999), (1, 12), (1, 31), (0, 24), (0, 59), (0, 60))
    whole = []
    for column, (least, most) in zip(columns, limits, strict=False):
        known &= (column >= least) & (column <= most) & (column == np.floor(column))
        whole.append(np.where(known, column, least).astype(np.int64))
    first = np.ones(len(whole[0]), np.int64)  # the month or the day of a table that lacks it
    year, month, day = [*whole[:3], first, first][:3]
    months = (year - 1970) * 12 + month - 1
    days = months.astype("datetime64[M]").astype("datetime64[D]") + (day - 1)
    known &= days.astype("datetime64[M]").astype(np.int64) == months  # excludes the 30th of February
    stamps: Stamps = days.astype("datetime64[us]")
    for amount, seconds in zip(whole[3:], (3_600, 60, 1), strict=False):
        stamps = stamps + (amount * seconds * 1_000_000).astype("timedelta64[us]")
    stamps[~known] = np.datetime64("NaT")
    return stamps


def _joined(table: Table, names: Sequence[str], rows: int, begin: int = 0) -> pa.ChunkedArray:
    """The cells of one column, or of two with a space between, from row ``begin`` on."""
    first, *others = [table.columns[name].slice(begin, rows) for name in names]
    if not others:
        return first
    texts = [pc.utf8_trim_whitespace(pc.cast(column, pa.string())) for column in (first, *others)]
    return pc.binary_join_element_wise(*texts, " ")


def _is_day_and_time(table: Table, names: Sequence[str]) -> bool:
    """Whether the second column has times of day, such as 17:24:00."""
    column = table.columns[names[1]].slice(0, _SAMPLE)
    if not pa.types.is_string(column.type):
        return False
    cells = [cell for cell in column.to_pylist() if cell]
    return bool(cells) and all(_TIME_OF_DAY.fullmatch(cell.strip()) for cell in cells)


def _has_years(table: Table, names: Sequence[str]) -> bool:
    """Whether one column is named and has years, such as 1998."""
    values = table.numbers_in(names[0]).values
    return len(names) == 1 and bool(((values >= 1000) & (values < 3000) & (values == np.floor(values))).all())
