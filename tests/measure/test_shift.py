"""Shifts are shown where there are some and where they matter, and hardly ever where there are none."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import chi2_contingency, ks_2samp

from recurra.errors import BundleError
from recurra.measure.shift import Profile, shifts


def profile(lengths: np.ndarray, classes: list[int], rows: int | None = None) -> Profile:
    counts = {"predicted": {f"c{n}": count for n, count in enumerate(classes)}}
    return Profile.of(len(lengths) if rows is None else rows, {"length": lengths}, counts)


def test_effects_and_p_values_are_those_of_the_tests() -> None:
    random = np.random.default_rng(1)
    a, b = random.normal(50, 10, 800), random.normal(55, 10, 600)
    length, predicted = shifts(profile(a, [400, 400]), profile(b, [200, 400]))
    expected = ks_2samp(a, b, method="asymp")
    assert length.effect == pytest.approx(expected.statistic)
    assert length.p_value == pytest.approx(2 * expected.pvalue, rel=0.1), "Holm"
    assert predicted.effect == pytest.approx(1 / 2 - 1 / 3)
    table = [[400, 400], [200, 400]]
    assert predicted.p_value == pytest.approx(chi2_contingency(table, correction=False).pvalue, rel=0.01)
    assert length.shown
    assert predicted.shown
    assert not predicted.large


def test_the_same_rows_are_hardly_ever_shifted() -> None:
    random, shown = np.random.default_rng(2), 0
    for _ in range(200):
        a, b = random.poisson(20, 400), random.poisson(20, 100)
        counts = random.multinomial(400, [0.7, 0.2, 0.1]), random.multinomial(100, [0.7, 0.2, 0.1])
        found = shifts(profile(a, counts[0].tolist()), profile(b, counts[1].tolist()))
        shown += any(shift.shown for shift in found)
    assert shown <= 8  # 1% of 200, by the error of the tests


def test_tiny_effects_and_few_rows_are_not_shown() -> None:
    random = np.random.default_rng(3)
    a, b = random.normal(50, 10, 100_000), random.normal(50.5, 10, 100_000)
    (length, _) = shifts(profile(a, [1, 1]), profile(b, [1, 1]))
    assert length.p_value < 1e-6
    assert length.effect < 0.1
    assert not length.shown
    few = shifts(profile(a, [1, 1]), profile(a[:20] + 100, [0, 20]))
    assert not any(shift.shown for shift in few)


def test_a_profile_is_kept_small_and_read_again() -> None:
    values = np.random.default_rng(4).normal(size=100_000)
    saved = profile(values, [3, 4]).to_json()
    assert len(saved) < 30_000
    again = Profile.from_json(saved)
    assert again.rows == 100_000
    (length, _) = shifts(again, profile(values, [3, 4]))
    assert length.effect < 0.01
    for change in (
        {"rows": -1},
        {"rows": "many"},
        {"numbers": {"length": ["long"]}},
        {"numbers": {"length": [0] * 3_000}},
        {"counts": {"predicted": {"a": -2}}},
    ):
        with pytest.raises(BundleError, match="damaged"):
            Profile.from_json(json.dumps({**json.loads(saved), **change}))


def test_classes_that_are_new_or_gone_count() -> None:
    new = Profile(500, {}, {"predicted": {"c0": 250, "d": 250}})
    (predicted,) = shifts(Profile(500, {}, {"predicted": {"c0": 500}}), new)
    assert predicted.large
    assert predicted.effect == pytest.approx(0.5)
    assert predicted.after == "c0 50%, d 50%"
