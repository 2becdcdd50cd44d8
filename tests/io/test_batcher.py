"""Batches have every row once, with little padding, in an order that can be resumed exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.io.batcher import Batch, Batches
from recurra.io.examples import Examples


def made(lengths: list[int], seed: int = 0, classes: int = 0) -> Examples:
    random = np.random.default_rng(seed)
    ids = [random.integers(1, 90_000, length) for length in lengths]
    labels: Any = random.integers(0, 2, len(lengths))
    if classes:
        labels = random.integers(0, 2, (len(lengths), classes)).astype(np.float32)
    return Examples.from_arrays(ids, labels)


def same(one: Batch, other: Batch) -> bool:
    assert one.labels is not None
    assert other.labels is not None
    return (
        torch.equal(one.tokens, other.tokens)
        and torch.equal(one.lengths, other.lengths)
        and torch.equal(one.labels, other.labels)
        and np.array_equal(one.rows, other.rows)
    )


lengths = st.lists(st.integers(1, 12), min_size=1, max_size=60)


@given(lengths, st.integers(1, 9), st.booleans(), st.integers(1, 4), st.integers(0, 3), st.data())
@settings(max_examples=100, deadline=None)
def test_every_chosen_row_occurs_once_unchanged(
    lengths: list[int], size: int, shuffle: bool, bucket: int, classes: int, data: st.DataObject
) -> None:
    examples = made(lengths, classes=classes)
    rows = np.array(
        data.draw(st.lists(st.integers(0, len(lengths) - 1), unique=True, max_size=len(lengths))), np.int64
    )
    batches = Batches(examples, rows, size, shuffle=shuffle, seed=5, bucket=bucket)
    result = list(batches.epoch(2))
    assert len(result) == len(batches)
    assert sorted(row for batch in result for row in batch.rows) == sorted(rows)
    assert sum(int(batch.lengths.sum()) for batch in result) == batches.tokens_in_epoch
    assert sorted(len(batch.rows) for batch in result)[1:] == [size] * (len(result) - 1)
    for batch in result:
        assert batch.tokens.dtype == batch.lengths.dtype == torch.int64
        assert batch.tokens.shape == (len(batch.rows), max(batch.lengths.tolist()))
        assert batch.labels is not None
        assert examples.labels is not None
        assert batch.labels.numpy().dtype == examples.labels.dtype
        assert batch.labels.tolist() == examples.labels[batch.rows].tolist()
        for row, tokens, length in zip(batch.rows, batch.tokens.tolist(), batch.lengths, strict=True):
            ids = examples.ids(int(row)).tolist()
            assert length == len(ids)
            assert tokens == ids + [0] * (len(tokens) - len(ids))


@given(lengths, st.integers(1, 9), st.booleans(), st.integers(0, 70), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_an_epoch_resumes_at_any_batch(
    lengths: list[int], size: int, shuffle: bool, start: int, seed: int
) -> None:
    examples = made(lengths)
    whole = list(Batches(examples, None, size, shuffle=shuffle, seed=seed).epoch(3))
    rest = list(Batches(examples, None, size, shuffle=shuffle, seed=seed).epoch(3, start=start))
    assert len(rest) == max(0, len(whole) - start)
    assert all(map(same, whole[start:], rest))


def test_skipped_batches_are_not_read() -> None:
    examples = made([3] * 40)
    batches = Batches(examples, None, 4, shuffle=True)
    last = list(batches.epoch(0))[9]
    needed = np.zeros(len(examples.flat), bool)
    for row in last.rows:
        needed[examples.offsets[row] : examples.offsets[row + 1]] = True
    examples.flat = np.where(needed, examples.flat, -1)
    assert torch.equal(next(batches.epoch(0, start=9)).tokens, last.tokens)


def test_seed_and_epoch_decide_the_order() -> None:
    examples = made(list(range(1, 31)) * 4)

    def order(seed: int, epoch: int) -> list[int]:
        return [
            int(row)
            for batch in Batches(examples, None, 8, shuffle=True, seed=seed).epoch(epoch)
            for row in batch.rows
        ]

    orders = [order(0, 0), order(0, 1), order(1, 0), order(1, 1)]
    assert len({tuple(one) for one in orders}) == 4
    assert order(1, 1) == orders[3]


def test_rows_of_a_shuffled_batch_change_with_the_epoch() -> None:
    # Not the batches alone: the same texts must not meet every time.
    batches = Batches(made([5] * 64), None, 8, shuffle=True)
    together = [{frozenset(batch.rows.tolist()) for batch in batches.epoch(epoch)} for epoch in range(2)]
    assert not together[0] & together[1]


def test_batches_of_a_bucket_are_not_ordered_by_length() -> None:
    longest = [b.tokens.shape[1] for b in Batches(made(list(range(1, 129))), None, 4, shuffle=True).epoch(0)]
    assert longest != sorted(longest)


def test_buckets_have_little_padding() -> None:
    random = np.random.default_rng(0)
    examples = made(np.minimum(500, random.lognormal(5, 0.8, 4_000).astype(int) + 1).tolist())

    def padded(bucket: int, shuffle: bool = True) -> float:
        batches = Batches(examples, None, 32, shuffle=shuffle, bucket=bucket)
        return 1 - batches.tokens_in_epoch / sum(batch.tokens.numel() for batch in batches.epoch(0))

    assert padded(1) > 0.5
    assert padded(50) < 0.05
    assert padded(1, shuffle=False) < 0.02


def test_without_shuffling_rows_are_ordered_by_length_and_number() -> None:
    batches = Batches(made([2, 1, 2, 3, 1]), None, 2)
    assert [batch.rows.tolist() for batch in batches.epoch(0)] == [[1, 4], [0, 2], [3]]
    assert [batch.rows.tolist() for batch in batches.epoch(7)] == [[1, 4], [0, 2], [3]]


def test_labels_may_be_absent() -> None:
    examples = Examples.from_arrays([np.array([1, 2])])
    assert next(Batches(examples, None, 4).epoch(0)).labels is None


def test_a_batch_is_not_a_view_of_the_examples() -> None:
    examples = made([3, 3])
    before = examples.flat.copy()
    batch = next(Batches(examples, None, 2).epoch(0))
    batch.tokens.zero_()
    assert batch.labels is not None
    batch.labels.fill_(9)
    assert np.array_equal(examples.flat, before)
    assert examples.labels is not None
    assert 9 not in examples.labels


def test_no_rows_give_no_batches() -> None:
    batches = Batches(made([1, 2]), np.array([], np.int64), 4, shuffle=True)
    assert len(batches) == batches.tokens_in_epoch == len(list(batches.epoch(0))) == 0


def test_invalid_arguments_are_refused() -> None:
    examples = made([1, 2])
    for sizes in ({"batch_size": 0}, {"batch_size": 1, "bucket": 0}):
        with pytest.raises(ValueError, match="1 or more"):
            Batches(examples, None, **sizes)
    for rows in ([2], [-1]):
        with pytest.raises(ValueError, match="between 0 and 1"):
            Batches(examples, np.array(rows), 1)
    with pytest.raises(ValueError, match="negative"):
        Batches(examples, None, 1).epoch(0, start=-1)
