"""The baseline of tagging: the most frequent tag of each word in training, without context."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from recurra.errors import DataError
from recurra.tasks.tagging.sentences import WordsOfTable

__all__ = ["MostFrequentTag"]


class MostFrequentTag:
    """Predicts the tags of a word by their frequency in training.

    For unknown words, the frequencies are those of words that occur once.
    If two tags of a word are equally frequent, the one that is more frequent in all of training is predicted.

    Args:
        counts: number of occurrences of each tag for each training word.
        names: the ``K`` tags.

    Raises:
        DataError: there are no training words.

    Example:
        >>> baseline = MostFrequentTag({"the": {"DET": 3}, "run": {"NOUN": 1, "VERB": 2}, "elk": {"NOUN": 1}},
        ...                            ["DET", "NOUN", "VERB"])
        >>> baseline.predict_proba(["the", "run", "yak"]).argmax(axis=1).tolist()
        [0, 2, 1]
    """

    def __init__(self, counts: Mapping[str, Mapping[str, int]], names: Sequence[str]) -> None:
        if not counts:
            raise DataError("there are no training words")
        columns = {name: column for column, name in enumerate(names)}
        self._rows = {word: row for row, word in enumerate(counts)}
        table = np.zeros((len(counts) + 1, len(names)))
        for row, tags in enumerate(counts.values()):
            for tag, count in tags.items():
                table[row, columns[tag]] = count
        words = table[:-1]
        overall = words.sum(axis=0) / words.sum()
        once = words[words.sum(axis=1) == 1]
        table[-1] = (once if len(once) else words).sum(axis=0)
        # The sum of these is 1: they only break ties, and avoid probabilities of 0.
        table += overall
        self._shares = table / table.sum(axis=1, keepdims=True)
        self.unknown_tag = names[int(self._shares[-1].argmax())]

    def predict_proba(self, words: Sequence[str]) -> NDArray[np.float64]:
        """Returns the tag probabilities of ``N`` words, of shape (N, K)."""
        shares: NDArray[np.float64] = self._shares[[self._rows.get(word, -1) for word in words]]
        return shares

    def predict_part(self, words: WordsOfTable) -> NDArray[np.float64]:
        """Returns `predict_proba` of the words of a table, of which each form is looked up once."""
        rows = np.array([-1, *(self._rows.get(form, -1) for form in words.table.forms)])
        return np.asarray(self._shares[rows[words.numbers]])
