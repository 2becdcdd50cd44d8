"""Texts as counts of word 1-, 2- and 3-grams; Chinese and other unspaced scripts by character.

scikit-learn's ``CountVectorizer`` builds every n-gram as a Python string and drops the rare ones at the end.
Here an n-gram is a pair of integers (the (n-1)-gram at its start, the word at its end), looked at only if
both (n-1)-grams in it are frequent enough to be kept, so sorting integers does the work.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix, csr_matrix

from recurra.evaluate.words import join_words

__all__ = ["NgramCounter", "words_of"]

_TOKEN = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
# Scripts written without spaces: kana, Han (with its extensions), Thai, Lao, Myanmar, Khmer.
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff])"
)


def words_of(text: str) -> list[str]:
    """Lower-cased words, single characters of unspaced scripts, and punctuation marks.

    Example:
        >>> words_of("It isn't 好看!")
        ['it', "isn't", '好', '看', '!']
    """
    text = text.lower()
    if not text.isascii():
        text = _UNSPACED.sub(r" \1 ", text)
    return _TOKEN.findall(text)


class NgramCounter:
    """Counts the n-grams that stand in at least ``min_rows`` texts.

    Args:
        longest: n-grams of 1 to this many words are counted.
        min_rows: rarer ones (by number of texts) are left out.

    Example:
        >>> counter = NgramCounter(longest=2, min_rows=1)
        >>> counter.fit_transform(["a b a b", "b"]).toarray().tolist()
        [[2, 2, 2, 1], [0, 1, 0, 0]]
        >>> counter.names(range(4))
        ['a', 'b', 'a b', 'b a']
    """

    def __init__(self, longest: int = 3, min_rows: int = 2) -> None:
        self.longest = longest
        self.min_rows = min_rows
        self._ids: dict[str, int] = {}
        self._words: list[str] = []
        self._pairs: list[NDArray[np.int64]] = []  # level by level, (n-1)-gram * V + word, sorted

    @property
    def features(self) -> int:
        """How many n-grams are counted."""
        return len(self._words) + sum(len(pairs) for pairs in self._pairs)

    def fit_transform(self, texts: Iterable[str]) -> csr_matrix:
        """Chooses the n-grams of ``texts`` and counts them: ``(N, F)`` int64."""
        self._ids = {}
        words, rows, count = self._encode(texts, grow=True)
        kept = _frequent(words, rows, self.min_rows)
        by_id = list(self._ids)
        self._words = [by_id[i] for i in kept]
        self._ids = {word: i for i, word in enumerate(self._words)}
        self._pairs = []
        level = words = _position(kept, words)
        levels = [level]
        for n in range(2, self.longest + 1):
            keys = self._keys(level, words, rows, n)
            self._pairs.append(_frequent(keys, rows, self.min_rows))
            level = _position(self._pairs[-1], keys)
            levels.append(level)
        return self._matrix(levels, rows, count)

    def transform(self, texts: Iterable[str]) -> csr_matrix:
        """Counts the chosen n-grams in ``texts``: ``(N, F)`` int64."""
        words, rows, count = self._encode(texts, grow=False)
        level = words
        levels = [level]
        for n, pairs in enumerate(self._pairs, start=2):
            level = _position(pairs, self._keys(level, words, rows, n))
            levels.append(level)
        return self._matrix(levels, rows, count)

    def names(self, features: Iterable[int]) -> list[str]:
        """The n-grams by column number, as a reader would write them."""
        starts = np.cumsum([0, len(self._words), *(len(pairs) for pairs in self._pairs)])
        found = []
        for feature in features:
            n = int(np.searchsorted(starts, feature, side="right"))
            index = int(feature - starts[n - 1])
            words: list[str] = []
            while n > 1:
                index, last = divmod(int(self._pairs[n - 2][index]), len(self._words))
                words.append(self._words[last])
                n -= 1
            words.append(self._words[index])
            words.reverse()
            found.append(join_words(words))
        return found

    def _encode(
        self, texts: Iterable[str], *, grow: bool
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
        """All words of all texts as ids (-1: not counted), the text each is in, and how many texts."""
        ids, flat, lengths = self._ids, array("q"), array("q")
        for text in texts:
            words = words_of(text)
            if grow:
                flat.extend([ids.setdefault(word, len(ids)) for word in words])
            else:
                flat.extend([ids.get(word, -1) for word in words])
            lengths.append(len(words))
        rows = np.repeat(np.arange(len(lengths), dtype=np.int64), np.asarray(lengths, np.int64))
        return np.array(flat, np.int64), rows, len(lengths)

    def _keys(
        self, level: NDArray[np.int64], words: NDArray[np.int64], rows: NDArray[np.int64], n: int
    ) -> NDArray[np.int64]:
        """At each position the key of the n-gram that begins there, -1 where it can't be frequent."""
        keys = np.full(len(words), -1, np.int64)
        end = max(0, len(words) - n + 1)
        head, tail, word = level[:end], level[1 : end + 1], words[n - 1 : n - 1 + end]
        good = (head >= 0) & (tail >= 0) & (rows[:end] == rows[n - 1 : n - 1 + end])
        keys[:end][good] = head[good] * len(self._words) + word[good]
        return keys

    def _matrix(self, levels: list[NDArray[np.int64]], rows: NDArray[np.int64], count: int) -> csr_matrix:
        columns, owners, start = [], [], 0
        sizes = [len(self._words), *(len(pairs) for pairs in self._pairs)]
        for level, size in zip(levels, sizes, strict=True):
            good = level >= 0
            columns.append(level[good] + start)
            owners.append(rows[good])
            start += size
        column, owner = np.concatenate(columns), np.concatenate(owners)
        ones = np.ones(len(column), np.int64)
        return coo_matrix((ones, (owner, column)), shape=(count, start)).tocsr()


def _frequent(keys: NDArray[np.int64], rows: NDArray[np.int64], min_rows: int) -> NDArray[np.int64]:
    """The keys, sorted, that stand in at least ``min_rows`` rows; -1 is no key."""
    good = keys >= 0
    keys, rows = keys[good], rows[good]
    order = np.argsort(keys, kind="stable")  # rows ascend already, so they ascend within a key
    keys, rows = keys[order], rows[order]
    fresh = np.ones(len(keys), bool)
    fresh[1:] = (keys[1:] != keys[:-1]) | (rows[1:] != rows[:-1])
    found, counts = np.unique(keys[fresh], return_counts=True)
    return np.asarray(found[counts >= min_rows])


def _position(kept: NDArray[np.int64], keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each key stands in the sorted ``kept``, -1 where it doesn't."""
    if not len(kept):
        return np.full(len(keys), -1, np.int64)
    place = np.minimum(np.searchsorted(kept, keys), len(kept) - 1)
    return np.where(kept[place] == keys, place, -1)
