"""The baseline of language models: interpolated modified Kneser-Ney n-grams, counted with sorted arrays.

Chen & Goodman (1999), "An empirical study of smoothing techniques for language modeling", section 3. N-grams
at the beginning of a text keep their counts, since no token precedes them (as in SRILM and KenLM).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["LanguageBaseline", "NgramModel", "unigram_log_probability"]

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
        self.counts = np.zeros(vocab_size, np.int64)
        """How often each token was a target in ``fit``."""
        self._orders: list[_Order] = []

    def fit(self, stream: NDArray[np.integer]) -> NgramModel:
        """Counts the n-grams of a stream (N,): each text starts with ``end``, and ``end`` ends the stream."""
        tokens = self._checked(stream)
        grams = tokens  # index of the n-gram that ends at each position; of a unigram: its token
        keys = np.arange(self.vocab_size)
        self.counts = counts = np.bincount(tokens[1:], minlength=self.vocab_size)
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

    def joined(self, other: NgramModel) -> NgramModel:
        """Returns the model of the texts of both, which have one vocabulary and order, as `fit` would.

        Raises:
            ValueError: the models differ in vocabulary or order.
        """
        if (self.order, self.vocab_size, self.end) != (other.order, other.vocab_size, other.end):
            raise ValueError("the models differ in vocabulary or order")
        V, pair = self.vocab_size, (self, other)
        places = [np.arange(V), np.arange(V)]  # of the n-grams of each model in the joined one
        keys = suffixes = firsts = np.arange(V)  # of the joined n-grams of one length
        counts = self.counts + other.counts
        contexts, result = 1, NgramModel(self.order, V, self.end)
        result.counts = counts
        for length in range(2, self.order + 1):
            orders = [model._orders[length - 1] for model in pair]
            both = [place[o.keys // V] * V + o.keys % V for place, o in zip(places, orders, strict=True)]
            longer = np.union1d(*both)
            longer_places = [np.searchsorted(longer, each) for each in both]
            raw = np.zeros(len(longer), np.int64)
            for place, order in zip(longer_places, orders, strict=True):
                raw[place] += order.counts
            context, word = longer // V, longer % V
            longer_suffixes = word if length == 2 else np.searchsorted(keys, suffixes[context] * V + word)
            # Shorter n-grams count the different tokens before them, but at the start of a text.
            at_start = firsts == self.end if length > 2 else np.zeros(V, bool)
            before = np.bincount(longer_suffixes, minlength=len(keys))
            result._orders.append(self._smoothed(keys, np.where(at_start, counts, before), contexts))
            contexts, keys, counts, places = len(keys), longer, raw, longer_places
            suffixes, firsts = longer_suffixes, firsts[context]
        result._orders.append(self._smoothed(keys, counts, contexts))
        return result

    def log_probability(self, stream: NDArray[np.integer]) -> Floats:
        """Returns the natural log-probability, of shape (N - 1,), of each token of a stream but the first."""
        return self.scored(stream)[0]

    def scored(self, stream: NDArray[np.integer]) -> tuple[Floats, Ids]:
        """Returns `log_probability`, and how many of the tokens before are known, from 0 to ``order - 1``."""
        tokens = self._checked(stream)
        result, known = np.empty(len(tokens) - 1), np.empty(len(tokens) - 1, np.int64)
        for start in range(1, len(tokens), _CHUNK):
            # A chunk includes the tokens before it as context.
            first = max(0, start - self.order)
            chunk = grams = tokens[first : start + _CHUNK]
            contexts = [np.zeros(len(chunk) - 1, np.int64)]
            for length in range(2, self.order + 1):
                contexts.append(self._contexts(grams, chunk, length)[1:])
                grams = self._grams(grams, chunk, length)
            p, found = self._probability(contexts, chunk[1:])
            result[start - 1 : start - 1 + _CHUNK] = np.log(p)[start - first - 1 :]
            known[start - 1 : start - 1 + _CHUNK] = found[start - first - 1 :]
        return result, known

    def following(self, tokens: NDArray[np.integer]) -> tuple[Floats, int]:
        """Returns the probability (V,) of each token after the tokens (T,) of a text, and how many are known.

        Example:
            >>> model = NgramModel(3, vocab_size=6).fit(np.array([1, 2, 3, 1, 2, 3, 1, 2, 4, 1]))
            >>> p, known = model.following(np.array([1, 2]))
            >>> p.round(2).tolist(), known
            ([0.0, 0.08, 0.05, 0.51, 0.34, 0.02], 2)
        """
        last = np.asarray(tokens, np.int64)[-self.order :]
        chunk = grams = np.append(last, self.end)  # whatever comes next
        p, known = np.full(self.vocab_size, 1.0 / (self.vocab_size - 1)), -1
        p[0] = 0.0
        for length, order in enumerate(self._orders, 1):
            if not len(order.keys):
                break
            row = 0
            if length > 1:
                row = int(self._contexts(grams, chunk, length)[-1])
                grams = self._grams(grams, chunk, length)
            if row < 0 or order.total[row] <= 0:
                continue
            begin, end = np.searchsorted(order.keys, [row * self.vocab_size, (row + 1) * self.vocab_size])
            words = order.keys[begin:end] - row * self.vocab_size
            counts = order.counts[begin:end]
            p *= order.backoff[row]
            p[words] += np.maximum(counts - order.discounts[np.minimum(counts, 3)], 0.0) / order.total[row]
            known += 1
        return p, max(known, 0)

    @property
    def sizes(self) -> list[int]:
        """The number of n-grams of each length."""
        return [len(order.keys) for order in self._orders]

    def state(self) -> dict[str, NDArray[Any]]:
        """Returns the n-grams and their counts by name, for a file; the rest follows from them."""
        arrays: dict[str, NDArray[Any]] = {"tokens": self.counts}
        for length, order in enumerate(self._orders, 1):
            if length > 1:  # of unigrams they are all tokens
                arrays[f"keys_{length}"] = order.keys
            arrays[f"counts_{length}"] = order.counts.astype(np.uint32)
        return arrays

    @classmethod
    def from_state(
        cls, order: int, vocab_size: int, end: int, arrays: Mapping[str, NDArray[Any]]
    ) -> NgramModel:
        """Returns the model whose `state` was ``arrays``.

        Raises:
            KeyError: an array is missing.
            ValueError: the arrays are not those of a model of this order and vocabulary.
        """
        if not 2 <= order <= 32:
            raise ValueError(f"the order is {order}")
        model, contexts = cls(order, vocab_size, end), 1
        model.counts = np.asarray(arrays["tokens"], np.int64)
        if model.counts.shape != (vocab_size,) or (model.counts < 0).any():
            raise ValueError("the counts are not those of the tokens")
        for length in range(1, order + 1):
            counts = np.asarray(arrays[f"counts_{length}"]).astype(np.int64)
            keys = np.arange(vocab_size) if length == 1 else np.asarray(arrays[f"keys_{length}"], np.int64)
            if keys.ndim != 1 or keys.shape != counts.shape or (counts < 0).any():
                raise ValueError(f"the {length}-grams do not fit their counts")
            if len(keys) and (keys[0] < 0 or keys[-1] >= contexts * vocab_size or (np.diff(keys) <= 0).any()):
                raise ValueError(f"the {length}-grams are not in order")
            model._orders.append(model._smoothed(keys, counts, contexts))
            contexts = len(keys)
        return model

    def _probability(self, contexts: list[Ids], words: Ids) -> tuple[Floats, Ids]:
        """Adds, from the lowest order up, the discounted share and the backoff share of the lower order."""
        p, longest = np.full(len(words), 1.0 / (self.vocab_size - 1)), np.full(len(words), -1, np.int64)
        for order, context in zip(self._orders, contexts, strict=True):
            if not len(order.keys):  # all texts are shorter
                break
            known = context >= 0
            known[known] = order.total[context[known]] > 0
            longest += known
            index, present = _look_up(order.keys, context * self.vocab_size + words)
            count = np.where(present & known, order.counts[index], 0)
            discounted = np.maximum(count - order.discounts[np.minimum(count, 3)], 0.0)
            row = np.where(known, context, 0)
            total = np.where(known, order.total[row], 1.0)
            p = np.where(known, discounted / total + order.backoff[row] * p, p)
        return p, np.maximum(longest, 0)

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


@dataclass(frozen=True)
class LanguageBaseline:
    """The n-gram model and the token counts of the training part."""

    ngrams: NgramModel
    counts: NDArray[np.int64]
    note: str


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
