"""The difference of two models on the same rows: interval, test and sentence."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix
from sklearn.metrics import f1_score

from recurra.errors import DataError
from recurra.measure.bootstrap import resampled_groups
from recurra.measure.comparison import compare_accuracy, compare_macro_f1, compare_predictions


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


@pytest.mark.parametrize("several", [False, True])
def test_the_interval_of_macro_f1_is_that_of_a_plain_bootstrap(several: bool) -> None:
    rng = np.random.default_rng(3)
    rows, classes = 300, 4
    shape = (rows, classes) if several else (rows,)
    truth = rng.integers(0, 2 if several else classes, shape)
    first, second = (
        np.where(rng.random(shape) < share, truth, rng.integers(0, 2 if several else classes, shape))
        for share in (0.9, 0.7)
    )
    found = compare_macro_f1(truth, first, second, classes)

    def difference(chosen: np.ndarray) -> float:
        one, other = (
            f1_score(truth[chosen], p[chosen], average="macro", zero_division=0) for p in (first, second)
        )
        return float(one - other)

    assert found.difference == pytest.approx(difference(np.arange(rows)))
    plain = [difference(rng.integers(0, rows, rows)) for _ in range(150)]
    assert (found.low, found.high) == pytest.approx(np.quantile(plain, [0.025, 0.975]), abs=0.025)
    assert found.shown


def test_groups_of_many_rows_have_the_variance_of_the_rows() -> None:
    column = np.arange(20_000) % 7 == 0
    sums = np.concatenate(list(resampled_groups(csr_matrix(column[:, None], dtype=float))))
    assert sums.shape == (2000, 1)
    assert sums.mean() == pytest.approx(column.sum(), rel=0.005)
    assert sums.std() == pytest.approx(np.sqrt(20_000 / 7 * (1 - 1 / 7)), rel=0.08)


def test_macro_f1_is_said_where_it_disagrees() -> None:
    # 950 rows of a large class and 50 of a small one, which the second model alone finds.
    truth = (np.arange(1000) >= 950).astype(int)
    never = np.zeros(1000, int)
    finds = np.where(np.arange(1000) < 55, 1, truth)
    found = compare_predictions(truth, never, finds, 2, ("a", "b"))
    assert (found.shown, found.verdict) == (False, "bad")
    assert "; by macro-F1, which counts every class alike, a is behind b by 0." in found.sentence
    clearer = np.where(np.arange(1000) < 100, 1, truth)
    mixed = compare_predictions(truth, never, clearer, 2, ("a", "b"))
    assert (mixed.better, mixed.shown, mixed.verdict) == (True, True, "")
    assert mixed.sentence.startswith("a is ahead of b by 5.0 points")
    assert "a is behind b by 0." in mixed.sentence
    agrees = compare_predictions(truth, truth, never, 2, ("a", "b"))
    assert (agrees.verdict, "macro" in agrees.sentence) == ("good", False)
    same = compare_predictions(truth, never, never, 2, ("a", "b"))
    assert (same.verdict, "macro" in same.sentence) == ("", False)
