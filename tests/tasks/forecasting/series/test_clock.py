"""Times are detected and read as Python's datetime reads them."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.errors import ConfigError, DataError
from recurra.tasks.forecasting.series import clock, spelling
from recurra.tasks.forecasting.series.clock import Clock, find_clock, read_stamps
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
        "%m/%d/%Y %I:%M:%S %p", "%Y-%m-%d %I:%M %p", "%d.%m.%y %H:%M", "%m/%d/%y %I:%M %p", "%b %d, %Y %H:%M",
        "%B %d, %Y %I:%M%p", "%d-%b-%Y %H:%M:%S", "%d-%b-%y %H:%M", "%d %B %Y %H:%M", "%a, %d %b %Y %H:%M:%S",
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


def test_columns_that_are_no_times_are_read_by_no_format(monkeypatch: pytest.MonkeyPatch) -> None:
    """6 kB of 3,000 empty columns took 280 s: each was read in 213 formats."""
    tried: list[str] = []
    read = spelling.read_format

    def counted(cells: pa.ChunkedArray, written: str) -> spelling.Stamps:
        tried.append(written)
        return read(cells, written)

    monkeypatch.setattr(clock, "read_format", counted)
    cells = ["", "x", "12-x", "a b, c", "5", "1.5", "1,5", "-", "N/A", "10:30", "2020-x", "3kg"]
    table = from_columns({f"{cell} {n}": [cell, cell] for n in range(100) for cell in cells})
    assert find_clock(table, None, None) is None
    assert not tried
    days = [f"{BEGIN + timedelta(days=i):%d.%m.%Y}" for i in range(40)]
    found = find_clock(from_columns({"x": ["word"] * 40, "day": days}), None, None)
    assert found == Clock(("day",), "%d.%m.%Y")
    assert 0 < len(tried) < 20
    tried.clear()
    with pytest.raises(DataError, match="can't be read as a time"):
        find_clock(from_columns({"date": ["soon"] * 40}), None, None)
    assert not tried


@pytest.mark.parametrize("written", spelling.FORMATS)
def test_every_format_is_tried_for_cells_written_in_it(written: str) -> None:
    time = datetime(2021, 11, 25, 13, 45, 56)
    assert written in spelling.formats_of({spelling.shape_of(time.strftime(written))})


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


@pytest.mark.parametrize("written", ["%b %Y", "%Y-%m", "%m/%Y", "%b-%y"])
def test_months_are_read(written: str) -> None:
    months = [datetime(2001 + at // 12, at % 12 + 1, 1) for at in range(40)]
    cells = [month.strftime(written) for month in months]
    assert stamps_of({"date": cells}) == (months, f"date ({written})")


def test_years_quarters_and_years_with_months_are_read() -> None:
    years = np.arange(1950, 2020)
    assert stamps_of({"year": years}) == ([datetime(year, 1, 1) for year in years.tolist()], "year")
    assert stamps_of({"J": years}, time="J")[0][-1] == datetime(2019, 1, 1)
    both = stamps_of({"month": np.tile(np.arange(1, 13), 3), "year": np.repeat([2001, 2002, 2003], 12)})
    assert both[0][13:15] == [datetime(2002, 2, 1), datetime(2002, 3, 1)]
    quarters = [f"2001{mark}{quarter}" for mark in ("Q", "-q") for quarter in (1, 2, 3, 4)]
    assert [stamp.month for stamp in stamps_of({"date": quarters})[0]] == [1, 4, 7, 10] * 2
    repeated = from_columns({"value": [1.0, 2.0, 3.0], "year": [2001, 2001, 2002]})
    assert find_clock(repeated, None, None) is None  # a year of several rows is not their time


@pytest.mark.parametrize("name", ["date", "Time", "ds", "timestamp"])
@pytest.mark.parametrize("cells", [["soon", "later"], ["2020-01-01", "the day after"], ["12:30", "12:40"]])
def test_a_column_with_the_name_of_a_time_is_not_taken_for_words(name: str, cells: list[str]) -> None:
    table = from_columns({"value": np.zeros(40), name: cells * 20})
    with pytest.raises(DataError, match=f"in column '{name}' can't be read as a time; .*series.time_format"):
        find_clock(table, None, None)
    named = from_columns({"when": [f"2020-01-{day:02}" for day in range(1, 21)] * 2, name: cells * 20})
    clock = find_clock(named, None, None)
    assert clock is not None
    assert clock.columns[0] == "when"


def test_a_format_that_no_column_has_is_refused() -> None:
    table = from_columns({"day": ["2020-01-01", "2020-01-02"], "value": [1.0, 2.0]})
    with pytest.raises(DataError, match=r"no column has times of the format '%d.%m.%Y'"):
        find_clock(table, None, "%d.%m.%Y")
    with pytest.raises(DataError, match="has no times that can be read"):
        find_clock(table, "day", "")


def test_the_order_of_rows_does_not_tell_day_and_month_apart() -> None:
    twelve = [f"{day:02}-{month:02}-2020" for month in range(1, 13) for day in range(1, 13)]
    with pytest.raises(DataError, match=r"day and month can't be told apart.*series.time_format='%d-%m-%Y'"):
        stamps_of({"d": twelve})


def test_times_with_an_offset_have_no_hour_twice_and_are_not_mixed_with_local_ones() -> None:
    cells = ["2022-10-30T02:00:00+02:00", "2022-10-30T02:00:00+01:00", "2022-10-30 03:00 +0100"]
    assert [stamp.hour for stamp in stamps_of({"t": cells})[0]] == [0, 1, 2]
    with pytest.raises(DataError, match="row 31: '2022-10-31 00:00' in t is not a time"):
        stamps_of({"t": [*cells * 10, "2022-10-31 00:00", *cells * 10]})
