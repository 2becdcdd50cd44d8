"""Times are detected and read as Python's datetime reads them."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.errors import ConfigError, DataError
from recurra.tasks.forecasting.series.clock import find_clock, read_stamps
from recurra.tasks.forecasting.series.table import from_columns

BEGIN = datetime(2009, 1, 28, 22, 50)
TIMES = [BEGIN + timedelta(minutes=10 * i) for i in range(700)]


def stamps_of(columns: dict[str, Any], **how: Any) -> tuple[list[datetime], str]:
    table = from_columns({"value": np.zeros(len(next(iter(columns.values())))), **columns})
    clock = find_clock(table, how.get("time"), how.get("written"))
    assert clock is not None
    return [stamp.item() for stamp in read_stamps(table, clock)], str(clock)


@pytest.mark.parametrize(
    "written",
    [
        "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%SZ", "%d.%m.%Y %H:%M:%S",
        "%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M", "%m/%d/%Y %H:%M:%S", "%Y/%m/%d %H:%M", "%Y%m%d %H%M",
    ],
)  # fmt: skip
def test_every_format_of_a_time_is_detected(written: str) -> None:
    result, _ = stamps_of({"when": [time.strftime(written) for time in TIMES]})
    assert result == TIMES


def test_parts_of_a_date_make_a_time() -> None:
    columns = {
        name: np.array([getattr(time, name) for time in TIMES])
        for name in ("hour", "day", "month", "year", "minute")
    }
    assert stamps_of(columns) == (TIMES, "year + month + day + hour + minute")
    named = {"J": columns["year"], "M": columns["month"], "T": columns["day"]}
    days, _ = stamps_of(named, time=["J", "M", "T"])
    assert days == [datetime(t.year, t.month, t.day) for t in TIMES]


def test_a_day_and_a_time_of_day_in_two_columns_are_joined() -> None:
    columns = {"Date": [f"{t:%d/%m/%Y}" for t in TIMES], "Time": [f"{t:%H:%M:%S}" for t in TIMES]}
    result, name = stamps_of(columns)
    assert result == TIMES
    assert name == "Date + Time (%d/%m/%Y %H:%M:%S)"


@pytest.mark.parametrize("scale", [1, 1000, 1_000_000])
def test_seconds_since_1970_are_a_time_in_a_column_named_so(scale: int) -> None:
    seconds = np.array([(time - datetime(1970, 1, 1)).total_seconds() for time in TIMES])
    result, _ = stamps_of({"timestamp": seconds * scale})
    assert result == TIMES
    assert find_clock(from_columns({"load": seconds * scale}), None, None) is None


def test_python_times_are_times() -> None:
    assert stamps_of({"t": TIMES})[0] == TIMES
    assert stamps_of({"t": np.array(TIMES, "datetime64[s]")})[0] == TIMES


@given(st.lists(st.text(max_size=12), min_size=1, max_size=5))
def test_any_text_is_read_as_a_time_or_missing(cells: list[str]) -> None:
    table = from_columns({"date": cells})
    with suppress(DataError):
        clock = find_clock(table, None, None)
        if clock is not None:
            assert len(read_stamps(table, clock)) == len(cells)


def test_the_order_of_day_and_month_is_detected_or_asked_for() -> None:
    ordered = [f"{BEGIN + timedelta(days=i):%d/%m/%Y}" for i in range(11)]  # 28/01 to 07/02
    assert stamps_of({"d": ordered})[1] == "d (%d/%m/%Y)"
    with pytest.raises(DataError, match=r"may be written as %d/%m/%Y or %m/%d/%Y.*series.time_format"):
        stamps_of({"d": ["01/02/2020", "02/03/2020"]})
    assert stamps_of({"d": ["01/02/2020", "02/02/2020"]}, written="%m/%d/%Y")[0][0].month == 1


@pytest.mark.parametrize("bad", ["31.02.2009", "2009-13-01", "soon", "", "12.12.09"])
def test_a_cell_that_is_not_a_time_is_reported_with_its_row(bad: str) -> None:
    days = [f"{BEGIN + timedelta(days=i):%d.%m.%Y}" for i in range(40)]
    with pytest.raises(DataError, match="row 31: ") as refused:
        stamps_of({"day": [*days[:30], bad, *days[31:]]})
    assert repr(bad)[1:-1] in str(refused.value)


def test_the_30th_of_february_in_parts_is_refused() -> None:
    with pytest.raises(DataError, match=r"row 2: '2010 2 30' in year \+ month \+ day is not a time"):
        stamps_of({"year": [2010, 2010], "month": [2, 2], "day": [28, 30]})


def test_named_columns_must_exist_and_have_times() -> None:
    table = from_columns({"a": [1.0, 2.0], "b": ["x", "y"]})
    with pytest.raises(ConfigError, match=r"series.time names 'c'.*the columns are a, b"):
        find_clock(table, "c", None)
    with pytest.raises(DataError, match="'b' has no times"):
        find_clock(table, "b", None)
    assert find_clock(table, None, None) is None
