"""Tables from Python: the index of a data frame, periods, other columns of times."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from recurra.config import DataConfig
from recurra.errors import DataError
from recurra.tasks.forecasting.estimator import Forecaster
from recurra.tasks.forecasting.series.clock import find_clock
from recurra.tasks.forecasting.series.grid import even_grid
from recurra.tasks.forecasting.series.numbers import numbers_of
from recurra.tasks.forecasting.series.table import Table, from_columns
from recurra.tasks.forecasting.tables import table_of
from recurra.tasks.reporter import Reporter

ROWS = 120
HOURS = pd.date_range("2022-01-01", periods=ROWS, freq="h")
MONTHS = pd.period_range("1990-01", periods=ROWS, freq="M")
BERLIN = pd.date_range("2022-10-28", periods=ROWS, freq="h", tz="Europe/Berlin")
Y = np.random.default_rng(1).normal(size=ROWS)


def steps_of(table: Table) -> tuple[list[str], str]:
    """The columns with the time, and the distance of rows in words."""
    clock = find_clock(table, None, None)
    if clock is None:
        return [], ""
    spacing = even_grid(table, clock).spacing
    assert spacing is not None
    return list(clock.columns), spacing.words()


@pytest.mark.parametrize(
    ("index", "name", "expected"),
    [
        (HOURS, None, (["time"], "1 h")), (HOURS, "when", (["when"], "1 h")),
        (HOURS.astype(str), None, (["index"], "1 h")), (HOURS.astype(str), "date", (["date"], "1 h")),
        (BERLIN, None, (["time"], "1 h")), (MONTHS, None, (["time"], "1 month")),
        (MONTHS.asfreq("D", how="end").to_timestamp(), None, (["time"], "1 month")),
        (pd.period_range("1990Q1", periods=ROWS, freq="Q"), "ds", (["ds"], "3 months")),
        (pd.bdate_range("2020-01-01", periods=ROWS), None, (["time"], "1 business day")),
        ([date(2022, 1, 1) + timedelta(days=n) for n in range(ROWS)], None, (["time"], "1 d")),
        (np.arange(1900, 1900 + ROWS), "year", (["year"], "1 year")),
        (np.arange(ROWS) * 2 + 7, None, ([], "")), (np.arange(ROWS)[::-1], "id", ([], "")),
        (np.linspace(0, 1, ROWS), None, ([], "")),
    ],
)  # fmt: skip
def test_the_index_of_a_data_frame_is_its_time(index: Any, name: str | None, expected: Any) -> None:
    frame = pd.DataFrame({"y": Y}, index=pd.Index(index, name=name))
    for given in (frame, frame["y"]):
        table = table_of(given, DataConfig())
        assert steps_of(table) == expected
        assert table.names == [*expected[0], "y"]


def test_a_forecast_with_an_index_is_that_with_a_column() -> None:
    kept = np.arange(ROWS) != 50
    frame = pd.DataFrame({"y": Y}, index=HOURS)[kept]
    column = frame.rename_axis("time").reset_index()
    model = Forecaster(target="y", lookback="4h", delay=1, units=2, epochs=1)
    expected = model.fit(column)
    with pytest.warns(UserWarning, match="1 row is inserted as missing"):
        forecasts, filled = expected.predict(column), expected.filled(column)
    assert np.isnan(filled[:3]).all()
    assert filled[3:50].tolist() == [0.0] * 47
    assert filled[50:54].tolist() == [0.25, 0.25, 0.25, 0.0]
    with pytest.warns(UserWarning, match="1 row is inserted as missing"):
        np.testing.assert_array_equal(model.fit(frame).predict(frame), forecasts)


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"y": Y}, index=pd.MultiIndex.from_product([["a", "b"], HOURS[: ROWS // 2]])),
         r"X: the index has 2 levels .*X.reset_index\(\)"),
        (pd.DataFrame({"y": Y}, index=pd.to_timedelta(np.arange(ROWS), unit="h")), "the index has durations"),
        (pd.DataFrame({"y": Y, "time": Y}, index=HOURS.rename("time")), "named 'time', and there is one"),
    ],
)  # fmt: skip
def test_an_index_that_cannot_be_the_time_is_refused(frame: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        table_of(frame, DataConfig())


@pytest.mark.parametrize("months", [MONTHS, pd.Series(MONTHS), list(MONTHS), [*MONTHS[:-1], pd.NaT]])
def test_periods_are_the_times_at_which_they_begin(months: Any) -> None:
    table = from_columns({"t": months, "y": Y})
    if months[ROWS - 1] is not pd.NaT:
        assert steps_of(table) == (["t"], "1 month")
    assert str(table.columns["t"][0].as_py())[:10] == "1990-01-01"


def test_decimals_are_numbers() -> None:
    values = [Decimal("1.25"), None, Decimal("3.5")]
    for column in (values, pl.Series(values), np.array(values, object)):
        numbers = numbers_of(from_columns({"y": column}).columns["y"])
        np.testing.assert_array_equal(numbers.values, [1.25, np.nan, 3.5])
        assert (numbers.present, len(numbers.strange)) == (2, 0)


def test_a_column_that_is_no_column_is_refused() -> None:
    with pytest.raises(DataError, match=r"column 't' can't be used \('int' object is not iterable\)"):
        from_columns({"t": 5, "y": Y})  # type: ignore[dict-item]


def test_numbers_under_the_name_of_a_time_are_said_to_be_none() -> None:
    said: list[str] = []

    frame = pd.DataFrame({"date": 44562 + np.arange(ROWS) / 24 + 0.01 * (np.arange(ROWS) % 2), "y": Y})

    class Heard(Reporter):
        def warn(self, text: str) -> None:
            said.append(text)

    Forecaster(target="y", lookback=4, delay=1, units=2, epochs=1).fit(frame, reporter=Heard())
    assert any("column 'date' has the name of a time, but numbers that are none" in text for text in said)
