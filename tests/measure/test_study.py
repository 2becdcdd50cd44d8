"""Intervals of a study cover as often as they say, whenever it stops, and verdicts are rarely wrong."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from scipy.special import expit

from recurra.measure.study import ERROR, FIRST_LOOK, Mean, crossed_mean, holm, judge, looks, ratio_values

Rng = np.random.Generator


def crossed(
    rng: Rng, seeds: int, rows: int, by_seed: float, by_row: float, rest: float, gain: float = 0.0
) -> NDArray[np.float64]:
    """Gains drawn from the model that the interval is made for, whose true mean is ``gain``."""
    noise = rng.normal(0, rest, (seeds, rows))
    return gain + rng.normal(0, by_seed, (seeds, 1)) + rng.normal(0, by_row, (1, rows)) + noise


def answers(
    rng: Rng, seeds: int, rows: int, strengths: list[float], by_seed: float
) -> list[NDArray[np.float64]]:
    """Right and wrong answers of several arms: easy and hard rows, good seeds and bad, tastes of arms."""
    hard = 1.5 + rng.normal(0, 1.5, rows)
    chances = [
        expit(hard + strength + rng.normal(0, 0.5, rows) + rng.normal(0, by_seed, (seeds, 1)))
        for strength in strengths
    ]
    return [(rng.random((seeds, rows)) < chance).astype(float) for chance in chances]


@pytest.mark.parametrize("seeds", [2, 3, 5, 10])
@pytest.mark.parametrize(
    ("by_seed", "by_row", "rest"),
    [(0, 0.3, 0.3), (0.005, 0.3, 0.3), (0.02, 0.3, 0.3), (0.05, 0.1, 0.3), (0.02, 0.1, 0.3)],
)
def test_intervals_cover(seeds: int, by_seed: float, by_row: float, rest: float) -> None:
    rng = np.random.default_rng(seeds)
    studies = 400
    ends = [
        crossed_mean(crossed(rng, seeds, 150, by_seed, by_row, rest, 0.1)).interval() for _ in range(studies)
    ]
    covered = np.mean([low <= 0.1 <= high for low, high in ends])
    # Two standard errors of 400 studies are 2.2 points. Where seeds make no difference, few of them cover
    # more than they say: that they make none can't be known from them.
    assert covered >= 1 - ERROR - 0.025
    if seeds >= 5:
        assert np.mean([high - low for low, high in ends]) < 2 * 2.8 * np.sqrt(
            by_seed**2 / seeds + by_row**2 / 150 + rest**2 / (150 * seeds)
        )


def test_rows_alone_or_seeds_alone_would_not_cover() -> None:
    rng = np.random.default_rng(0)
    rows_alone = seeds_alone = both = 0
    for _ in range(300):
        gains = crossed(rng, 5, 200, 0.06, 0.4, 0.3)
        rows_alone += abs(gains.mean()) <= 1.96 * stats.sem(gains.mean(axis=0))
        seeds_alone += abs(gains.mean()) <= stats.t.ppf(0.975, 4) * stats.sem(gains.mean(axis=1))
        low, high = crossed_mean(gains).interval()
        both += low <= 0 <= high
    assert rows_alone < 0.92 * 300
    assert seeds_alone < 0.92 * 300
    assert both > 0.93 * 300


@pytest.mark.parametrize("by_seed", [0.0, 0.3])
def test_false_verdicts_are_rare_although_the_study_looks_again_and_again(by_seed: float) -> None:
    rng = np.random.default_rng(3)
    false = covered = 0
    studies, arms = 150, 4
    for _ in range(studies):
        first, *others = answers(rng, 5, 200, [0.0] * (arms + 1), by_seed)
        found: dict[str, tuple[Mean, float]] = {}
        stopped: set[str] = set()
        for look, share in looks(5).items():
            for number, right in enumerate(others):
                if str(number) not in stopped:
                    found[str(number)] = crossed_mean((right - first)[:look]), share
            judged = judge(found, enough=0.005)
            stopped |= {name for name, one in judged.items() if one.clear}
        false += any(one.kind in ("better", "worse") for one in judged.values())
        covered += sum(one.low <= 0 <= one.high for one in judged.values())
    assert false <= 0.05 * studies + 2 * np.sqrt(0.05 * 0.95 * studies)
    assert covered >= 0.93 * studies * arms


def test_a_true_difference_is_found_and_stops_early() -> None:
    rng = np.random.default_rng(4)
    right = kinds = 0
    for _ in range(40):
        first, better = answers(rng, 3, 1500, [0.0, 0.8], 0.05)
        share = looks(5)[FIRST_LOOK]
        judged = judge({"b": (crossed_mean(better - first), share)}, enough=0.005)["b"]
        right += judged.clear
        kinds += judged.kind == "better"
    assert right == kinds >= 30


def test_a_figure_a_seed_is_students_paired_test() -> None:
    gains = np.array([[0.013], [0.02], [-0.004], [0.011]])
    found = crossed_mean(gains)
    expected = stats.ttest_1samp(gains[:, 0], 0)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9)
    interval = expected.confidence_interval()
    assert found.interval() == pytest.approx((interval.low, interval.high), rel=1e-9)


def test_the_error_is_that_of_the_sums_of_squares() -> None:
    rng = np.random.default_rng(5)
    S, n = 4, 30
    d = crossed(rng, S, n, 0.5, 0.3, 0.2)
    seeds = n * sum((d[s].mean() - d.mean()) ** 2 for s in range(S)) / (S - 1)
    rows = S * sum((d[:, i].mean() - d.mean()) ** 2 for i in range(n)) / (n - 1)
    total = sum((d[s, i] - d.mean()) ** 2 for s in range(S) for i in range(n))
    rest = (total - (S - 1) * seeds - (n - 1) * rows) / ((S - 1) * (n - 1))
    found = crossed_mean(d)
    assert found.error**2 == pytest.approx((seeds + rows - rest) / (S * n) + 1 / (n + 2) ** 2)
    assert found.mean == pytest.approx(d.mean())
    assert S - 1 < found.freedom < 2 * (S - 1)
    assert found.from_seeds > 0.5


def test_models_that_agree_on_few_rows_are_not_proven_equal() -> None:
    same = judge({"b": (crossed_mean(np.zeros((5, 20))), 1.0)}, enough=0.005)["b"]
    assert same.kind == "open"
    assert same.high > 0.05
    assert judge({"b": (crossed_mean(np.zeros((5, 5000))), 1.0)}, enough=0.005)["b"].kind == "same"


def test_kinds_of_verdicts() -> None:
    sure, unsure = (Mean(0.01, error, 40.0, 5, 1000, 0.5) for error in (0.001, 0.02))
    small = Mean(0.001, 0.0005, 40.0, 5, 1000, 0.5)
    judged = judge(
        {
            "up": (sure, 0.8),
            "down": (Mean(-0.01, 0.001, 40.0, 5, 1000, 0.5), 0.8),
            "wide": (unsure, 0.8),
            "small": (small, 0.8),
        },
        enough=0.005,
    )
    assert {name: one.kind for name, one in judged.items()} == {
        "up": "better", "down": "worse", "wide": "open", "small": "same",
    }  # fmt: skip
    assert {name: one.clear for name, one in judged.items()} == {
        "up": True, "down": True, "wide": False, "small": True,
    }  # fmt: skip


def test_techniques_to_come_count_in_the_correction() -> None:
    gain = Mean(0.01, 0.0045, 60.0, 5, 1000, 0.5)
    alone, among = (judge({"a": (gain, 1.0)}, enough=0.001, family=family)["a"] for family in (1, 6))
    assert (alone.kind, among.kind) == ("better", "open")
    assert alone.low > 0 > among.low
    assert among.high > alone.high


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(-0.03, 0.03), st.floats(1e-4, 0.02), st.sampled_from([0.2, 0.8, 1.0])),
        min_size=1,
        max_size=6,
    ),
    st.integers(0, 4),
    st.booleans(),
)
def test_the_interval_and_the_verdict_never_contradict_each_other(
    arms: list[tuple[float, float, float]], more: int, higher: bool
) -> None:
    found = {
        str(number): (Mean(mean, error, 12.0, 5, 1000, 0.5), share)
        for number, (mean, error, share) in enumerate(arms)
    }
    judged = judge(found, enough=0.005, family=len(arms) + more, higher_is_better=higher)
    for one in judged.values():
        assert (one.kind in ("better", "worse")) == (one.low > 0 or one.high < 0)
        assert (one.kind == "better") == ((one.low > 0) if higher else (one.high < 0))
        if one.kind in ("same", "open"):
            assert (one.kind == "same") == (one.low >= -0.005 and one.high <= 0.005)
        uncorrected = one.difference.interval()
        assert one.low <= uncorrected[0]
        assert one.high >= uncorrected[1]
        # A verdict that is clear stays what it is, whatever the other arms are found to be.
        if one.clear:
            name = next(name for name, other in judged.items() if other is one)
            alone = judge({name: found[name]}, enough=0.005, family=len(arms) + more, higher_is_better=higher)
            assert alone[name].kind == one.kind


@given(st.lists(st.floats(0, 1), max_size=8))
def test_holm_lies_between_no_correction_and_bonferroni(p_values: list[float]) -> None:
    adjusted = holm(p_values)
    for plain, corrected in zip(p_values, adjusted, strict=True):
        assert plain <= corrected <= min(1, len(p_values) * plain) + 1e-12
    order = np.argsort(p_values, kind="stable")
    assert all(np.diff(np.array(adjusted)[order]) >= 0)


@given(st.integers(2, 40), st.booleans())
def test_looks_spend_the_error_once(seeds: int, adaptive: bool) -> None:
    shares = looks(seeds, adaptive)
    assert sum(shares.values()) == pytest.approx(1)
    assert list(shares)[-1] == seeds
    assert min(shares) >= min(FIRST_LOOK, seeds)


@pytest.mark.parametrize("shape", [(1, 10), (3, 0), (3,)])
def test_too_little_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="two seeds"):
        crossed_mean(np.zeros(shape))


def test_ratios_of_rows_of_different_sizes_cover() -> None:
    rng = np.random.default_rng(6)
    covered = 0
    for _ in range(300):
        sizes = rng.integers(1, 40, 120).astype(float)
        # Long rows are easier: the mean over rows would be another figure.
        easy = 0.6 + 0.3 * sizes / 40 + rng.normal(0, 0.08, (1, 120)) + rng.normal(0, 0.05, (4, 120))
        mean = crossed_mean(ratio_values(sizes * easy, sizes))
        low, high = mean.interval()
        assert mean.mean == pytest.approx((sizes * easy).sum() / sizes.sum() / 4)
        true = 0.6 + 0.3 * (np.arange(1, 40.0) ** 2).sum() / np.arange(1, 40.0).sum() / 40
        covered += low <= true <= high
    assert covered >= 0.93 * 300


def test_values_without_sizes_stay_as_they_are() -> None:
    values = np.random.default_rng(1).random((3, 5))
    assert ratio_values(values, None) is values
