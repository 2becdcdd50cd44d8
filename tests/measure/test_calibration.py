"""Temperature recovers a known one; reliability and its error are what counting by hand gives."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit, log_softmax, softmax

from recurra.measure.calibration import calibrated_loss, fit_temperature, probabilities, reliability
from recurra.measure.metrics import classification_metrics


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


def sampled(
    classes: int, rows_each: int, sharpness: float, seed: int = 1, *, rows: int | None = None
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Logits that are the true log-odds of their rows: of normal clusters, one for each class."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat(np.arange(classes), rows_each))[:rows]
    return sharpness * (sharpness * np.eye(classes)[labels] + rng.normal(size=(len(labels), classes))), labels


def log_loss(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


@pytest.mark.parametrize("true", [0.5, 1.0, 2.0])
@pytest.mark.parametrize(("classes", "rows_each"), [(6, 40), (50, 5), (100, 10)])
def test_calibrated_logits_stay_so_with_few_rows_a_class(classes: int, rows_each: int, true: float) -> None:
    logits, labels = sampled(classes, rows_each, 3.0)
    temperature = fit_temperature(logits * true, labels, "multiclass")
    assert temperature == pytest.approx(true, rel=0.2 if classes == 6 else 0.08)
    others, their_labels = sampled(classes, 4000 // classes, 3.0, seed=2)
    calibrated = others * true / temperature
    assert log_loss(calibrated, their_labels) < log_loss(others, their_labels) + 0.01
    curve = reliability(softmax(calibrated, axis=1), their_labels, "multiclass")
    assert curve.ece < 0.03


def test_temperature_of_many_rows_is_that_of_the_highest_likelihood() -> None:
    rng = np.random.default_rng(2)
    logits, labels = rng.normal(size=(3000, 3)) * 4, rng.integers(0, 3, 3000)
    labels = np.where(rng.random(3000) < 0.6, logits.argmax(axis=1), labels)
    best = min(np.geomspace(0.05, 20, 1000), key=lambda t: log_loss(logits / t, labels))
    assert fit_temperature(logits, labels, "multiclass") == pytest.approx(best, rel=0.02)


@pytest.mark.parametrize(("classes", "kind"), [(2, "binary"), (6, "multiclass"), (50, "multiclass")])
def test_five_rows_that_are_all_right_change_little(classes: int, kind: str) -> None:
    labels = np.arange(5) % classes
    logits = 6.0 * np.eye(classes)[labels]
    before = softmax(logits, axis=1).max()
    logits = logits[:, 1:] - logits[:, :1] if kind == "binary" else logits
    after = probabilities(logits, kind, fit_temperature(logits, labels, kind)).max(axis=1)
    assert (after >= before - 1e-9).all()
    assert (1 - after > (1 - before) / 5).all()


def test_five_rows_of_many_labels_that_are_all_right_are_not_certain() -> None:
    truth = np.eye(8)[:5]
    logits = np.where(truth > 0, 3.0, -3.0)
    assert 0.5 < fit_temperature(logits, truth, "multilabel") <= 1.0


@pytest.mark.parametrize("rows", [10, 100, 1000])
def test_rows_that_are_all_right_make_no_more_sure_than_their_number_allows(rows: int) -> None:
    labels = np.arange(rows) % 2
    logits = np.where(labels == 1, 3.0, -3.0)[:, None]
    sure = expit(3.0 / fit_temperature(logits, labels, "binary"))
    assert expit(3.0) < sure < 1 - 1 / (5 * rows)
    columns = np.concatenate([-logits / 2, logits / 2], axis=1)
    assert expit(3.0 / fit_temperature(columns, labels, "multiclass")) == pytest.approx(sure, abs=1e-4)


def test_temperature_of_hopeless_cases_is_near_one() -> None:
    two = np.array([[3.0], [-2.0]])
    assert 1 < fit_temperature(two, np.array([0, 1]), "binary") < 3
    assert fit_temperature(np.tile(two, (500, 1)), np.tile([0, 1], 500), "binary") == pytest.approx(
        20, rel=0.01
    )
    assert fit_temperature(np.zeros((4, 1)), np.array([0, 1, 1, 1]), "binary") == 1.0
    assert fit_temperature(np.zeros((0, 1)), np.zeros(0, int), "binary") == 1.0
    assert fit_temperature(np.full((1, 1), 5.0), np.ones(1, int), "binary") == 1.0
    assert np.isfinite(fit_temperature(np.array([[1e4], [-1e4]]), np.array([0, 0]), "binary"))


@given(
    rows=st.integers(1, 40),
    classes=st.integers(2, 12),
    scale=st.floats(0.01, 30),
    seed=st.integers(0, 1000),
)
@settings(max_examples=20, deadline=None)
def test_temperature_is_bounded_and_never_worse_than_one_on_its_rows(
    rows: int, classes: int, scale: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    logits, labels = scale * rng.normal(size=(rows, classes)), rng.integers(0, classes, rows)
    temperature = fit_temperature(logits, labels, "multiclass")
    assert 0.05 <= temperature <= 20
    assert log_loss(logits / temperature, labels) <= log_loss(logits, labels) + 1e-9
    shifted = logits + rng.normal(size=(rows, 1))
    assert fit_temperature(shifted, labels, "multiclass") == pytest.approx(temperature, rel=1e-3)


def test_rows_that_contradict_one_another_leave_the_temperature_at_one() -> None:
    # The sign of the best log temperature changes from fold to fold.
    found = [fit_temperature(*sampled(2, 10, 1.0, seed), "multiclass") for seed in range(10)]
    assert found.count(1.0) >= 3


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_the_calibrated_loss_does_not_depend_on_the_confidence(kind: str) -> None:
    rng = np.random.default_rng(4)
    logits = rng.normal(size=(4000, 1 if kind == "binary" else 3)) * 2
    if kind == "multiclass":
        labels = (rng.random((4000, 1)) > softmax(logits, axis=1).cumsum(axis=1)).sum(axis=1)
    else:
        labels = (rng.random(logits.shape) < expit(logits)).astype(np.int64)
        labels = labels[:, 0] if kind == "binary" else labels
    losses = [calibrated_loss(logits * scale, labels, kind) for scale in (0.5, 1.0, 3.0)]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-3)
    temperature = fit_temperature(logits, labels, kind)
    names = ["a", "b", "c"][: 2 if kind == "binary" else 3]
    p = probabilities(logits, kind, temperature)
    assert losses[0] == pytest.approx(classification_metrics(labels, p, names, kind).log_loss, rel=1e-3)


def test_reliability_by_hand() -> None:
    p = np.array([[0.9, 0.1], [0.85, 0.15], [0.45, 0.55], [0.0, 1.0]])
    curve = reliability(p, np.array([0, 1, 1, 1]), "binary", bins=5)
    assert curve.counts == [0, 0, 1, 0, 3]
    assert curve.confidence[2] == pytest.approx(0.55)
    assert curve.confidence[4] == pytest.approx((0.9 + 0.85 + 1.0) / 3)
    assert curve.accuracy == [None, None, 1.0, None, pytest.approx(2 / 3)]
    assert curve.ece == pytest.approx((abs(1 - 0.55) + abs(2 - 2.75)) / 4)


@pytest.mark.parametrize("rows", [200, 2_000])
def test_the_error_by_chance_is_that_of_labels_drawn_from_the_probabilities(rows: int) -> None:
    rng = np.random.default_rng(3)
    p = softmax(rng.normal(size=(rows, 3)) * 2, axis=1)
    labels = [(rng.random((rows, 1)) > p.cumsum(axis=1)).sum(axis=1) for _ in range(500)]
    errors = [reliability(p, drawn, "multiclass").ece for drawn in labels]
    curve = reliability(p, labels[0], "multiclass")
    assert curve.ece_by_chance == pytest.approx(np.mean(errors), rel=0.05)
    assert curve.ece_by_chance_high == pytest.approx(np.quantile(errors, 0.95), rel=0.08)


def test_the_error_by_chance_without_rows_is_zero() -> None:
    assert reliability(np.zeros((0, 2)), np.zeros(0, np.int64), "binary").ece_by_chance_high == 0


def test_a_confidence_on_an_edge_is_in_the_bin_below() -> None:
    curve = reliability(np.array([[0.6, 0.4]]), np.array([0]), "binary", bins=5)
    assert curve.counts == [0, 0, 1, 0, 0]


def test_multilabel_counts_every_decision() -> None:
    curve = reliability(np.array([[0.9, 0.2, 0.6]]), np.array([[1, 0, 0]]), "multilabel", bins=2)
    assert curve.counts == [0, 3]
    assert curve.accuracy[1] == pytest.approx(2 / 3)
    assert curve.confidence[1] == pytest.approx((0.9 + 0.8 + 0.6) / 3)
