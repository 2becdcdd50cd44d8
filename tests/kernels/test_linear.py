"""Regressions of several classes at once: the same weights as those of scikit-learn, one class at a time."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse import random as random_matrix
from sklearn.linear_model import LogisticRegression

from recurra.kernels.linear import Descent, rows_with


def data(rows: int, features: int, classes: int) -> tuple[csr_matrix, np.ndarray, np.ndarray]:
    """Sparse features of unit rows, classes that depend on them, and factors."""
    random = np.random.default_rng(7)
    matrix = random_matrix(rows, features, 0.2, format="csr", random_state=random, dtype=np.float32)
    matrix = csr_matrix(matrix.multiply(np.arange(rows)[:, None] != 3), dtype=np.float32)  # an empty row
    matrix.eliminate_zeros()
    scores = matrix @ random.normal(size=(features, classes)) + random.normal(size=(rows, classes))
    return matrix, scores > 0.5, random.normal(size=(features, classes)).astype(np.float32)


@pytest.mark.parametrize("classes", [1, 3, 17])
def test_the_weights_are_those_of_one_regression_after_the_other(classes: int) -> None:
    matrix, positive, factors = data(80, 23, classes)
    descent = Descent(matrix, positive, factors, 20.0)
    while descent.improve() > 1e-6:
        pass
    for k in range(classes):
        one = LogisticRegression(C=20.0, solver="liblinear", dual=True, tol=1e-9, max_iter=100_000)
        one.fit(matrix.toarray().astype(np.float64) * factors[:, k], positive[:, k])
        assert descent.biases[k] == pytest.approx(one.intercept_[0], abs=2e-3)
        assert descent.weights[:, k] == pytest.approx(one.coef_[0] * factors[:, k], abs=2e-3)


def test_the_same_rows_give_the_same_weights() -> None:
    one, two = (Descent(*data(60, 9, 2), 1.0) for _ in range(2))
    assert [one.improve() for _ in range(3)] == [two.improve() for _ in range(3)]
    assert (one.weights == two.weights).all()


def test_rows_of_each_class_with_a_feature() -> None:
    matrix, positive, _ = data(50, 11, 4)
    expected = (matrix != 0).T.astype(np.int64) @ positive.astype(np.int64)
    ticks: list[int] = []
    assert (rows_with(matrix, positive, ticks.append) == expected).all()
    assert sum(ticks) == 50


def test_a_pass_reports_all_rows_and_can_be_interrupted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recurra.kernels.linear._AT_ONCE", 50)
    descent, ticks = Descent(*data(50, 11, 4), 1.0), list[int]()
    descent.improve(ticks.append)
    assert len(ticks) > 5
    assert sum(ticks) == 50

    def interrupted(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        descent.improve(interrupted)
