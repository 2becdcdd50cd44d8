"""Word vectors from the texts at hand: words with the same neighbours get similar vectors, in seconds.

Positive pointwise mutual information of words and their neighbours, factorized by a truncated singular value
decomposition: Levy, Goldberg and Dagan, "Improving Distributional Similarity with Lessons Learned from Word
Embeddings", TACL 2015, with the weights of distances of GloVe and context counts to the power 0.75.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recurra.io.examples import Examples

__all__ = ["cooccurrence_vectors"]

_WINDOW = 5  # words to each side; the neighbour at distance d counts 1 / d
_CONTEXT_POWER = 0.75
_SIZE = 0.1  # standard deviation of a vector's numbers
_TOKENS = 6_000_000  # tokens that are read: some 10 s and 400 MB


def cooccurrence_vectors(
    examples: Examples, rows: NDArray[np.int64], vocabulary: int, features: int, *, specials: int = 3
) -> NDArray[np.float32]:
    """Returns a vector for each word, ``(V, E)``, all of about the same length; that of padding is zero.

    A word without neighbours, and each of the first ``specials`` ids, has a random vector. The same texts
    give the same vectors. Of more than 6 million tokens, random texts are read.

    Args:
        examples: tokenized texts.
        rows: ``(n,)`` the rows to read, sorted.
        vocabulary: ``V``; ids are 0 (padding) to V - 1.
        features: ``E``.
        specials: the number of the first ids that are no words.

    Example:
        >>> texts = Examples.from_arrays([np.array([3, 5, 4, 5]), np.array([6, 7, 6, 7])])
        >>> vectors = cooccurrence_vectors(texts, np.arange(2), 8, 2)
        >>> cosine = vectors @ vectors.T / np.sum(vectors[3] ** 2)
        >>> bool(cosine[3, 4] > 0.9 > cosine[3, 6])
        True
    """
    from sklearn.utils.extmath import randomized_svd

    vectors = np.random.default_rng(0).normal(0, _SIZE, (vocabulary, features)).astype(np.float32)
    vectors[0] = 0
    counts = _neighbours(*_tokens_of(examples, rows), vocabulary, specials)
    information = _positive_information(counts)
    components = min(features, vocabulary - 1)
    if information.nnz == 0:
        return vectors
    left, values, _ = randomized_svd(information, components, n_iter=2, random_state=0)
    found = left * np.sqrt(values)
    size = np.linalg.norm(found, axis=1)
    known = np.flatnonzero(size > 1e-3 * size.max())  # others are rounding errors
    found = found[known] - found[known].mean(axis=0)
    scale = _SIZE * np.sqrt(features) / np.maximum(np.linalg.norm(found, axis=1), 1e-6)
    vectors[known, components:] = 0
    vectors[known, :components] = found * scale[:, None]
    return vectors


def _tokens_of(examples: Examples, rows: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """The ids of some texts, one text after another, and the lengths of the texts."""
    if examples.lengths[rows].sum(dtype=np.int64) > _TOKENS:
        drawn = np.random.default_rng(0).permutation(rows)
        rows = np.sort(drawn[np.cumsum(examples.lengths[drawn], dtype=np.int64) <= _TOKENS])
    inside = np.zeros(len(examples), bool)
    inside[rows] = True
    return examples.flat[np.repeat(inside, examples.lengths)].astype(np.int64), examples.lengths[rows]


def _neighbours(tokens: NDArray[np.int64], lengths: NDArray[np.int32], V: int, specials: int) -> csr_matrix:
    """The weighted numbers of times that two words are neighbours, ``(V, V)``, symmetric."""
    text = np.repeat(np.arange(len(lengths)), lengths)
    counts = csr_matrix((V, V), dtype=np.float32)
    word = tokens >= specials
    for distance in range(1, _WINDOW + 1):
        pair = (text[distance:] == text[:-distance]) & word[distance:] & word[:-distance]
        left, right = tokens[:-distance][pair], tokens[distance:][pair]
        weights = np.full(len(left), 1 / distance, np.float32)
        counts = counts + csr_matrix((weights, (left, right)), (V, V))
    return counts + counts.T


def _positive_information(counts: csr_matrix) -> csr_matrix:
    """Replaces counts by ``max(0, log(p(w, c) / (p(w) p(c))))``."""
    pairs = counts.tocoo()
    of_word = np.asarray(counts.sum(axis=1), np.float64).ravel()
    of_context = of_word**_CONTEXT_POWER
    of_context /= max(of_context.sum(), 1e-9)
    information = np.log(pairs.data / (of_word[pairs.row] * of_context[pairs.col]))
    kept = information > 0
    values = information[kept].astype(np.float32)
    return csr_matrix((values, (pairs.row[kept], pairs.col[kept])), counts.shape)
