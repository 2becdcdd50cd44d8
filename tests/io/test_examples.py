"""Columns of tokenized texts, and the refusal of columns that do not fit together."""

from __future__ import annotations

import numpy as np
import pytest

from recurra.io.examples import Examples

IDS = [np.array([1, 70_000, 2]), np.array([1]), np.array([3, 4])]


def test_columns_and_defaults() -> None:
    examples = Examples.from_arrays(IDS, np.array([1, 0, 1]), groups=np.array([5, 5, 6]))
    assert len(examples) == 3
    assert examples.lengths.tolist() == [3, 1, 2]
    assert examples.full_lengths.tolist() == [3, 1, 2]
    assert examples.numbers.tolist() == [1, 2, 3]
    assert examples.unknown.tolist() == [0, 0, 0]
    assert [examples.ids(row).tolist() for row in range(3)] == [ids.tolist() for ids in IDS]
    assert examples.ids(0).dtype == np.int32


def test_examples_without_texts() -> None:
    assert len(Examples.from_arrays([])) == 0


@pytest.mark.parametrize("row", [-1, 3])
def test_an_absent_row_is_refused(row: int) -> None:
    with pytest.raises(IndexError):
        Examples.from_arrays(IDS).ids(row)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one token"):
        Examples.from_arrays([np.array([1]), np.array([], int)])
    with pytest.raises(ValueError, match="2 labels"):
        Examples.from_arrays(IDS, np.array([1, 0]))
    with pytest.raises(ValueError, match="at least one token"):
        Examples(np.arange(5), np.array([0, 3, 6]))
