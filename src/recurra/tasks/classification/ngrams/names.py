"""The words of a few n-grams, which are known by their keys alone, found again in the training texts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recurra.measure.explain import join_words
from recurra.tasks.classification.ngrams.keys import LONGEST, blocks, ngram_keys
from recurra.tasks.classification.ngrams.words import Encoded, Words

__all__ = ["names_of"]


def names_of(keys: NDArray[np.uint64], encoded: Encoded, words: Words, longest: int = LONGEST) -> list[str]:
    """Returns the n-grams of ``K`` sorted keys, all of which occur in the texts."""
    names: list[str | None] = [None] * len(keys)
    missing, by_number = len(keys), list(words)
    for _, place, lengths in blocks(encoded):
        if not missing:
            break
        ids = encoded.ids[place]
        for size, found, begins in ngram_keys(words.hashes[ids], lengths, longest):
            columns = np.minimum(np.searchsorted(keys, found), len(keys) - 1)
            known = keys[columns] == found
            new, first = np.unique(columns[known], return_index=True)
            for column, begin in zip(new.tolist(), begins[known][first].tolist(), strict=True):
                if names[column] is None:
                    names[column] = join_words(by_number[id] for id in ids[begin : begin + size])
                    missing -= 1
    return [name or "" for name in names]
