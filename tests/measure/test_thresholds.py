"""Fitted thresholds have the highest F1 of all, and labels with few rows share one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from recurra.measure.thresholds import fit_thresholds


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.integers(11, 60), st.booleans())
def test_no_threshold_has_a_higher_f1(seed: int, rows: int, rounded: bool) -> None:
    rng = np.random.default_rng(seed)
    truth = (rng.random((rows, 1)) < 0.3).astype(int)
    truth[:10] = 1
    p = np.clip(0.2 + 0.2 * truth + 0.2 * rng.normal(size=truth.shape), 0, 1)
    p = p.round(1) if rounded else p
    limit = fit_thresholds(p, truth)[0]
    found = f1_score(truth, p >= limit, average=None, labels=[1])[0]
    others = [
        f1_score(truth, p >= other, average=None, labels=[1], zero_division=0)[0]
        for other in np.unique(p)
        if (p >= other).sum() <= 1.5 * truth.sum()
    ]
    assert found == pytest.approx(max(others, default=found))
    assert (p >= limit).sum() <= 1.5 * truth.sum()
    assert 0 <= limit <= 1


def test_a_label_that_can_not_be_told_apart_is_not_predicted_for_all_rows() -> None:
    truth = np.zeros((1_000, 1), int)
    truth[:50] = 1
    p = np.random.default_rng(0).random((1_000, 1))
    assert (p >= fit_thresholds(p, truth)).sum() <= 75
    assert (np.full((1_000, 1), 0.05) >= fit_thresholds(np.full((1_000, 1), 0.05), truth)).sum() == 0


def test_thresholds_of_rare_labels_are_drawn_to_that_of_all() -> None:
    rng = np.random.default_rng(0)
    truth = np.zeros((4_000, 3), int)
    truth[:1_500, 0], truth[:600, 1], truth[:4, 2] = 1, 1, 1
    p = np.clip(np.array([0.1, 0.1, 0.01]) + 0.4 * truth + 0.03 * rng.normal(size=truth.shape), 0, 1)
    limits = fit_thresholds(p, truth)
    together = fit_thresholds(p.reshape(-1, 1), truth.reshape(-1, 1))[0]
    alone = [fit_thresholds(p[:, [c]], truth[:, [c]])[0] for c in range(3)]
    assert limits[0] == pytest.approx(alone[0], abs=0.01)
    odds = np.log(np.array([limits[2], alone[2], together]) / (1 - np.array([limits[2], alone[2], together])))
    assert odds[0] == pytest.approx((4 * odds[1] + 10 * odds[2]) / 14)


def test_without_a_label_thresholds_are_a_half() -> None:
    assert fit_thresholds(np.full((5, 2), 0.3), np.zeros((5, 2))).tolist() == [0.5, 0.5]
