"""Perplexity and its interval."""

from __future__ import annotations

import math

import numpy as np
import pytest

from recurra.errors import DataError
from recurra.tasks.language.figures import blocks_of, compare_perplexity, perplexity


def test_the_perplexity_of_equal_probabilities_is_their_number() -> None:
    found = perplexity(np.full(60, -math.log(8)), np.arange(0, 61, 10))
    assert (found.value, found.bits, found.tokens) == (pytest.approx(8), pytest.approx(3), 60)
    assert (found.low, found.high) == (pytest.approx(8), pytest.approx(8))


def test_the_interval_has_its_nominal_coverage() -> None:
    """Tokens within blocks are correlated: an interval over tokens would be far too narrow."""
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(400):
        common = np.repeat(random.normal(0, 0.5, 30), 20)
        found = perplexity(-(2 + common + random.normal(0, 1, 600)), np.arange(0, 601, 20))
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= math.exp(2) <= found.high
    assert 0.92 <= hits / 400 <= 0.98


def test_a_comparison_is_paired() -> None:
    random = np.random.default_rng(2)
    hard = random.normal(-5, 2, 1000)
    blocks = np.arange(0, 1001, 10)
    found = compare_perplexity(hard + 0.1, hard, blocks, "the GRU", "5-grams")
    assert found.ratio == pytest.approx(math.exp(-0.1))
    assert found.shown
    assert found.sentence == "the GRU's perplexity is 0.90 times that of 5-grams (0.90 to 0.90): it is ahead"
    back = compare_perplexity(hard, hard + 0.1, blocks, "the GRU", "5-grams")
    assert back.sentence.endswith("it is behind")
    noise = random.normal(0, 1, 1000)
    none = compare_perplexity(hard, hard + noise - noise.mean(), blocks)
    assert not none.shown
    assert none.sentence.startswith("no difference shown between the model and the baseline")


def test_one_block_has_no_interval() -> None:
    found = perplexity(np.array([-1.0, -2.0]), np.array([0, 2]))
    assert (found.low, found.high) == (None, None)
    assert found.value == pytest.approx(math.exp(1.5))
    assert not compare_perplexity(np.array([-1.0]), np.array([-2.0]), np.array([0, 1])).shown


def test_very_small_probabilities_do_not_overflow() -> None:
    assert math.isfinite(perplexity(np.full(4, -1e6), np.array([0, 2, 4])).value)


def test_no_tokens_are_an_error() -> None:
    with pytest.raises(DataError, match="no token"):
        perplexity(np.zeros(0), np.array([0]))


def test_blocks_contain_whole_texts_of_about_equal_size() -> None:
    random = np.random.default_rng(3)
    starts = np.r_[0, np.cumsum(random.integers(1, 40, 2000))]
    blocks = blocks_of(starts)
    assert len(blocks) == 201
    assert set(blocks) <= set(starts)
    assert np.diff(blocks).max() < 2 * starts[-1] / 200
    assert blocks_of(starts[:4]).tolist() == starts[:4].tolist()
