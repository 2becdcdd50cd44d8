"""Rows drawn for a study have each class by its share."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recurra.tasks.study import nested_order


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(0, 2**32 - 1))
def test_any_beginning_has_each_class_by_its_share(strata: list[int], seed: int) -> None:
    codes = np.array(strata)
    order = nested_order(codes, seed)
    assert sorted(order.tolist()) == list(range(len(codes)))
    for code in range(4):
        seen = np.cumsum(codes[order] == code)
        expected = (codes == code).sum() * np.arange(1, len(codes) + 1) / len(codes)
        assert np.abs(seen - expected).max() <= 4  # one for each class at most
