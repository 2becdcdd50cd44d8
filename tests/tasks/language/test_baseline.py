"""Kneser-Ney n-grams: probabilities that sum to one, a plain implementation, the Penn Treebank."""

from __future__ import annotations

import gzip
import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.config import TokenizerConfig
from recurra.io.tokenizer import TextTokenizer
from recurra.tasks.language.baseline import _FALLBACK, NgramModel, unigram_log_probability

V = 8
streams = st.lists(st.lists(st.integers(2, V - 1), max_size=9), min_size=1, max_size=12).map(
    lambda texts: np.array([id for text in texts for id in (1, *text)] + [1])
)


def split(stream: np.ndarray) -> list[list[int]]:
    """Returns the texts of a stream, each with its start and its end."""
    found: list[list[int]] = []
    for token in stream[:-1].tolist():
        if token == 1:
            found.append([1])
        else:
            found[-1].append(token)
    return [[*text, 1] for text in found]


class Plain:
    """The same model with dictionaries, by the published formulas."""

    def __init__(self, order: int, stream: np.ndarray) -> None:
        self.order = order
        raw: list[Counter[tuple[int, ...]]] = [Counter() for _ in range(order + 1)]
        for text in split(stream):
            for end in range(1, len(text)):
                for n in range(1, min(order, end + 1) + 1):
                    raw[n][tuple(text[end - n + 1 : end + 1])] += 1
        self.counts: list[dict[tuple[int, ...], int]] = [{} for _ in range(order + 1)]
        for n in range(1, order + 1):
            before: dict[tuple[int, ...], set[int]] = defaultdict(set)
            if n < order:
                for gram in raw[n + 1]:
                    before[gram[1:]].add(gram[0])
            for gram, count in raw[n].items():
                plain = n == order or (n > 1 and gram[0] == 1)
                self.counts[n][gram] = count if plain else len(before[gram])
        self.discounts = [self._discounts(n) for n in range(order + 1)]

    def _discounts(self, n: int) -> tuple[float, ...]:
        of = Counter(self.counts[n].values())
        if not all(of[k] for k in (1, 2, 3, 4)):
            return _FALLBACK
        y = of[1] / (of[1] + 2 * of[2])
        found = tuple(k - (k + 1) * y * of[k + 1] / of[k] for k in (1, 2, 3))
        return found if all(0 <= d <= k for k, d in enumerate(found, 1)) else _FALLBACK

    def p(self, word: int, context: tuple[int, ...]) -> float:
        n = len(context) + 1
        lower = self.p(word, context[1:]) if context else 1 / (V - 1)
        same = [c for gram, c in self.counts[n].items() if gram[:-1] == context]
        if not sum(same):
            return lower
        d = self.discounts[n]
        count = self.counts[n].get((*context, word), 0)
        own = max(count - d[min(count, 3) - 1], 0) if count else 0.0
        kept = sum(d[min(c, 3) - 1] for c in same if c)
        return (own + kept * lower) / sum(same)


@settings(max_examples=40)
@given(streams, streams, st.integers(2, 5))
def test_probabilities_equal_those_of_a_plain_implementation(
    train: np.ndarray, test: np.ndarray, order: int
) -> None:
    model, plain = NgramModel(order, V).fit(train), Plain(order, train)
    expected = [
        plain.p(text[end], tuple(text[max(0, end - order + 1) : end]))
        for text in split(test)
        for end in range(1, len(text))
    ]
    np.testing.assert_allclose(np.exp(model.log_probability(test)), expected, rtol=1e-10)


@settings(max_examples=40)
@given(streams, st.lists(st.integers(2, V - 1), max_size=6), st.integers(2, 5))
def test_probabilities_after_any_context_sum_to_one(
    train: np.ndarray, context: list[int], order: int
) -> None:
    model = NgramModel(order, V).fit(train)
    p = [math.exp(model.log_probability(np.array([1, *context, word]))[-1]) for word in range(1, V)]
    assert sum(p) == pytest.approx(1)
    assert min(p) > 0


def test_a_long_stream_is_processed_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = np.r_[1, np.random.default_rng(1).integers(1, V, 300), 1]
    model = NgramModel(4, V).fit(stream)
    whole = model.log_probability(stream)
    monkeypatch.setattr("recurra.tasks.language.baseline._CHUNK", 7)
    np.testing.assert_array_equal(model.log_probability(stream), whole)


@pytest.mark.parametrize("stream", [[], [1], [1, 0], [1, V]])
def test_an_invalid_stream_is_an_error(stream: list[int]) -> None:
    with pytest.raises(ValueError, match="a stream must have"):
        NgramModel(3, V).fit(np.array(stream, np.int64))


def test_unigram_frequencies() -> None:
    found = unigram_log_probability(np.array([7, 2, 0, 5]), np.array([1, 2, 3]))
    np.testing.assert_allclose(np.exp(found), [0.3, 0.1, 0.6])


@pytest.mark.data
def test_perplexity_of_the_penn_treebank_is_the_published_one(data_folder: Path) -> None:
    """148 and 141 are published for 3- and 5-grams with this smoothing (Mikolov et al. 2011: 141)."""

    def lines(part: str) -> list[str]:
        with gzip.open(data_folder / f"ptb/{part}.txt.gz", "rt") as file:
            return file.read().splitlines()

    config = TokenizerConfig(level="whitespace", vocab_size=10_001, max_tokens=1_000_000)
    tokenizer = TextTokenizer.train(lines("train"), config)
    train, test = (np.r_[np.concatenate(tokenizer.encode(lines(p)).ids), 1] for p in ("train", "test"))
    assert (len(train) - 1, len(test) - 1) == (929_589, 82_430)
    for order, known in ((3, 148.3), (5, 141.2)):
        model = NgramModel(order, tokenizer.vocab_size).fit(train)
        assert math.exp(-model.log_probability(test).mean()) == pytest.approx(known, abs=0.1)
