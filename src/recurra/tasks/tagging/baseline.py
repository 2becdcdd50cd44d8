"""The baseline of tagging: each word its most frequent tag in training, without a look at its neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from recurra.errors import DataError

__all__ = ["MostFrequentTag"]


class MostFrequentTag:
    """Each word's tags as often as training had them; an unknown word those of the words seen once.

    Equal counts go to the tag that is the more frequent one in all of training.

    Args:
        counts: how often each training word, as it stands, had each tag.
        names: the ``K`` tags.

    Raises:
        DataError: there is no training word.

    Example:
        >>> baseline = MostFrequentTag({"the": {"DET": 3}, "run": {"NOUN": 1, "VERB": 2}, "elk": {"NOUN": 1}},
        ...                            ["DET", "NOUN", "VERB"])
        >>> baseline.predict_proba(["the", "run", "yak"]).argmax(axis=1).tolist()
        [0, 2, 1]
    """

    def __init__(self, counts: Mapping[str, Mapping[str, int]], names: Sequence[str]) -> None:
        if not counts:
            raise DataError("there is no training word")
        number = {name: place for place, name in enumerate(names)}
        self._rows = {word: place for place, word in enumerate(counts)}
        table = np.zeros((len(counts) + 1, len(names)))
        for row, tags in enumerate(counts.values()):
            for tag, count in tags.items():
                table[row, number[tag]] = count
        words = table[:-1]
        overall = words.sum(axis=0) / words.sum()
        once = words[words.sum(axis=1) == 1]
        table[-1] = once.sum(axis=0) / len(once) if len(once) else overall
        # Less than one count in all: it decides between equals, and no probability is 0 that need not be.
        table += overall
        self._shares = table / table.sum(axis=1, keepdims=True)
        self.unknown_tag = names[int(self._shares[-1].argmax())]

    def predict_proba(self, words: Sequence[str]) -> NDArray[np.float64]:
        """``(N, K)`` shares of the tags of ``N`` words."""
        found: NDArray[np.float64] = self._shares[[self._rows.get(word, -1) for word in words]]
        return found
