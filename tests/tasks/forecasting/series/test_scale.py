"""Columns of any size: standardized without loss, or refused by name."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from recurra.errors import DataError
from recurra.tasks.forecasting.estimator import Forecaster
from recurra.tasks.forecasting.series.scale import LARGEST, Scale, mean_and_std

ROWS = 60


def forecaster(**more: Any) -> Forecaster:
    return Forecaster(target="y", lookback=3, delay=1, units=2, epochs=1, batch_size=16, **more)


def column(power: int, seed: int) -> np.ndarray[Any, Any]:
    with np.errstate(over="ignore"):
        values = np.random.default_rng(seed).normal(size=ROWS) * 10.0 ** min(power, 307)
    return np.clip(values, -1.7e308, 1.7e308)


@settings(max_examples=20)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=ROWS, max_size=ROWS)
    | st.builds(column, st.integers(-330, 310), st.integers(0, 9)),
    st.sampled_from(["mae", "mse"]),
)
@example(column(307, 1), "mae")
@example(column(-310, 1), "mae")
@example([0.0] * 50 + [1e300] * 10, "mae")
@example([0.0, 1.0] * 25 + [1e60] * 10, "mse")
@example([5e-324, 0.0] * 30, "mse")
def test_forecasts_of_finite_numbers_are_finite_or_refused_by_column(values: Any, loss: str) -> None:
    table = {"y": np.asarray(values, np.float64), "x": np.arange(ROWS) % 7}
    refused = ""
    try:
        found = forecaster(loss=loss).fit(table).predict(table)
    except DataError as error:
        refused = str(error)
    if refused:
        assert "'y'" in refused
        assert len(refused.splitlines()) == 1
    else:
        assert np.isfinite(found[2:]).all()


def test_an_input_column_of_such_numbers_is_named_with_its_row() -> None:
    y, x = np.sin(np.arange(ROWS)), np.cos(np.arange(ROWS))
    with pytest.raises(
        DataError, match=r"the table, row \d+: the values of column 'x' are too large: .* divide the"
    ):
        forecaster().fit({"y": y, "x": x * 1e200})
    with pytest.raises(DataError, match=r"the values of column 'x' are too small: .* multiply the column"):
        forecaster().fit({"y": y, "x": x * 1e-200})
    model = forecaster().fit({"y": y, "x": x})
    x[40] = 1e30
    with pytest.raises(
        DataError, match=r"the table, row 41: 1e\+30 in column 'x' is too far from its values, -"
    ):
        model.predict({"y": y, "x": x})


@given(
    st.lists(st.floats(-1, 1), min_size=2, max_size=20).filter(lambda v: min(v) < max(v)),
    st.sampled_from([1e-290, 1e-150, 1.0, 1e99]),
)
def test_the_spread_is_that_of_exact_arithmetic(values: list[float], size: float) -> None:
    scaled = np.array(values) * size
    if scaled.min() == scaled.max():
        return
    mean, std = mean_and_std(scaled)
    assert mean == pytest.approx(math.fsum(scaled.tolist()) / len(values), abs=1e-15 * size)
    if np.ptp(scaled) > 1e-9 * np.abs(scaled).max():
        by_numpy = (scaled / np.abs(scaled).max()).std() * np.abs(scaled).max()
        assert std == pytest.approx(by_numpy, rel=1e-5)


@pytest.mark.parametrize(
    "changed",
    [{"std": 0.0}, {"std": -1.0}, {"std": math.nan}, {"std": math.inf}, {"mean": 1e308}, {"low": math.nan},
     {"high": 2 * LARGEST}],
)  # fmt: skip
def test_a_scale_that_gives_no_numbers_is_refused(changed: dict[str, float]) -> None:
    values: dict[str, Any] = {"name": "y", "mean": 0.0, "std": 1.0, "low": -1.0, "high": 1.0, "missing": []}
    with pytest.raises(ValidationError):
        Scale(**{**values, **changed})
