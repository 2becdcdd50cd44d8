"""Document vectors: unit vectors, near those of texts with the same n-grams; time limits; other texts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recurra.tasks.classification import document_vectors
from recurra.tasks.classification.document_vectors import DocumentVectors

TOPICS, ROWS, WORDS = 3, 20, 8
TRUTH = np.repeat(np.arange(TOPICS), ROWS)


def texts(seed: int = 0) -> csr_matrix:
    """Texts of three topics: half of the eight words of the topic, and some of the other words."""
    random = np.random.default_rng(seed)
    chances = np.where(np.repeat(np.arange(TOPICS), WORDS) == TRUTH[:, None], 0.5, 0.05)
    return csr_matrix((random.random(chances.shape) < chances).astype(np.float32))


def learned(epochs: int = 60) -> DocumentVectors:
    return DocumentVectors.learn(texts(), np.ones(TOPICS * WORDS), size=12, epochs=epochs)


def nearest_topic(vectors: np.ndarray, of: np.ndarray) -> np.ndarray:
    centres = np.stack([of[topic == TRUTH].mean(axis=0) for topic in range(TOPICS)])
    return (vectors @ centres.T).argmax(axis=1)


def test_texts_with_the_same_words_have_similar_vectors() -> None:
    found = learned()
    for vectors in (found.texts, found.ngrams):
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-4)
    assert (nearest_topic(found.texts, found.texts) == TRUTH).mean() > 0.95
    words = nearest_topic(found.ngrams, found.texts)
    assert (words == np.repeat(np.arange(TOPICS), WORDS)).mean() > 0.9


def test_a_text_that_was_not_there_has_the_vector_of_its_words_alone() -> None:
    found, others = learned(), texts(seed=1)
    vectors = found.infer(others)
    assert (nearest_topic(vectors, found.texts) == TRUTH).mean() > 0.9
    np.testing.assert_array_equal(found.infer(others[5:7]), vectors[5:7])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-4)


def test_the_same_texts_have_the_same_vectors() -> None:
    one, other = learned(3), learned(3)
    np.testing.assert_array_equal(one.texts, other.texts)
    np.testing.assert_array_equal(one.ngrams, other.ngrams)


def test_ngrams_without_importance_are_not_drawn() -> None:
    importance = np.ones(TOPICS * WORDS)
    importance[:WORDS] = 0  # the words of the first topic
    found = DocumentVectors.learn(texts(), importance, size=12, epochs=2)
    untouched = DocumentVectors.learn(texts(), np.zeros(TOPICS * WORDS), size=12, epochs=2)
    np.testing.assert_array_equal(found.ngrams[:WORDS], untouched.ngrams[:WORDS])
    assert np.abs(found.ngrams[WORDS:] - untouched.ngrams[WORDS:]).max() > 0.01


def test_drawn_ngrams_are_as_many_as_wanted() -> None:
    random = np.random.default_rng(0)
    frequencies, importance = random.integers(1, 1_000, 500), random.random(500) ** 3
    chances = document_vectors._chances(frequencies, importance, 20_000.0)
    assert frequencies @ chances == pytest.approx(20_000)
    few = chances < 1
    np.testing.assert_allclose(chances[few] / importance[few], (chances[few] / importance[few])[0])
    assert (document_vectors._chances(frequencies, importance, 1e9) == 1).all()


def test_the_time_limits_the_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([10.0, 10.5])
    monkeypatch.setattr(document_vectors.time, "perf_counter", lambda: next(clock))
    limited = DocumentVectors.learn(texts(), np.ones(TOPICS * WORDS), size=12, epochs=60, seconds=1.6)
    assert limited.epochs == 3
    np.testing.assert_array_equal(limited.texts, learned(3).texts)  # the trial leaves nothing behind


def test_without_ngrams_there_are_random_vectors() -> None:
    found = DocumentVectors.learn(csr_matrix((4, 0), dtype=np.float32), np.zeros(0), size=3, epochs=2)
    np.testing.assert_allclose(np.linalg.norm(found.texts, axis=1), 1, rtol=1e-5)
    assert found.infer(csr_matrix((2, 0), dtype=np.float32)).shape == (2, 3)
