"""The difference of two models on the same rows: interval, test and sentence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.errors import DataError
from recurra.measure.comparison import compare_accuracy


def paired(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    a = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
    b = np.repeat([True, False, True, False], [both, only_a, only_b, neither])
    return a, b


def test_interval_against_a_published_one() -> None:
    # Airway data in Fagerland, Lydersen and Laake, Statistics in Medicine 33 (2014) 2850: 1, 1, 7, 12;
    # difference -0.286, Newcombe's interval -0.507 to -0.026.
    found = compare_accuracy(*paired(1, 1, 7, 12))
    assert found.difference == pytest.approx(-0.286, abs=5e-4)
    assert (found.low, found.high) == pytest.approx((-0.507, -0.026), abs=5e-4)


def test_interval_agrees_with_a_paired_bootstrap() -> None:
    a, b = paired(2050, 180, 130, 140)
    found = compare_accuracy(a, b)
    draws = np.random.default_rng(0).multinomial(2500, np.array([2050, 180, 130, 140]) / 2500, 20_000)
    low, high = np.quantile((draws[:, 1] - draws[:, 2]) / 2500, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((low, high), abs=8e-4)


def test_mcnemar_by_hand() -> None:
    # 1 against 5: twice the chance of at most 1 head in 6 throws.
    found = compare_accuracy(*paired(10, 1, 5, 4))
    assert found.p_value == pytest.approx(2 * (1 + 6) / 64)
    assert (found.only_first, found.only_second) == (1, 5)


def test_sentences() -> None:
    ahead = compare_accuracy(*paired(800, 100, 40, 60), "the LSTM", "the baseline")
    assert ahead.sentence.startswith("the LSTM is ahead of the baseline by 6.0 points (")
    behind = compare_accuracy(*paired(800, 40, 100, 60), "the LSTM", "the baseline")
    assert behind.sentence.startswith("the LSTM is behind the baseline by 6.0 points (")
    even = compare_accuracy(*paired(80, 10, 9, 1), "the LSTM", "the baseline")
    assert even.sentence.startswith("no difference shown between the LSTM and the baseline: +1.0 points (-")
    assert not even.shown


@pytest.mark.parametrize("counts", [(5, 0, 0, 0), (0, 0, 0, 5), (0, 1, 0, 0), (0, 5, 0, 0), (3, 0, 0, 3)])
def test_degenerate_pairs(counts: tuple[int, int, int, int]) -> None:
    found = compare_accuracy(*paired(*counts))
    assert -1 <= found.low <= found.difference <= found.high <= 1
    if not counts[1]:
        assert found.p_value == 1
        assert not found.shown


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="different rows"):
        compare_accuracy(np.ones(3, bool), np.ones(4, bool))
    with pytest.raises(DataError):
        compare_accuracy(np.zeros(0, bool), np.zeros(0, bool))


@settings(max_examples=50, deadline=None)
@given(st.tuples(*[st.integers(0, 60)] * 4).filter(any))
def test_swapping_the_models_turns_the_interval_round(counts: tuple[int, int, int, int]) -> None:
    a, b = paired(*counts)
    one, other = compare_accuracy(a, b), compare_accuracy(b, a)
    assert one.difference == pytest.approx(-other.difference)
    assert one.low == pytest.approx(-other.high, abs=1e-9)
    assert one.p_value == pytest.approx(other.p_value)
    assert one.low <= one.difference + 1e-12
    assert one.difference <= one.high + 1e-12
