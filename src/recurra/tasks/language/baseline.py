"""The language model's baseline: interpolated modified Kneser-Ney n-grams, counted with sorted arrays.

Chen & Goodman (1999), "An empirical study of smoothing techniques for language modeling", section 3; n-grams
that begin a text keep their counts, since nothing stands before them (as in SRILM and KenLM).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["NgramModel", "unigram_log_probability"]

_FALLBACK = (0.5, 1.0, 1.5)  # KenLM's, where there are too few n-grams to estimate discounts from
_AT_ONCE = 1 << 20

Ids = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class _Order:
    """The n-grams of one length: ``keys`` are (context's number) * V + word, ascending."""

    keys: Ids
    counts: Ids
    """Adjusted: how many different tokens stand before it; how often it occurs at the highest order."""
    discounts: Floats
    """``(4,)`` of counts 0, 1, 2, and 3 or more."""
    total: Floats
    """By context: the sum of its counts."""
    kept_back: Floats
    """By context: the share of probability that goes to the lower order."""


class NgramModel:
    """``p(w | the n - 1 tokens before)`` of texts in one stream; tokens of other texts are no context.

    Args:
        order: ``n``, at least 2.
        vocab_size: ``V``; token 0 is padding and has no probability.
        end: the token that begins a text and ends the one before.

    Example:
        >>> model = NgramModel(3, vocab_size=6).fit(np.array([1, 2, 3, 1, 2, 3, 1, 2, 4, 1]))
        >>> p = model.distribution(np.array([2]))
        >>> int(p.argmax()), round(float(p.sum()), 6)
        (3, 1.0)
    """

    def __init__(self, order: int, vocab_size: int, end: int = 1) -> None:
        if order < 2:
            raise ValueError(f"order {order} is below 2")
        self.order = order
        self.vocab_size = vocab_size
        self.end = end
        self._orders: list[_Order] = []

    def fit(self, stream: NDArray[np.integer]) -> NgramModel:
        """Counts a stream ``(N,)``: each text begins with ``end``, and one more stands at the very end."""
        tokens = self._checked(stream)
        grams = tokens.copy()  # the number of the n-gram that ends at each place; of the unigram: its token
        raw: list[tuple[Ids, Ids, Ids]] = []  # keys, counts and a place of each n-gram
        suffix: list[Ids] = []  # of each n-gram, the number of the one shorter that ends alike
        whole = np.bincount(tokens[1:], minlength=self.vocab_size).astype(np.int64)
        places = np.arange(1, len(tokens))
        for length in range(2, self.order + 1):
            context = self._contexts(grams, tokens, length)
            seen = places[context[1:] >= 0]
            keys = context[seen] * self.vocab_size + tokens[seen]
            found, first, number, counts = np.unique(
                keys, return_index=True, return_inverse=True, return_counts=True
            )
            at = seen[first]
            suffix.append(grams[at])
            raw.append((found, counts, at))
            grams = np.full(len(tokens), -1, np.int64)
            grams[seen] = number.reshape(-1)
        self._orders = []
        contexts = 1
        for length in range(1, self.order + 1):
            keys, counts = (np.arange(self.vocab_size), whole) if length == 1 else raw[length - 2][:2]
            if length < self.order:
                followed = np.bincount(suffix[length - 1], minlength=len(keys))
                begins = np.zeros(len(keys), bool)
                if length > 1:
                    begins = tokens[raw[length - 2][2] - length + 1] == self.end
                counts = np.where(begins, counts, followed)
            self._orders.append(self._smoothed(keys, counts.astype(np.int64), contexts))
            contexts = len(keys)
        return self

    def log_probability(self, stream: NDArray[np.integer]) -> Floats:
        """``(N - 1,)`` natural logarithms: of each token of a stream but the first."""
        tokens = self._checked(stream)
        found = np.empty(len(tokens) - 1)
        for begin in range(1, len(tokens), _AT_ONCE):
            # What stands before the part is its context.
            first = max(0, begin - self.order)
            part = tokens[first : begin + _AT_ONCE]
            found[begin - 1 : begin - 1 + _AT_ONCE] = self._of_part(part)[begin - first - 1 :]
        return found

    def distribution(self, context: NDArray[np.integer]) -> Floats:
        """``(V,)`` the probability of every token after ``context`` (from its text's ``end`` token on)."""
        before = np.asarray(context, np.int64)
        words = np.arange(1, self.vocab_size)
        contexts = [np.zeros(len(words), np.int64)]
        grams = before.copy()
        for length in range(2, self.order + 1):
            last = int(grams[-1]) if len(before) >= length - 1 else -1
            inside = length == 2 or (len(before) > 0 and int(before[-1]) != self.end)
            contexts.append(np.full(len(words), last if inside else -1))
            grams = self._grams(grams, before, length)
        p = np.zeros(self.vocab_size)
        p[1:] = self._probability(contexts, words)
        return p

    def _of_part(self, tokens: Ids) -> Floats:
        grams = tokens
        contexts = [np.zeros(len(tokens) - 1, np.int64)]
        for length in range(2, self.order + 1):
            contexts.append(self._contexts(grams, tokens, length)[1:])
            grams = self._grams(grams, tokens, length)
        return np.log(self._probability(contexts, tokens[1:]))

    def _probability(self, contexts: list[Ids], words: Ids) -> Floats:
        """From the lowest order up: the discounted share, and the rest as the lower order has it."""
        p = np.full(len(words), 1.0 / (self.vocab_size - 1))
        for order, context in zip(self._orders, contexts, strict=True):
            if not len(order.keys):  # every text is shorter
                break
            known = context >= 0
            known[known] = order.total[context[known]] > 0
            place, there = _look_up(order.keys, context * self.vocab_size + words)
            count = np.where(there & known, order.counts[place], 0)
            own = np.maximum(count - order.discounts[np.minimum(count, 3)], 0.0)
            at = np.where(known, context, 0)
            total = np.where(known, order.total[at], 1.0)
            p = np.where(known, own / total + order.kept_back[at] * p, p)
        return p

    def _contexts(self, grams: Ids, tokens: Ids, length: int) -> Ids:
        """The number of the context of each place, ``length - 1`` tokens of its own text; -1 for none."""
        context = np.full(len(tokens), -1, np.int64)
        context[1:] = grams[:-1]
        if length > 2:  # an end token is a context as a text's beginning, alone
            context[1:][tokens[:-1] == self.end] = -1
        return context

    def _grams(self, grams: Ids, tokens: Ids, length: int) -> Ids:
        """The number of the known n-gram of ``length`` that ends at each place; -1 for none."""
        if not len(tokens):
            return tokens
        context = self._contexts(grams, tokens, length)
        place, there = _look_up(self._orders[length - 1].keys, context * self.vocab_size + tokens)
        return np.where(there & (context >= 0), place, -1)

    def _smoothed(self, keys: Ids, counts: Ids, contexts: int) -> _Order:
        n = [int(np.count_nonzero(counts == value)) for value in range(1, 5)]
        discounts = np.array([0.0, *_discounts(n)])
        context = keys // self.vocab_size
        total = np.asarray(np.bincount(context, counts, minlength=contexts), np.float64)
        taken = np.bincount(context, discounts[np.minimum(counts, 3)], minlength=contexts)
        kept_back = np.divide(taken, total, out=np.ones_like(total), where=total > 0)
        return _Order(keys, counts, discounts, total, kept_back)

    def _checked(self, stream: NDArray[np.integer]) -> Ids:
        tokens = np.asarray(stream, np.int64)
        if len(tokens) < 2 or tokens.min() < 1 or tokens.max() >= self.vocab_size:
            raise ValueError(f"a stream needs 2 tokens or more, from 1 to {self.vocab_size - 1}")
        return tokens


def unigram_log_probability(counts: NDArray[np.integer], tokens: NDArray[np.integer]) -> Floats:
    """The natural logarithm of each token's own frequency, one added to every count but padding's.

    Args:
        counts: ``(V,)`` of the training part.
        tokens: ``(N,)`` to tell.
    """
    each = counts.astype(np.float64) + 1
    each[0] = 0
    with np.errstate(divide="ignore"):
        found: Floats = np.log(each / each.sum())[tokens]
    return found


def _look_up(keys: Ids, wanted: Ids) -> tuple[Ids, NDArray[np.bool_]]:
    """The place of each wanted key, and whether it is there."""
    if not len(keys):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return place, keys[place] == wanted


def _discounts(n: list[int]) -> tuple[float, ...]:
    """Of counts 1, 2, and 3 or more, from how many n-grams have counts 1 to 4 (equation 26)."""
    if min(n) == 0:
        return _FALLBACK
    share = n[0] / (n[0] + 2 * n[1])
    found = tuple(k - (k + 1) * share * n[k] / n[k - 1] for k in (1, 2, 3))
    return found if all(0 <= d <= k for k, d in enumerate(found, 1)) else _FALLBACK
