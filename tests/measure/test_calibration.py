"""Temperature recovers a known one; reliability and its error are what counting by hand gives."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, log_softmax, softmax

from recurra.measure.calibration import fit_temperature, reliability


@pytest.mark.parametrize("true", [0.5, 1.0, 2.7])
@pytest.mark.parametrize("task", ["binary", "two columns", "multiclass", "multilabel"])
def test_temperature_recovers_a_known_one(true: float, task: str) -> None:
    rng = np.random.default_rng(1)
    n = 40_000
    if task in ("binary", "multilabel"):
        logits = rng.normal(size=(n, 1 if task == "binary" else 3)) * 2
        labels = (rng.random(logits.shape) < expit(logits)).astype(np.float32)
        labels = labels[:, 0].astype(np.int64) if task == "binary" else labels
    else:
        logits = rng.normal(size=(n, 2 if task == "two columns" else 4)) * 2
        labels = (rng.random((n, 1)) > softmax(logits, axis=1).cumsum(axis=1)).sum(axis=1)
    task = "binary" if task == "two columns" else task
    assert fit_temperature(logits * true, labels, task) == pytest.approx(true, rel=0.04)


def test_temperature_is_the_best_on_a_grid() -> None:
    rng = np.random.default_rng(2)
    logits, labels = rng.normal(size=(300, 3)) * 4, rng.integers(0, 3, 300)
    labels = np.where(rng.random(300) < 0.6, logits.argmax(axis=1), labels)

    counts = np.bincount(labels, minlength=3)
    target = np.array([[(counts[k] * (c == k) + 1) / (counts[k] + 3) for c in range(3)] for k in labels])

    def loss(t: float) -> float:
        return float(-(target * log_softmax(logits / t, axis=1)).sum(axis=1).mean())

    best = min(np.geomspace(0.05, 20, 4000), key=loss)
    assert fit_temperature(logits, labels, "multiclass") == pytest.approx(best, rel=2e-3)


def test_temperature_of_hopeless_cases_is_finite() -> None:
    logits = np.array([[3.0], [-2.0]])
    assert fit_temperature(logits, np.array([0, 1]), "binary") == pytest.approx(20, rel=0.01)
    assert fit_temperature(np.zeros((4, 1)), np.array([0, 1, 1, 1]), "binary") == 1.0
    assert fit_temperature(np.zeros((0, 1)), np.zeros(0, int), "binary") == 1.0
    assert np.isfinite(fit_temperature(np.array([[1e4], [-1e4]]), np.array([0, 0]), "binary"))


@pytest.mark.parametrize("rows", [10, 100, 1000])
def test_rows_that_are_all_right_make_no_more_sure_than_their_number_allows(rows: int) -> None:
    labels = np.arange(rows) % 2
    logits = np.where(labels == 1, 3.0, -3.0)[:, None]
    # Platt's target for a class of n rows is (n + 1) / (n + 2), and every logit is alike, so it is met.
    n = rows // 2
    wanted = np.log((n + 1) / (n + 2)) - np.log(1 / (n + 2))
    assert 3.0 / fit_temperature(logits, labels, "binary") == pytest.approx(wanted, rel=1e-3)
    columns = np.concatenate([-logits / 2, logits / 2], axis=1)
    assert 3.0 / fit_temperature(columns, labels, "multiclass") == pytest.approx(wanted, rel=1e-3)


def test_reliability_by_hand() -> None:
    p = np.array([[0.9, 0.1], [0.85, 0.15], [0.45, 0.55], [0.0, 1.0]])
    curve = reliability(p, np.array([0, 1, 1, 1]), "binary", bins=5)
    assert curve.counts == [0, 0, 1, 0, 3]
    assert curve.confidence[2] == pytest.approx(0.55)
    assert curve.confidence[4] == pytest.approx((0.9 + 0.85 + 1.0) / 3)
    assert curve.accuracy == [None, None, 1.0, None, pytest.approx(2 / 3)]
    assert curve.ece == pytest.approx((abs(1 - 0.55) + abs(2 - 2.75)) / 4)


def test_a_confidence_on_an_edge_is_in_the_bin_below() -> None:
    curve = reliability(np.array([[0.6, 0.4]]), np.array([0]), "binary", bins=5)
    assert curve.counts == [0, 0, 1, 0, 0]


def test_multilabel_counts_every_decision() -> None:
    curve = reliability(np.array([[0.9, 0.2, 0.6]]), np.array([[1, 0, 0]]), "multilabel", bins=2)
    assert curve.counts == [0, 3]
    assert curve.accuracy[1] == pytest.approx(2 / 3)
    assert curve.confidence[1] == pytest.approx((0.9 + 0.8 + 0.6) / 3)
