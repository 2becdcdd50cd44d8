"""The nearest words are those of the smallest angles."""

from __future__ import annotations

import numpy as np

from recurra.measure.neighbours import nearest

TABLE = np.array([[0, 0], [1, 0], [2, 0.2], [0, 5], [-3, 0], [0, 0], [4, 0]], np.float32)


def test_angles_decide_and_not_lengths() -> None:
    found = nearest(TABLE, 1, np.arange(len(TABLE)), 3)
    assert [row for row, _ in found] == [6, 2, 3]
    np.testing.assert_allclose([cosine for _, cosine in found], [1, 2 / np.hypot(2, 0.2), 0], atol=1e-6)


def test_only_candidates_answer_and_zeros_have_no_neighbours() -> None:
    assert [row for row, _ in nearest(TABLE, 1, np.array([1, 4, 5]), 9)] == [4]
    assert nearest(TABLE, 0, np.arange(len(TABLE)), 9) == []
