"""Two experts together are never worse than one of them, and a useless one gets no weight."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit, log_softmax

from recurra.tasks.classification.experts import (
    Combination,
    cross_fit,
    fit_combination,
    share_of_network,
)

KINDS = ["binary", "multiclass", "multilabel"]
Made = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[Any]]


def made(kind: str, rows: int, skills: tuple[float, float], seed: int, classes: int = 4) -> Made:
    """Logits of a network and of n-grams, with noise and a skill each, and the labels."""
    random = np.random.default_rng(seed)
    if kind == "multilabel":
        labels = (random.random((rows, classes)) < 0.3).astype(np.int64)
        truth = 2.0 * labels - 1.5
    else:
        labels = random.integers(0, 2 if kind == "binary" else classes, rows)
        truth = 2.0 * np.eye(classes)[labels] if kind == "multiclass" else (2.0 * labels - 1)[:, None]
    recurrent, ngrams = (skill * truth + 2 * random.normal(size=truth.shape) for skill in skills)
    return recurrent, ngrams, labels


def loss(logits: NDArray[np.float64], labels: NDArray[Any], kind: str) -> float:
    """The log loss, summed over the rows."""
    if kind == "multiclass":
        return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].sum())
    return float((np.logaddexp(0, logits) - labels.reshape(logits.shape) * logits).sum())


@settings(max_examples=30)
@given(
    st.sampled_from(KINDS),
    st.integers(20, 120),
    st.floats(0, 1.5),
    st.floats(0, 1.5),
    st.integers(0, 2**32 - 1),
)
def test_together_they_are_never_worse_than_each_alone(
    kind: str, rows: int, network: float, ngram: float, seed: int
) -> None:
    recurrent, ngrams, labels = made(kind, rows, (network, ngram), seed)
    combination = fit_combination(recurrent, ngrams, labels, kind).combination
    assert combination.recurrent >= 0
    assert combination.ngrams >= 0
    alone = min(loss(recurrent, labels, kind), loss(ngrams, labels, kind))
    # The penalty of (1, 0, 0) and of (0, 1, 0) is 1.
    assert loss(combination.logits(recurrent, ngrams), labels, kind) <= alone + 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_useless_expert_gets_no_weight_and_a_good_one_does(kind: str) -> None:
    useless = [fit_combination(*made(kind, 400, (0.0, 1.5), seed), kind) for seed in range(4)]
    assert [fit.chosen for fit in useless] == ["ngrams"] * 4
    assert all(fit.combination.recurrent == 0 < fit.combination.ngrams for fit in useless)
    assert fit_combination(*made(kind, 400, (1.5, 0.0), 0), kind).chosen == "recurrent"
    both = fit_combination(*made(kind, 400, (1.0, 1.5), 0), kind)
    assert both.chosen == "both"
    assert 0 < both.combination.recurrent < both.combination.ngrams
    assert both.losses["both"] < min(both.losses["ngrams"], both.losses["recurrent"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_the_rows_does_not_matter(kind: str) -> None:
    recurrent, ngrams, labels = made(kind, 90, (1.0, 1.2), 3)
    order = np.random.default_rng(0).permutation(90)
    one = fit_combination(recurrent, ngrams, labels, kind)
    other = fit_combination(recurrent[order], ngrams[order], labels[order], kind)
    assert one == other
    folds = [
        cross_fit(one.combination, recurrent[rows], ngrams[rows], labels[rows], kind).logits(
            recurrent[rows], ngrams[rows]
        )
        for rows in (np.arange(90), order)
    ]
    np.testing.assert_array_equal(folds[0][order], folds[1])


@pytest.mark.parametrize("rows", [0, 1, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_with_few_rows_the_weights_stay_near_the_average(kind: str, rows: int) -> None:
    recurrent, ngrams, labels = made(kind, rows, (1.0, 1.0), 5)
    fit = fit_combination(recurrent, ngrams, labels, kind)
    weights = np.array([fit.combination.recurrent, fit.combination.ngrams, fit.combination.intercept])
    centre = {"both": [0.5, 0.5, 0], "ngrams": [0, 1, 0], "recurrent": [1, 0, 0]}[fit.chosen]
    assert np.abs(weights - centre).max() < (1.5 if rows else 1e-9)
    assert np.isfinite(fit.combination.logits(recurrent, ngrams)).all()


def test_validation_rows_of_one_class_give_finite_weights() -> None:
    recurrent, ngrams, _ = made("binary", 40, (1.0, 1.0), 5)
    combination = fit_combination(recurrent, ngrams, np.ones(40, np.int64), "binary").combination
    assert expit(combination.logits(recurrent, ngrams)).max() < 1
    assert max(combination.recurrent, combination.ngrams, combination.intercept) < 5


@pytest.mark.parametrize("rows", [20, 300])
def test_a_hundred_classes(rows: int) -> None:
    recurrent, ngrams, labels = made("multiclass", rows, (1.0, 2.0), 5, classes=100)
    fit = fit_combination(recurrent, ngrams, labels, "multiclass")
    assert fit.combination.ngrams > fit.combination.recurrent > 0
    assert fit.combination.intercept == 0


def test_constant_experts_are_no_error() -> None:
    zero = np.zeros((30, 3))
    fit = fit_combination(zero, zero, np.arange(30) % 3, "multiclass")
    assert fit.combination.logits(zero, zero).shape == (30, 3)
    assert fit.combination.ngrams > 0


@pytest.mark.parametrize("kind", KINDS)
def test_cross_fitted_logits_are_those_of_weights_fitted_without_the_row(kind: str) -> None:
    recurrent, ngrams, labels = made(kind, 50, (1.0, 1.2), 7)
    fit = fit_combination(recurrent, ngrams, labels, kind)
    crossed = cross_fit(fit.combination, recurrent, ngrams, labels, kind)
    assert np.bincount(crossed.fold_of).tolist() == [10] * 5
    honest = crossed.logits(recurrent, ngrams)
    for fold, combination in enumerate(crossed.folds):
        inside = crossed.fold_of == fold
        np.testing.assert_array_equal(honest[inside], combination.logits(recurrent[inside], ngrams[inside]))
        assert combination != fit.combination
    fitted = fit.combination.logits(recurrent, ngrams)
    assert loss(honest, labels, kind) > loss(fitted, labels, kind)


def test_class_weights_move_the_n_grams_by_their_logarithms() -> None:
    random = np.random.default_rng(0)
    ngrams = 2 * random.normal(size=(4_000, 1))  # calibrated: the labels are drawn from their probabilities
    labels = (random.random(4_000) < expit(ngrams[:, 0])).astype(np.int64)
    weighted = np.array([1.0, 3.0])
    fit = fit_combination(random.normal(size=(4_000, 1)), ngrams, labels, "binary", weighted)
    assert fit.chosen == "ngrams"
    assert fit.combination.offsets == pytest.approx([np.log(3)])
    found = fit.combination.logits(None, ngrams)
    np.testing.assert_allclose(found, ngrams + np.log(3), atol=0.4)


def test_shares_add_up_and_follow_the_weights() -> None:
    recurrent, ngrams, _ = made("multiclass", 500, (1.0, 1.0), 2)
    even, uneven = (
        share_of_network(Combination(recurrent=a, ngrams=b), recurrent, ngrams)
        for a, b in ((1.0, 1.0), (1.0, 3.0))
    )
    assert even.low < 0.5 < even.high
    assert uneven.high < even.low
    swapped = share_of_network(Combination(recurrent=3.0, ngrams=1.0), ngrams, recurrent)
    assert swapped.value + uneven.value == pytest.approx(1)
    assert tuple(share_of_network(Combination(recurrent=0, ngrams=1), recurrent, ngrams)) == (0, 0, 0)
