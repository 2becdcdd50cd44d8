"""N-gram counts equal scikit-learn's on the same words; Chinese by character."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import CountVectorizer

from recurra.evaluate.ngrams import NgramCounter, words_of
from recurra.evaluate.words import join_words, space_between

lines = st.lists(st.text("abc ,", max_size=25), min_size=1, max_size=12)


def table(counter: NgramCounter, texts: list[str]) -> list[dict[str, int]]:
    """Counts by the n-gram's words; ``names`` writes "a , b" as "a, b", so words are put apart again."""
    counts = counter.transform(texts).toarray()
    names = [" ".join(words_of(name)) for name in counter.names(range(counter.features))]
    return [{name: int(n) for name, n in zip(names, row, strict=True) if n} for row in counts]


@settings(max_examples=50, deadline=None)
@given(lines, lines, st.integers(1, 3), st.integers(1, 3))
def test_counts_equal_scikit_learns(train: list[str], new: list[str], longest: int, min_rows: int) -> None:
    ours = NgramCounter(longest, min_rows)
    fitted = ours.fit_transform(train)
    theirs = CountVectorizer(analyzer=lambda t: ngrams(words_of(t), longest), min_df=min_rows)
    try:
        expected = theirs.fit_transform(train) if min_rows <= len(train) else None
    except ValueError:  # scikit-learn refuses an empty vocabulary
        expected = None
    if expected is None:
        assert ours.features == 0
        assert fitted.shape == (len(train), 0)
        return
    names = theirs.get_feature_names_out()
    want = [
        {str(n): int(c) for n, c in zip(names, row, strict=True) if c}
        for row in theirs.transform(new).toarray()
    ]
    assert table(ours, new) == want
    assert (fitted != ours.transform(train)).nnz == 0
    assert fitted.sum() == expected.sum()


def ngrams(words: list[str], longest: int) -> list[str]:
    return [" ".join(words[i : i + n]) for n in range(1, longest + 1) for i in range(len(words) - n + 1)]


def test_no_ngram_reaches_over_two_texts() -> None:
    counter = NgramCounter(2, 1)
    counter.fit_transform(["a b", "c d"])
    assert "b c" not in counter.names(range(counter.features))


def test_chinese_by_character_beside_words() -> None:
    assert words_of("iPhone不错,5星！") == ["iphone", "不", "错", ",", "5", "星", "！"]
    counter = NgramCounter(3, 1)
    counter.fit_transform(["很不错"])
    assert set(counter.names(range(counter.features))) == {"很", "不", "错", "很不", "不错", "很不错"}


def test_empty_texts_have_empty_rows() -> None:
    counter = NgramCounter(3, 1)
    assert counter.fit_transform(["", "a", ""]).toarray().tolist() == [[0], [1], [0]]
    assert counter.transform([]).shape == (0, 1)


def test_counts_of_a_long_text() -> None:
    rng = np.random.default_rng(0)
    words = rng.choice(list("abcdefg"), 5000).tolist()
    counter = NgramCounter(3, 1)
    counter.fit_transform([" ".join(words)])
    assert table(counter, [" ".join(words)])[0] == Counter(ngrams(words, 3))


@pytest.mark.parametrize(
    ("words", "line"),
    [(["(", "a", ")", "b", "."], "(a) b."), (["5", "星", "级"], "5 星级"), (["", "a"], "a"), ([], "")],
)
def test_words_joined_as_a_reader_expects(words: list[str], line: str) -> None:
    assert join_words(words) == line


def test_no_space_next_to_nothing() -> None:
    assert not space_between("", "a")
