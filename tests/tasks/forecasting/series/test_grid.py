"""The even grid: gaps are filled with missing rows, copies left out, rows out of order refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.errors import DataError
from recurra.tasks.forecasting.series.clock import find_clock
from recurra.tasks.forecasting.series.grid import Grid, even_grid
from recurra.tasks.forecasting.series.spacing import Spacing, calendar_spacing
from recurra.tasks.forecasting.series.table import Table, from_columns

HOUR = 3_600


def hourly(hours: list[float] | np.ndarray[Any, Any], **columns: Any) -> Table:
    stamps = np.datetime64("2020-01-01", "s") + np.round(np.asarray(hours) * HOUR).astype("timedelta64[s]")
    return from_columns({"time": stamps, "x": np.asarray(hours, float) * 10, **columns})


def grid_of(table: Table, seconds: float | None = None) -> Grid:
    clock = find_clock(table, None, None)
    assert clock is not None
    return even_grid(table, clock, None if seconds is None else Spacing(seconds))


@given(st.lists(st.integers(0, 60), min_size=30, max_size=60, unique=True))
def test_every_row_is_at_its_hour_and_others_are_missing(hours: list[int]) -> None:
    hours = sorted({*hours, *range(100, 200)})
    grid = grid_of(hourly(hours))
    assert grid.spacing == Spacing(HOUR)
    assert grid.source.tolist() == [
        hours.index(hour) if hour in hours else -1 for hour in range(hours[0], hours[-1] + 1)
    ]
    assert grid.stamps is not None
    assert set(np.diff(grid.stamps).tolist()) == {np.timedelta64(HOUR, "s").item()}
    assert len(grid.warnings) == (len(grid.source) > len(hours))


def test_gaps_are_counted_and_the_longest_is_reported() -> None:
    (warning,) = grid_of(hourly([*range(10), 12, 13, *range(20, 40)])).warnings
    assert warning == (
        "2 gaps in time: 8 rows are inserted as missing; the longest is 6 h, "
        "before row 13 (2020-01-01 20:00:00)"
    )


def test_copies_of_rows_are_left_out_even_out_of_order() -> None:
    hours = [*range(20), *range(5, 9), *range(20, 30)]  # as a block of the Jena file stands in it twice
    grid = grid_of(hourly(hours, No=np.arange(34)))
    assert grid.source.tolist() == [*range(20), *range(24, 34)]
    assert grid.warnings == ["4 rows are copies of earlier ones and left out, the first is row 21"]


def test_two_rows_of_one_time_that_differ_are_refused() -> None:
    with pytest.raises(
        DataError, match="row 4: has the time of row 3, 2020-01-01 02:00:00, and other values"
    ):
        grid_of(hourly([0, 1, 2, 2, 3, 4], y=[1, 1, 1, 2, 1, 1]))


def test_rows_out_of_order_are_refused_with_their_number() -> None:
    with pytest.raises(
        DataError, match=r"row 4: the time 2020-01-01 01:00:00 comes after the later .* 03:00:00"
    ):
        grid_of(hourly([0, 2, 3, 1, 4, 5]))


def test_a_time_between_two_grid_points_moves_to_the_later() -> None:
    grid = grid_of(hourly([*range(10), 10.25, *range(12, 40)]))
    assert grid.source[10:13].tolist() == [-1, 10, 11]  # known at a quarter past ten: not at ten
    assert grid.warnings[0].startswith("1 rows are between two times of the grid")


def test_uneven_times_and_a_jump_of_centuries_are_refused() -> None:
    with pytest.raises(DataError, match="rows are not evenly spaced in time"):
        grid_of(hourly(np.cumsum(np.random.default_rng(1).exponential(size=50))))
    with pytest.raises(DataError, match=r"row 51: the time jumps by .* d"):
        grid_of(hourly([*range(50), 8_000_000]))


def test_months_are_even() -> None:
    stamps = np.arange("2019-11", "2024-03", dtype="datetime64[M]").astype("datetime64[D]")
    grid = grid_of(from_columns({"month": stamps, "x": np.arange(len(stamps)) ** 2}))
    assert grid.warnings == []
    assert grid.source.tolist() == list(range(len(stamps)))


def times(*stamps: str) -> np.ndarray[Any, np.dtype[np.datetime64]]:
    return np.array(stamps, "datetime64[us]")


@pytest.mark.parametrize("months", [1, 3, 6, 12])
@pytest.mark.parametrize("day", [1, 15, 28, 29, 30, 31])
def test_the_next_row_of_months_is_the_next_time_of_the_series(months: int, day: int) -> None:
    stamps = pd.date_range("2019-01-01", periods=60, freq="MS") + pd.to_timedelta(6, "h")
    stamps = [stamp + pd.Timedelta(days=min(day, stamp.days_in_month) - 1) for stamp in stamps[::months]]
    known = np.array([stamp.to_datetime64() for stamp in stamps]).astype("datetime64[us]")
    spacing = calendar_spacing(np.delete(known[:-1], 2) if months < 12 else known[:-1])
    assert spacing is not None
    assert (spacing.months, spacing.weekmask) == (months, "")
    for rows in (1, 2):
        assert spacing.later(known[:-rows], rows).tolist() == known[rows:].tolist()


@pytest.mark.parametrize(
    ("stamp", "rows", "spacing", "expected"),
    [
        ("2024-01-31", 1, Spacing(1, months=1, day=31), "2024-02-29"),
        ("2024-02-29", 1, Spacing(1, months=1, day=31), "2024-03-31"),
        ("2023-12-31", 2, Spacing(1, months=1, day=31), "2024-02-29"),
        ("2024-01-30", 1, Spacing(1, months=1, day=30), "2024-02-29"),
        ("2024-02-29", 1, Spacing(1, months=1, day=30), "2024-03-30"),
        ("2023-03-31", 1, Spacing(1, months=3, day=31), "2023-06-30"),
        ("2024-02-29", 1, Spacing(1, months=12, day=31), "2025-02-28"),
        ("2023-02-24T16", 1, Spacing(1, weekmask="1111100"), "2023-02-27T16"),
        ("2023-02-24", 6, Spacing(1, weekmask="1111100"), "2023-03-06"),
        ("2023-02-23", 1, Spacing(1, weekmask="1111001"), "2023-02-26"),
    ],
)  # fmt: skip
def test_a_time_of_the_calendar_is_later_by_rows(
    stamp: str, rows: int, spacing: Spacing, expected: str
) -> None:
    assert spacing.later(times(stamp), rows).tolist() == times(expected).tolist()


@pytest.mark.parametrize(
    ("frequency", "words"),
    [
        ("MS", "1 month"), ("ME", "1 month"), ("BMS", "1 month"), ("BME", "1 month"), ("QS", "3 months"),
        ("QE", "3 months"), ("YS", "1 year"), ("YE", "1 year"), ("2YS", "2 years"), ("B", "1 business day"),
    ],
)  # fmt: skip
def test_a_missing_row_of_the_calendar_is_one_inserted_row_or_a_holiday(frequency: str, words: str) -> None:
    stamps = pd.date_range("1990-01-01", periods=60, freq=frequency).to_numpy()
    whole = grid_of(from_columns({"date": stamps, "x": np.arange(60.0) ** 2}))
    assert (whole.source.tolist(), whole.warnings) == (list(range(60)), [])
    assert whole.spacing is not None
    assert whole.spacing.words() == words
    gap = grid_of(from_columns({"date": np.delete(stamps, 20), "x": np.arange(59.0) ** 2}))
    if frequency == "B":
        assert gap.source.tolist() == list(range(59))
        assert gap.warnings == ["1 business day has no row: it counts as a holiday"]
    else:
        assert gap.source.tolist() == [*range(20), -1, *range(20, 59)]
        assert gap.warnings[0].startswith("1 gap in time: 1 row is inserted as missing")
        assert gap.stamps is not None
        assert abs(gap.stamps[20] - stamps[20]) <= np.timedelta64(4, "D")


def test_a_long_gap_in_working_days_is_inserted_as_missing_rows() -> None:
    stamps = pd.bdate_range("2022-01-03", periods=100).to_numpy()
    grid = grid_of(from_columns({"date": np.delete(stamps, range(50, 65)), "x": np.arange(85.0) ** 2}))
    assert grid.source.tolist() == [*range(50), *[-1] * 15, *range(50, 85)]
    assert grid.stamps is not None
    assert grid.stamps.tolist() == stamps.astype("datetime64[us]").tolist()


def test_equal_distances_are_not_months() -> None:
    for days in (7, 28, 30):
        stamps = np.arange(0, 40 * days, days).astype("datetime64[D]")
        grid = grid_of(from_columns({"date": stamps, "x": np.arange(40.0) ** 2}))
        assert grid.spacing == Spacing(days * 24.0 * HOUR)


def test_a_file_for_a_trained_model_must_have_its_spacing() -> None:
    with pytest.raises(DataError, match="rows are 2 h apart, in training they are 1 h"):
        grid_of(hourly(np.arange(20) * 2), HOUR)
    with pytest.raises(DataError, match="rows are 30 min apart, in training they are 1 h"):
        grid_of(hourly(np.arange(20) / 2), HOUR)
    assert len(grid_of(hourly([0, 1, 5]), HOUR).source) == 6
    assert len(grid_of(hourly([7]), HOUR).source) == 1


def local_hours(zone: str, begin: str, rows: int) -> list[str]:
    stamps = pd.date_range(begin, periods=rows, freq="h", tz="UTC").tz_convert(zone)
    return [stamp.strftime("%Y-%m-%d %H:%M") for stamp in stamps]


@pytest.mark.parametrize(
    ("zone", "begin"), [("Europe/Berlin", "2022-03-24"), ("America/New_York", "2022-03-10")]
)
def test_a_missing_hour_of_summer_time_is_named_with_its_row(zone: str, begin: str) -> None:
    cells = local_hours(zone, begin, 120)
    grid = grid_of(from_columns({"time": cells, "x": np.arange(120.0) ** 2}))
    row = 1 + next(at for at in range(1, 120) if int(cells[at][11:13]) - int(cells[at - 1][11:13]) == 2)
    assert grid.warnings[1].startswith(f"an hour is missing before row {row} (")
    assert "write it in UTC or with its offset" in grid.warnings[1]
    plain = grid_of(hourly([*range(100), *range(101, 150)]))
    assert len(plain.warnings) == 1


def test_an_hour_that_occurs_twice_is_refused_with_its_row() -> None:
    cells = local_hours("Europe/Berlin", "2022-10-28", 96)
    row = 1 + next(at for at in range(1, 96) if cells[at] == cells[at - 1])
    with pytest.raises(DataError, match=f"row {row}: has the time of row {row - 1}.*with its offset"):
        grid_of(from_columns({"time": cells, "x": np.arange(96.0) ** 2}))


@pytest.mark.parametrize("stacked", [True, False])
@pytest.mark.parametrize("keys", [["north", "south", "west"], [11, 12, 13]])
def test_several_series_in_one_file_are_named(stacked: bool, keys: list[Any]) -> None:
    days = np.arange(40).astype("datetime64[D]")
    dates, stations = (
        (np.tile(days, 3), np.repeat(keys, 40)) if stacked else (np.repeat(days, 3), np.tile(keys, 40))
    )
    table = from_columns({"date": dates, "station": stations, "x": np.arange(120.0) ** 2})
    with pytest.raises(DataError, match=rf"column 'station' names 3 series \({keys[0]}, .*of one series"):
        grid_of(table)
