"""Windows in rows: durations and rows, the course's defaults, and errors with hints."""

from __future__ import annotations

from typing import Any

import pytest

from recurra.errors import ConfigError
from recurra.tasks.forecasting.series.reach import Reach, as_setting, find_reach
from recurra.tasks.forecasting.series.spacing import Spacing
from recurra.tasks.forecasting.settings import SeriesConfig

HOUR, DAY = 3_600.0, 86_400.0


@pytest.mark.parametrize(
    ("config", "spacing", "expected"),
    [
        ({}, HOUR, (240, 1, 24, 1, 24)),  # 10 days back, one point an hour, 24 hours ahead
        ({}, 600.0, (240, 6, 144, 1, 144)),
        ({}, DAY, (10, 1, 1, 1, 7)),
        ({}, 30.5 * DAY, (24, 1, 1, 1, 12)),
        ({}, None, (240, 1, 24, 1, None)),
        ({"lookback": "2d", "step": "3h", "delay": "1d", "horizon": 3}, HOUR, (16, 3, 24, 3, 24)),
        ({"lookback": 30, "step": 4, "delay": 5, "period": 9}, None, (7, 4, 5, 1, 9)),
    ],
)
def test_a_window_in_rows(config: dict[str, Any], spacing: float | None, expected: tuple[Any, ...]) -> None:
    assert find_reach(SeriesConfig(**config), None if spacing is None else Spacing(spacing)) == Reach(
        *expected
    )


def test_which_rows_a_window_reads_and_forecasts() -> None:
    reach = Reach(points=3, step=2, delay=5, horizon=2, period=None)
    assert (reach.behind.tolist(), reach.targets.tolist()) == ([-4, -2, 0], [5, 7])
    assert (reach.back, reach.ahead) == (4, 7)


@pytest.mark.parametrize(
    ("config", "spacing", "words"),
    [
        ({"lookback": "10d"}, None, "series.lookback is 10d, and the rows have no time"),
        ({"delay": "90min"}, HOUR, "series.delay is 90min, not a whole number of rows: they are 1 h apart"),
        ({"step": "30min"}, HOUR, "series.step is 30min, not a whole number of rows"),
        ({"lookback": 2, "step": 3}, HOUR, "series.lookback is 2 rows, less than a step of 3"),
    ],
)
def test_a_duration_that_is_not_a_whole_number_of_rows_is_refused(
    config: dict[str, Any], spacing: float | None, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        find_reach(SeriesConfig(**config), None if spacing is None else Spacing(spacing))


@pytest.mark.parametrize("bad", ["10x", "1 month", "h", "-3h", "0d", "", 0, -1])
def test_text_that_is_not_a_duration_is_refused_by_the_settings(bad: int | str) -> None:
    with pytest.raises(ValueError, match=r"not a duration|too few"):
        SeriesConfig(lookback=bad)


@pytest.mark.parametrize("rows", [1, 5, 24, 36, 240])
def test_rows_written_as_a_duration_are_read_as_the_same_rows(rows: int) -> None:
    for spacing in map(Spacing, (1.0, 600.0, HOUR, DAY)):
        assert find_reach(SeriesConfig(delay=as_setting(rows, spacing)), spacing).delay == rows


def test_windows_of_the_calendar_are_counted_in_its_rows() -> None:
    month, quarter = Spacing(31 * DAY, months=1, day=31), Spacing(91 * DAY, months=3, day=31)
    assert find_reach(SeriesConfig(lookback=12), month) == Reach(12, 1, 1, 1, 12)
    assert find_reach(SeriesConfig(lookback=8), quarter) == Reach(8, 1, 1, 1, 4)
    weekdays = Spacing(DAY, weekmask="1111100")
    assert find_reach(SeriesConfig(lookback="2w"), weekdays) == Reach(10, 1, 1, 1, 5)
    with pytest.raises(ConfigError, match="they are 1 business day apart"):
        find_reach(SeriesConfig(lookback="3d"), weekdays)
    for spacing in (month, quarter, weekdays):
        assert as_setting(7, spacing) == 7
