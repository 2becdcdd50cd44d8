"""Regressions on probabilities: hard targets as in scikit-learn, soft ones as rows that count in part."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix, vstack
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from recurra.tasks.classification import soft_regression
from recurra.tasks.classification.soft_regression import fit_soft, log_ratios


@pytest.fixture
def rows() -> tuple[csr_matrix, np.ndarray]:
    random = np.random.default_rng(0)
    dense = random.random((200, 12)) * (random.random((200, 12)) < 0.4)
    dense /= np.maximum(np.linalg.norm(dense, axis=1, keepdims=True), 1e-9)
    target = expit(4 * dense @ random.standard_normal(12))
    return csr_matrix(dense.astype(np.float32)), target


def test_the_ratio_is_that_of_rows_of_both_classes_with_the_feature() -> None:
    features = csr_matrix(np.array([[0.6, 0.0], [0.8, 0.6], [0.0, 1.0]]))
    found = log_ratios(features, np.array([1.0, 0.5, 0.0]))
    p, q = np.array([2.5, 1.5]), np.array([1.5, 2.5])
    np.testing.assert_allclose(found, np.log(p / p.sum()) - np.log(q / q.sum()))


def test_it_is_the_regression_of_both_classes_weighted_by_their_probability(
    rows: tuple[csr_matrix, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soft_regression, "_ITERATIONS", 2_000)
    monkeypatch.setattr(soft_regression, "_TOLERANCE", 1e-12)
    features, target = rows
    ticks: list[int] = []
    found = fit_soft(features, [target], ticks.append)
    ratio = log_ratios(features, target)
    weighted = csr_matrix(features.multiply(ratio))
    expected = LogisticRegression(C=soft_regression._C, max_iter=10_000, tol=1e-8).fit(
        vstack([weighted, weighted]),
        np.repeat([1, 0], len(target)),
        sample_weight=np.concatenate([target, 1 - target]),
    )
    # its intercept has no penalty, which is small here
    np.testing.assert_allclose(found.scores(features)[:, 0], expected.decision_function(weighted), atol=0.05)
    assert ticks[-1] == 1
    assert set(ticks[:-1]) == {0}


def test_each_class_has_a_regression(rows: tuple[csr_matrix, np.ndarray]) -> None:
    features, target = rows
    both = fit_soft(features, [target, 1 - target], lambda classes: None)
    assert both.weights.shape == (12, 2)
    scores = both.scores(features)
    np.testing.assert_allclose(scores[:, 0], -scores[:, 1], atol=0.1)
    assert np.corrcoef(expit(scores[:, 0]), target)[0, 1] > 0.9
