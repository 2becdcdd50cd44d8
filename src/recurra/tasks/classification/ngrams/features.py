"""TF-IDF features of texts over a vocabulary of n-grams, as those of scikit-learn's `TfidfTransformer`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recurra.tasks.classification.ngrams.keys import LONGEST, blocks, occurrences, vocabulary
from recurra.tasks.classification.ngrams.words import Encoded

__all__ = ["Features"]


@dataclass(frozen=True)
class Features:
    """A vocabulary of ``F`` n-grams.

    Attributes:
        keys: their keys, sorted, of shape (F,), uint64.
        idf: their inverse document frequencies, of shape (F,), float32.
        longest: words of the longest n-grams.
    """

    keys: NDArray[np.uint64]
    idf: NDArray[np.float32]
    longest: int = LONGEST

    @classmethod
    def learn(
        cls,
        encoded: Encoded,
        hashes: NDArray[np.uint64],
        least: int,
        tick: Callable[[int], object],
        longest: int = LONGEST,
    ) -> tuple[Self, csr_matrix]:
        """Returns the n-grams that occur in at least ``least`` of the texts, and the features of the texts.

        If none occurs so often, all are taken.

        Args:
            encoded: the words of ``N`` texts.
            hashes: the hash of each word.
            least: the smallest number of texts.
            tick: called with the number of texts after each block in each of ``passes(encoded, longest) + 1``
                passes.
            longest: words of the longest n-grams.
        """
        keys, found = vocabulary(encoded, hashes, least, tick, longest)
        if not len(keys) and least > 1:
            keys, found = vocabulary(encoded, hashes, 1, lambda texts: None, longest)
        idf = np.log((1 + len(encoded.lengths)) / (1 + found)) + 1
        features = cls(keys, idf.astype(np.float32), longest)
        # The number of entries is known, so that no second copy of the matrix is made.
        entries = int(found.sum())
        values, columns = np.empty(entries, np.float32), np.empty(entries, np.int32)
        ends, done, texts = np.zeros(len(encoded.lengths) + 1, np.int64), 0, 0
        for part in features.matrices(encoded, hashes):
            values[done : done + part.nnz], columns[done : done + part.nnz] = part.data, part.indices
            ends[texts + 1 : texts + part.shape[0] + 1] = done + part.indptr[1:]
            done, texts = done + part.nnz, texts + part.shape[0]
            tick(part.shape[0])
        return features, csr_matrix((values, columns, ends), (texts, len(keys)))

    def of_rows(self, matrix: csr_matrix, rows: NDArray[np.int64], least: int) -> tuple[Self, csr_matrix]:
        """Returns what `learn` finds in some of the texts, without counting them again.

        If no n-gram occurs in ``least`` of them, all that this vocabulary has are taken.

        Args:
            matrix: the features of all texts, as `learn` returned them, for the same ``least``.
            rows: the texts.
            least: the smallest number of texts.
        """
        part = matrix[rows]
        found = np.bincount(part.indices, minlength=len(self))
        kept = found >= least
        if not kept.any():
            kept = found > 0
        idf = (np.log((1 + len(rows)) / (1 + found)) + 1).astype(np.float32)
        mask = kept[part.indices]
        # Rows have the length 1 for any factor of them: this one replaces the frequencies in all texts.
        values = (part.data * (idf / self.idf)[part.indices])[mask]
        each = np.repeat(np.arange(len(rows), dtype=np.int32), np.diff(part.indptr))
        counts = np.bincount(each[mask], minlength=len(rows))
        ends = np.concatenate([[0], np.cumsum(counts)])
        columns = (np.cumsum(kept, dtype=np.int32) - 1)[part.indices[mask]]
        squares = np.bincount(each[mask], values * values, minlength=len(rows))
        values /= np.sqrt(squares).astype(np.float32)[each[mask]]
        shape = len(rows), int(kept.sum())
        return type(self)(self.keys[kept], idf[kept], self.longest), csr_matrix(
            (values, columns, ends), shape
        )

    def __len__(self) -> int:
        return len(self.keys)

    def columns(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Returns the column of each key, and whether the vocabulary has it.

        Sorted keys are found several times as fast.
        """
        if not len(self.keys):
            return np.zeros(len(keys), np.int64), np.zeros(len(keys), np.bool_)
        columns = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return columns, self.keys[columns] == keys

    def matrix(self, hashes: NDArray[np.uint64], lengths: NDArray[np.int64]) -> csr_matrix:
        """Returns the features of ``N`` texts as rows of length 1 (or 0), of shape (N, F), float32.

        Args:
            hashes: hashes of the words of all texts, one after the other, of shape (T,).
            lengths: the number of words of each text, of shape (N,).
        """
        found = occurrences(hashes, lengths, longest=self.longest)
        columns, known = self.columns(found.keys)
        columns, texts, counts = columns[known], found.texts[known], found.counts[known]
        values = (1 + np.log(counts)) * self.idf[columns]
        squares = np.bincount(texts, values * values, minlength=len(lengths))
        values /= np.sqrt(squares)[texts]
        order = np.argsort(texts.astype(np.uint16), kind="stable")  # by text, then by column; a radix sort
        ends = np.cumsum(np.bincount(texts, minlength=len(lengths)))
        rows = np.concatenate([[0], ends])
        shape = len(lengths), len(self.keys)
        return csr_matrix((values.astype(np.float32)[order], columns[order], rows), shape)

    def matrices(self, encoded: Encoded, hashes: NDArray[np.uint64]) -> Iterator[csr_matrix]:
        """Yields `matrix` for blocks of texts."""
        for _, words, lengths in blocks(encoded):
            yield self.matrix(hashes[encoded.ids[words]], lengths)
