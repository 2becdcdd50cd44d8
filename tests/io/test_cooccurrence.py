"""Word vectors from neighbours: similar for words in the same places, and the same each time."""

from __future__ import annotations

import numpy as np
import pytest

from recurra.io import cooccurrence
from recurra.io.cooccurrence import cooccurrence_vectors
from recurra.io.examples import Examples

SPECIALS, GOOD, FINE, BAD, FILM, BOOK = 3, 3, 4, 5, 6, 7


def texts() -> Examples:
    """Two words for films, which begin with the start token, and one for books."""
    film = [np.array([1, word, FILM, word, FILM]) for word in (GOOD, FINE)]
    return Examples.from_arrays([*film, np.array([1, BAD, BOOK, BAD, BOOK])] * 3)


def cosine(vectors: np.ndarray, first: int, second: int) -> float:
    a, b = vectors[first], vectors[second]
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_words_with_the_same_neighbours_are_similar() -> None:
    vectors = cooccurrence_vectors(texts(), np.arange(9), 10, 4)
    assert vectors.dtype == np.float32
    assert cosine(vectors, GOOD, FINE) > 0.9 > cosine(vectors, GOOD, BAD)


def test_padding_is_zero_and_what_has_no_neighbours_is_random() -> None:
    vectors = cooccurrence_vectors(texts(), np.arange(9), 10, 40)  # more numbers than words
    assert not vectors[0].any()
    assert np.linalg.matrix_rank(vectors[[1, 2, 8, 9]]) == 4
    lengths = np.linalg.norm(vectors[1:], axis=1)
    assert 0.3 < lengths.min() <= lengths.max() < 1


def test_rows_that_are_not_asked_for_have_no_part() -> None:
    rows = np.array([0, 1, 3, 4])
    found = cooccurrence_vectors(texts(), rows, 10, 4)
    alone = cooccurrence_vectors(
        Examples.from_arrays([texts().ids(row) for row in rows]), np.arange(4), 10, 4
    )
    np.testing.assert_array_equal(found, alone)


def test_texts_of_one_word_give_random_vectors() -> None:
    vectors = cooccurrence_vectors(Examples.from_arrays([np.array([1, 5])] * 3), np.arange(3), 10, 4)
    assert np.isfinite(vectors).all()
    assert np.linalg.norm(vectors[5]) > 0


def test_many_tokens_are_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cooccurrence, "_TOKENS", 30)
    found = [cooccurrence_vectors(texts(), np.arange(9), 10, 4) for _ in range(2)]
    np.testing.assert_array_equal(*found)
    assert np.isfinite(found[0]).all()
