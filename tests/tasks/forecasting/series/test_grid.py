"""The even grid: gaps are filled with missing rows, copies left out, rows out of order refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.errors import DataError
from recurra.tasks.forecasting.series.clock import find_clock
from recurra.tasks.forecasting.series.grid import Grid, even_grid, later
from recurra.tasks.forecasting.series.table import Table, from_columns

HOUR = 3_600


def hourly(hours: list[float] | np.ndarray[Any, Any], **columns: Any) -> Table:
    stamps = np.datetime64("2020-01-01", "s") + np.round(np.asarray(hours) * HOUR).astype("timedelta64[s]")
    return from_columns({"time": stamps, "x": np.asarray(hours, float) * 10, **columns})


def grid_of(table: Table, spacing: float | None = None) -> Grid:
    clock = find_clock(table, None, None)
    assert clock is not None
    return even_grid(table, clock, spacing)


@given(st.lists(st.integers(0, 60), min_size=30, max_size=60, unique=True))
def test_every_row_is_at_its_hour_and_others_are_missing(hours: list[int]) -> None:
    hours = sorted({*hours, *range(100, 200)})
    grid = grid_of(hourly(hours))
    assert grid.spacing == HOUR
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


@pytest.mark.parametrize(
    ("stamp", "rows", "spacing", "expected"),
    [
        ("2024-01-31", 1, 30.5, "2024-02-29"),
        ("2024-02-29", 1, 30.5, "2024-03-31"),
        ("2023-11-30T12", 3, 30.5, "2024-02-29T12"),
        ("2024-01-15", 2, 30.5, "2024-03-15"),
        ("2024-03-31", 1, 91, "2024-06-30"),
        ("2024-02-29", 1, 365.25, "2025-02-28"),
    ],
)
def test_a_month_after_its_last_day_is_the_last_day(
    stamp: str, rows: int, spacing: float, expected: str
) -> None:
    stamps = later(np.array([stamp], "datetime64[us]"), rows, spacing * 24 * HOUR)
    assert stamps.tolist() == [np.datetime64(expected, "us").item()]


def test_a_file_for_a_trained_model_must_have_its_spacing() -> None:
    with pytest.raises(DataError, match="rows are 2 h apart, in training they are 1 h"):
        grid_of(hourly(np.arange(20) * 2), HOUR)
    with pytest.raises(DataError, match="rows are 30 min apart, in training they are 1 h"):
        grid_of(hourly(np.arange(20) / 2), HOUR)
    assert len(grid_of(hourly([0, 1, 5]), HOUR).source) == 6
    assert len(grid_of(hourly([7]), HOUR).source) == 1
