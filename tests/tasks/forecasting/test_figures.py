"""Metrics of forecasts compared with plain sums; coverage of intervals in repeated samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.signal import lfilter
from sklearn.linear_model import Ridge

from recurra.errors import DataError
from recurra.measure.bootstrap import ends
from recurra.tasks.forecasting.assess import ForecastAssessment
from recurra.tasks.forecasting.baseline import RidgeBaseline, persistence, seasonal
from recurra.tasks.forecasting.blocks import block_length, block_means
from recurra.tasks.forecasting.figures import PERSISTENCE, forecast_metrics
from recurra.tasks.forecasting.prepare import Part
from recurra.tasks.forecasting.report import bars, forecast_sections, median_stretch
from recurra.tasks.forecasting.series.layout import Matrix
from recurra.tasks.forecasting.series.reach import Reach


def part_of(inputs: NDArray[Any], target: NDArray[np.float64], rows: NDArray[np.int64]) -> Part:
    """The windows at ``rows`` of a series whose target is always known."""
    matrix = Matrix(inputs, target, target, None, np.arange(1, len(target) + 1), np.isnan(inputs), {})
    return Part("test", "series.csv", matrix, rows, 0, len(target))


def autoregressive(n: int, share: float, seed: int) -> NDArray[np.float64]:
    noise = np.random.default_rng(seed).standard_normal(n + 200)
    return np.asarray(lfilter([1.0], [1.0, -share], noise)[200:])


def test_metrics_equal_plain_sums() -> None:
    random = np.random.default_rng(2)
    truth = random.normal(10, 3, (300, 2))
    net, naive = truth + random.normal(0.2, 1, truth.shape), truth + random.normal(0, 2, truth.shape)
    metrics = forecast_metrics(truth, {"the GRU": net, PERSISTENCE: naive}, target="T", unit="degC")
    one = metrics.network
    assert one.mae == pytest.approx(np.abs(net - truth).mean())
    assert one.rmse == pytest.approx(np.sqrt(((net - truth) ** 2).mean()))
    assert one.bias == pytest.approx((net - truth).mean())
    assert one.skill == pytest.approx(1 - np.abs(net - truth).mean() / np.abs(naive - truth).mean())
    assert one.mae_ahead == pytest.approx(np.abs(net - truth).mean(axis=0))
    assert metrics.figures[1].skill is None
    assert one.mae_low < one.mae < one.mae_high
    assert one.rmse_low < one.rmse < one.rmse_high
    (difference,) = metrics.differences
    assert difference.shown
    assert difference.low < difference.difference < difference.high < 0
    assert difference.sentence.startswith("the GRU's error is ")
    assert "degC below that of persistence" in difference.sentence


def test_equal_forecasters_have_no_difference() -> None:
    random = np.random.default_rng(3)
    truth = random.normal(size=(500, 1))
    one, other = (truth + random.normal(size=truth.shape) for _ in range(2))
    (difference,) = forecast_metrics(truth, {"a": one, "b": other}, target="T").differences
    assert not difference.shown
    assert difference.sentence.startswith("no difference shown between a and b: ")


@pytest.mark.parametrize("share", [0.0, 0.9])
def test_intervals_have_the_width_and_the_coverage_of_the_mean(share: float) -> None:
    """The 95% interval of the mean of a series of mean 0, autocorrelated or not.

    It excludes 0 in about 5 of 100 series, and is as wide as the asymptotic interval of the mean of an
    autoregressive series, 2 * 1.96 / ((1 - share) * sqrt(n)). Draws of single values instead of blocks give
    a quarter of that width at a share of 0.9, and exclude 0 in 66 series.
    """
    n, missed, widths = 1_000, 0, []
    for seed in range(100):
        values = autoregressive(n, share, seed)
        low, high = ends(block_means(values[:, None], block_length(values), seed)[:, 0])
        missed += not low <= 0 <= high
        widths.append(high - low)
    assert 2 <= missed <= 12
    expected = 2 * 1.96 / ((1 - share) * np.sqrt(n))
    assert 0.8 * expected < np.mean(widths) < 1.05 * expected


def test_the_block_length_grows_with_autocorrelation() -> None:
    lengths = [block_length(autoregressive(4_000, share, 1)) for share in (0.0, 0.6, 0.95)]
    assert lengths == sorted(lengths)
    assert lengths[0] <= 3
    assert lengths[-1] > 30
    assert block_length(np.ones(100), minimum=7) == 7
    assert block_length(np.arange(12.0), minimum=50) == 2


def test_shapes_and_numbers_are_checked() -> None:
    truth = np.zeros((3, 1))
    with pytest.raises(DataError, match="no window"):
        forecast_metrics(truth[:0], {"a": truth[:0]}, target="T")
    for wrong in (np.zeros((2, 1)), np.full((3, 1), np.nan)):
        with pytest.raises(ValueError):
            forecast_metrics(truth, {"a": wrong}, target="T")


def test_persistence_and_seasonal_forecasts() -> None:
    last = np.arange(100.0)
    part = part_of(last[:, None], last, np.array([40, 50]))
    reach = Reach(points=1, step=12, delay=1, horizon=3, period=None)
    assert persistence(part, reach).tolist() == [[40.0] * 3, [50.0] * 3]
    assert seasonal(part, reach, 24).tolist() == [[17.0, 29.0, 17.0], [27.0, 39.0, 27.0]]
    reach = Reach(points=1, step=1, delay=24, horizon=1, period=None)
    assert seasonal(part, reach, 24).tolist() == [[40.0], [50.0]]


def test_ridge_equals_scikit_learn_on_the_flattened_window() -> None:
    random = np.random.default_rng(4)
    x = random.standard_normal((400, 2)).astype(np.float32)
    y = np.convolve(x[:, 0], [0.0, 0.0, 0.5, 0.3], "full")[:400].astype(np.float64) + 5
    training, held_out = part_of(x, y, np.arange(3, 250)), part_of(x, y, np.arange(260, 390))
    ridge = RidgeBaseline.fit(training, held_out, Reach(points=4, step=1, delay=1, horizon=1, period=None))
    flat = np.stack([np.r_[x[t - 3 : t + 1].ravel(), x[t - 3 : t + 1].mean(axis=0)] for t in range(3, 399)])
    plain = Ridge(alpha=ridge.model.alpha).fit(flat[: 250 - 3], (y[1:] - y[:-1])[3:250])
    expected = plain.predict(flat[260 - 3 : 390 - 3]) + y[260:390]
    np.testing.assert_allclose(ridge.predict(held_out)[:, 0], expected, rtol=1e-6)
    assert np.abs(ridge.predict(held_out)[:, 0] - y[261:391]).mean() < 0.2 * y.std()


def test_the_plotted_range_is_the_middle_one() -> None:
    errors = np.repeat([5.0, 1.0, 3.0, 9.0, 2.0], 10)
    assert median_stretch(errors, 10) == slice(20, 30)
    assert median_stretch(errors[:7], 10) == slice(0, 7)


@pytest.mark.parametrize("timed", [True, False])
def test_the_report_shows_every_forecaster_and_the_truth(timed: bool) -> None:
    random = np.random.default_rng(5)
    truth = random.normal(10, 3, (400, 2))
    forecasts = {"the GRU": truth + 0.5, PERSISTENCE: truth + random.normal(size=truth.shape)}
    hours = np.datetime64("2020-01-01", "us") + np.arange(402).astype("timedelta64[h]")
    stamps = np.stack([hours[1:401], hours[2:402]], axis=1) if timed else None
    metrics = forecast_metrics(truth, forecasts, target="T (degC)", unit="degC")
    assert [bar.kind for bar in bars(metrics)] == ["model", "baseline"]
    assessment = ForecastAssessment("test", metrics, truth, forecasts, stamps, "no season", [])
    sections = forecast_sections(assessment, "1 h")
    assert [section.anchor for section in sections] == ["figures", "truth", "when"]
    assert sections[0].paragraphs[1] == "No season."
    drawn = [chart.caption for section in sections for chart in section.charts]
    assert len(drawn) == (3 if timed else 2)  # forecast, (by the hour), by distance
    assert all(str(chart.svg).startswith("<svg") for section in sections for chart in section.charts)
    assert [row[0] for row in sections[0].tables[0].rows] == ["GRU", PERSISTENCE]
