"""The baseline of language models: interpolated modified Kneser-Ney n-grams, counted with sorted arrays.

Chen & Goodman (1999), "An empirical study of smoothing techniques for language modeling", section 3. N-grams
at the beginning of a text keep their counts, since no token precedes them (as in SRILM and KenLM).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["NgramModel", "unigram_log_probability"]

_FALLBACK = (0.5, 1.0, 1.5)  # as in KenLM, if there are too few n-grams to estimate discounts
_CHUNK = 1 << 20  # tokens that are processed at once

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Order:
    """The n-grams of one length. ``keys`` are (index of the context) * V + word, sorted."""

    keys: Ids
    counts: Ids
    """Number of different preceding tokens; at the highest order, number of occurrences."""
    discounts: Floats
    """Of shape (4,): discounts of counts 0, 1, 2, and 3 or more."""
    total: Floats
    """Sum of the counts of each context."""
    backoff: Floats
    """Share of the probability of each context that is given to the lower order."""


class NgramModel:
    """An n-gram model ``p(w | preceding n - 1 tokens)``; contexts do not cross the start of a text.

    Args:
        order: ``n``, at least 2.
        vocab_size: ``V``; token 0 is padding and has probability 0.
        end: the token that starts a text and ends the previous one.

    Example:
        >>> model = NgramModel(3, vocab_size=6).fit(np.array([1, 2, 3, 1, 2, 3, 1, 2, 4, 1]))
        >>> np.exp(model.log_probability(np.array([1, 2, 3]))).round(2).tolist()
        [0.6, 0.51]
    """

    def __init__(self, order: int, vocab_size: int, end: int = 1) -> None:
        if order < 2:
            raise ValueError(f"order must be at least 2, got {order}")
        self.order = order
        self.vocab_size = vocab_size
        self.end = end
        self._orders: list[_Order] = []

    def fit(self, stream: NDArray[np.integer]) -> NgramModel:
        """Counts the n-grams of a stream (N,): each text starts with ``end``, and ``end`` ends the stream."""
        tokens = self._checked(stream)
        grams = tokens  # index of the n-gram that ends at each position; of a unigram: its token
        keys = np.arange(self.vocab_size)
        counts = np.bincount(tokens[1:], minlength=self.vocab_size)
        starts_text = np.zeros(self.vocab_size, bool)
        contexts = 1
        self._orders = []
        for length in range(2, self.order + 1):
            context = self._contexts(grams, tokens, length)
            ends = np.flatnonzero(context >= 0)
            longer_keys, first, index, longer_counts = np.unique(
                context[ends] * self.vocab_size + tokens[ends],
                return_index=True,
                return_inverse=True,
                return_counts=True,
            )
            predecessors = np.bincount(grams[ends[first]], minlength=len(keys))
            self._orders.append(self._smoothed(keys, np.where(starts_text, counts, predecessors), contexts))
            contexts, keys, counts = len(keys), longer_keys, longer_counts
            starts_text = tokens[ends[first] - length + 1] == self.end
            grams = np.full(len(tokens), -1, np.int64)
            grams[ends] = index.reshape(-1)
        self._orders.append(self._smoothed(keys, counts, contexts))
        return self

    def log_probability(self, stream: NDArray[np.integer]) -> Floats:
        """Returns the natural log-probability, of shape (N - 1,), of each token of a stream but the first."""
        tokens = self._checked(stream)
        result = np.empty(len(tokens) - 1)
        for start in range(1, len(tokens), _CHUNK):
            # A chunk includes the tokens before it as context.
            first = max(0, start - self.order)
            chunk = grams = tokens[first : start + _CHUNK]
            contexts = [np.zeros(len(chunk) - 1, np.int64)]
            for length in range(2, self.order + 1):
                contexts.append(self._contexts(grams, chunk, length)[1:])
                grams = self._grams(grams, chunk, length)
            log_p = np.log(self._probability(contexts, chunk[1:]))
            result[start - 1 : start - 1 + _CHUNK] = log_p[start - first - 1 :]
        return result

    def _probability(self, contexts: list[Ids], words: Ids) -> Floats:
        """Adds, from the lowest order up, the discounted share and the backoff share of the lower order."""
        p = np.full(len(words), 1.0 / (self.vocab_size - 1))
        for order, context in zip(self._orders, contexts, strict=True):
            if not len(order.keys):  # all texts are shorter
                break
            known = context >= 0
            known[known] = order.total[context[known]] > 0
            index, present = _look_up(order.keys, context * self.vocab_size + words)
            count = np.where(present & known, order.counts[index], 0)
            discounted = np.maximum(count - order.discounts[np.minimum(count, 3)], 0.0)
            row = np.where(known, context, 0)
            total = np.where(known, order.total[row], 1.0)
            p = np.where(known, discounted / total + order.backoff[row] * p, p)
        return p

    def _contexts(self, grams: Ids, tokens: Ids, length: int) -> Ids:
        """Returns the index of the context (``length - 1`` tokens) of each position; -1 if there is none."""
        context = np.full(len(tokens), -1, np.int64)
        context[1:] = grams[:-1]
        if length > 2:  # an end token is a context only on its own, as the start of a text
            context[1:][tokens[:-1] == self.end] = -1
        return context

    def _grams(self, grams: Ids, tokens: Ids, length: int) -> Ids:
        """Returns the index of the known n-gram of ``length`` that ends at each position; -1 if none."""
        context = self._contexts(grams, tokens, length)
        index, present = _look_up(self._orders[length - 1].keys, context * self.vocab_size + tokens)
        return np.where(present & (context >= 0), index, -1)

    def _smoothed(self, keys: Ids, counts: Ids, contexts: int) -> _Order:
        n = [int(np.count_nonzero(counts == value)) for value in range(1, 5)]
        discounts = np.array([0.0, *_discounts(n)])
        context = keys // self.vocab_size
        total = np.asarray(np.bincount(context, counts, minlength=contexts), np.float64)
        discounted = np.bincount(context, discounts[np.minimum(counts, 3)], minlength=contexts)
        backoff = np.divide(discounted, total, out=np.ones_like(total), where=total > 0)
        return _Order(keys, counts, discounts, total, backoff)

    def _checked(self, stream: NDArray[np.integer]) -> Ids:
        tokens = np.asarray(stream, np.int64)
        if len(tokens) < 2 or tokens.min() < 1 or tokens.max() >= self.vocab_size:
            raise ValueError(f"a stream must have at least 2 tokens, from 1 to {self.vocab_size - 1}")
        return tokens


def unigram_log_probability(counts: NDArray[np.integer], tokens: NDArray[np.integer]) -> Floats:
    """Returns the log relative frequency (N,) of tokens (N,) with add-one smoothing except for padding.

    ``counts`` are those of the training set, of shape (V,).
    """
    smoothed = counts.astype(np.float64) + 1
    smoothed[0] = 0
    with np.errstate(divide="ignore"):
        log_probability: Floats = np.log(smoothed / smoothed.sum())[tokens]
    return log_probability


def _look_up(keys: Ids, queries: Ids) -> tuple[Ids, NDArray[np.bool_]]:
    """Returns the index of each query in the sorted ``keys``, and whether it is present."""
    if not len(keys):
        return np.zeros(len(queries), np.int64), np.zeros(len(queries), bool)
    index = np.minimum(np.searchsorted(keys, queries), len(keys) - 1)
    return index, keys[index] == queries


def _discounts(n: list[int]) -> tuple[float, ...]:
    """Returns the discounts of counts 1, 2, and 3 or more (eq. 26); ``n``: n-grams with counts 1 to 4."""
    if min(n) == 0:
        return _FALLBACK
    share = n[0] / (n[0] + 2 * n[1])
    discounts = tuple(k - (k + 1) * share * n[k] / n[k - 1] for k in (1, 2, 3))
    return discounts if all(0 <= d <= k for k, d in enumerate(discounts, 1)) else _FALLBACK
