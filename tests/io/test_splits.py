"""Held-out rows are disjoint, complete, of the given share and stratified; groups are not divided."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recurra.config import DataConfig
from recurra.errors import DataError
from recurra.io.splits import divide, split

fractions = st.floats(0.001, 0.899)
seeds = st.integers(0, 2**32 - 1)


def labelled(count: int, classes: int, kind: str, random: np.random.Generator) -> NDArray[Any]:
    if kind == "multilabel":
        return (random.random((count, classes)) < 0.3).astype(np.float32)
    return random.integers(0, classes, count) ** 2  # codes with gaps, uneven classes


@given(st.integers(2, 300), st.integers(1, 8), st.sampled_from(["one", "multilabel"]), fractions, seeds)
@settings(max_examples=100, deadline=None)
def test_rows_are_divided(count: int, classes: int, kind: str, fraction: float, seed: int) -> None:
    labels = labelled(count, classes, kind, np.random.default_rng(seed))
    train, valid = split(labels, fraction, seed)
    assert sorted([*train, *valid]) == list(range(count))
    assert len(train)
    assert len(valid) == min(count - 1, max(1, round(count * fraction)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(valid) > 0).all()
    again = split(labels, fraction, seed)
    assert np.array_equal(again[0], train)


@given(st.integers(2, 60), st.integers(1, 300), st.sampled_from(["one", "multilabel"]), fractions, seeds)
@settings(max_examples=100, deadline=None)
def test_groups_are_never_divided(groups: int, rows: int, kind: str, fraction: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    codes = np.concatenate([np.arange(groups), random.integers(0, groups, rows) ** 2 // groups]) * 3 - 5
    labels = labelled(len(codes), 3, kind, random)
    train, valid = split(labels, fraction, seed, codes)
    assert sorted([*train, *valid]) == list(range(len(codes)))
    assert len(train)
    assert len(valid)
    assert not set(codes[train]) & set(codes[valid])
    assert np.array_equal(split(labels, fraction, seed, codes)[1], valid)


@pytest.mark.parametrize("fraction", [0.05, 0.1, 0.25, 0.4, 0.7, 0.89])
@pytest.mark.parametrize("grouped", [False, True])
def test_classes_and_labels_keep_their_shares(fraction: float, grouped: bool) -> None:
    random = np.random.default_rng(7)
    groups = random.integers(0, 900, 6_000) if grouped else None
    single = random.choice(4, 6_000, p=[0.6, 0.3, 0.08, 0.02])
    several = (random.random((6_000, 3)) < [0.5, 0.2, 0.05]).astype(np.float32)
    for labels, hot in ((single, np.eye(4)[single]), (several, several)):
        _, valid = split(labels, fraction, 3, groups)
        assert len(valid) / 6_000 == pytest.approx(fraction, abs=0.012)
        assert hot[valid].mean(axis=0) == pytest.approx(hot.mean(axis=0), rel=0.2)


def test_another_seed_holds_out_other_rows() -> None:
    labels = np.arange(100) % 2
    groups = np.arange(100) // 2
    assert not np.array_equal(split(labels, 0.2, 1)[1], split(labels, 0.2, 2)[1])
    assert not np.array_equal(split(labels, 0.2, 1, groups)[1], split(labels, 0.2, 2, groups)[1])


def test_the_only_row_of_a_class_is_trained_on() -> None:
    labels = np.array([0] * 50 + [1] * 50 + [2] + [3])
    for seed in range(10):
        train, valid = split(labels, 0.3, seed)
        assert {100, 101} <= set(train)
        assert np.bincount(labels[valid]).tolist() in ([15, 16], [16, 15])


def test_one_huge_group_does_not_take_the_place_of_a_tenth() -> None:
    groups = np.array([0] * 90 + list(range(1, 11)))
    for seed in range(5):
        _, valid = split(np.arange(100) % 2, 0.1, seed, groups)
        assert 5 <= len(valid) <= 15


@pytest.mark.parametrize("fraction", [0.1, 0.01, 0.001])
def test_sixty_thousand_groups_are_split_in_time(fraction: float, count_calls: Callable[[], int]) -> None:
    random = np.random.default_rng(0)
    groups = random.integers(0, 60_000, 150_000)
    labels = random.integers(0, 2, 150_000)
    train, valid = split(labels, fraction, 1, groups)
    assert not set(groups[train]) & set(groups[valid])
    assert len(valid) / 150_000 == pytest.approx(fraction, rel=0.05)
    assert labels[valid].mean() == pytest.approx(0.5, abs=0.1)
    # Each group tried in each fold takes some 25 microseconds: 60,000 x 10 of them would be 15 s.
    assert count_calls() <= 50_000


@pytest.fixture
def count_calls(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """The number of groups times folds that StratifiedGroupKFold tries."""
    from sklearn import model_selection

    tried = [0]
    whole = model_selection.StratifiedGroupKFold

    class Counted(whole):  # type: ignore[misc, valid-type]
        def split(self, rows: Any, labels: Any, groups: Any) -> Any:
            tried[0] += len(np.unique(groups)) * self.n_splits
            return super().split(rows, labels, groups)

    monkeypatch.setattr(model_selection, "StratifiedGroupKFold", Counted)
    return lambda: tried[0]


def test_rows_that_can_not_be_split_are_refused() -> None:
    with pytest.raises(DataError, match="one row"):
        split(np.array([1]), 0.5, 0)
    with pytest.raises(DataError, match="one group"):
        split(np.array([0, 1, 0]), 0.5, 0, np.array([4, 4, 4]))


@pytest.mark.parametrize("count", [4, 60])
def test_one_group_is_needed_for_each_row(count: int) -> None:
    with pytest.raises(DataError, match=f"^40 rows have {count} groups; "):
        split(np.arange(40) % 2, 0.1, 1, np.arange(count))


@given(st.integers(2, 50), st.integers(1, 49), st.sampled_from(["one", "multilabel"]))
def test_the_first_rows_are_held_out(count: int, first: int, kind: str) -> None:
    data = DataConfig(valid_rows=min(first, count - 1))
    labels = labelled(count, 1, kind, np.random.default_rng(count))
    train, valid = divide(labels, data)
    assert [*valid, *train] == list(range(count))
    assert len(valid) == data.valid_rows
    assert np.array_equal(divide(labels, data, np.arange(count))[0], train)
    drawn = DataConfig(valid_fraction=0.4, split_seed=count)
    assert np.array_equal(divide(labels, drawn)[1], split(labels, 0.4, count)[1])


def test_first_rows_that_can_not_be_held_out_are_refused() -> None:
    data = DataConfig(valid_rows=3)
    with pytest.raises(DataError, match=r"the first 3 rows can't be held out of 3 rows; set data.valid_rows"):
        divide(np.array([0, 1, 0]), data)
    with pytest.raises(DataError, match=r"a group is on both sides of the first 3 rows; remove data.valid_"):
        divide(np.zeros(5), data, np.array([1, 2, 3, 3, 4]))
    with pytest.raises(DataError, match="after the first 3 rows there is only one class: the rows are order"):
        divide(np.array([0, 0, 0, 1, 1, 1]), data)
    assert divide(np.array([2, 0, 0, 1, 0, 1]), data)[1].tolist() == [0, 1, 2]
