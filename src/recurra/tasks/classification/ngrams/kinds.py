"""The features of texts: those of the n-grams of their words and, beside them, of the pieces of their words.

A text is then two sequences: its words, of which 1-3-grams are counted, and the pieces of its words, which
are counted alone. Each kind has a vocabulary of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack

from recurra.tasks.classification.ngrams.features import Features
from recurra.tasks.classification.ngrams.keys import blocks, ngram_keys, passes
from recurra.tasks.classification.ngrams.names import names_of
from recurra.tasks.classification.ngrams.words import Encoded, Words, pieces_of_texts

__all__ = ["Kinds", "Sequences"]


@dataclass(frozen=True)
class Sequences:
    """What is counted of ``N`` texts.

    Attributes:
        encoded: their words.
        words: the numbers of the words.
        parts: the pieces of the words, their numbers, and the place of the word of each; None without pieces.
    """

    encoded: Encoded
    words: Words
    parts: tuple[Encoded, Words, NDArray[np.int64]] | None = None

    @classmethod
    def of(cls, encoded: Encoded, words: Words, *, pieces: bool) -> Self:
        """Returns the sequences of texts whose words are numbered, with or without pieces."""
        if not pieces:
            return cls(encoded, words)
        numbers = Words()
        found, places = pieces_of_texts(encoded, words, numbers)
        return cls(encoded, words, (found, numbers, places))

    @property
    def passes(self) -> int:
        """How often `Kinds.learn` goes through the texts."""
        return passes(self.encoded) + 1 + (0 if self.parts is None else passes(self.parts[0], 1) + 1)

    def blocks(self) -> Iterator[Self]:
        """Yields texts in blocks of bounded size."""
        sizes = self.encoded.lengths if self.parts is None else self.encoded.lengths + self.parts[0].lengths
        for first, _, lengths in blocks(Encoded(self.encoded.ids, sizes)):
            texts = slice(first, first + len(lengths))
            if self.parts is None:
                yield type(self)(_some(self.encoded, texts), self.words)
            else:
                pieces, numbers, _ = self.parts
                parts = _some(pieces, texts), numbers, np.empty(0, np.int64)
                yield type(self)(_some(self.encoded, texts), self.words, parts)


@dataclass(frozen=True)
class Kinds:
    """The vocabularies of both kinds, ``F`` columns in all: first the n-grams of words, then the pieces.

    Attributes:
        ngrams: the n-grams of words.
        pieces: the pieces of words; None for a model without them.

    Example:
        >>> words = Words()
        >>> texts = Sequences.of(words.encode([["a", "dull", "film"], ["film"]]), words, pieces=True)
        >>> kinds, matrix = Kinds.learn(texts, 2, lambda texts: None)
        >>> len(kinds.ngrams), len(kinds.pieces), matrix.shape
        (1, 3, (2, 4))
    """

    ngrams: Features
    pieces: Features | None = None

    @classmethod
    def learn(cls, texts: Sequences, least: int, tick: Callable[[int], object]) -> tuple[Self, csr_matrix]:
        """Returns what occurs in at least ``least`` of the texts, and the features of the texts, (N, F).

        Args:
            texts: ``N`` texts.
            least: the smallest number of texts.
            tick: called with numbers of texts, ``N`` in each of ``texts.passes``.
        """
        ngrams, matrix = Features.learn(texts.encoded, texts.words.hashes, least, tick)
        if texts.parts is None:
            return cls(ngrams), matrix
        encoded, numbers, _ = texts.parts
        pieces, more = Features.learn(encoded, numbers.hashes, least, tick, longest=1)
        return cls(ngrams, pieces), _joined(matrix, more)

    def __len__(self) -> int:
        return len(self.ngrams) + (0 if self.pieces is None else len(self.pieces))

    def read(self, encoded: Encoded, words: Words) -> Sequences:
        """Returns what this model counts of texts."""
        return Sequences.of(encoded, words, pieces=self.pieces is not None)

    def matrix(self, texts: Sequences) -> csr_matrix:
        """Returns the features of one block of texts as rows of length 1 (or 0), of shape (N, F), float32.

        In a text that has both kinds, the features of each have the same length.
        """
        found = self.ngrams.matrix(texts.words.hashes[texts.encoded.ids], texts.encoded.lengths)
        if self.pieces is None or texts.parts is None:
            return found
        encoded, numbers, _ = texts.parts
        return _joined(found, self.pieces.matrix(numbers.hashes[encoded.ids], encoded.lengths))

    def matrices(self, texts: Sequences) -> Iterator[csr_matrix]:
        """Yields `matrix` for blocks of texts."""
        return map(self.matrix, texts.blocks())

    def spans(self, text: Sequences) -> Iterator[tuple[int, int, int]]:
        """Yields each known n-gram and piece of one text: its first word, the one after its last, its column.

        Those of a piece are its word and the next one.
        """
        hashes = text.words.hashes[text.encoded.ids]
        for size, keys, begins in ngram_keys(hashes, text.encoded.lengths):
            columns, known = self.ngrams.columns(keys)
            begins = begins[known]
            yield from zip(begins.tolist(), (begins + size).tolist(), columns[known].tolist(), strict=True)
        if self.pieces is None or text.parts is None:
            return
        encoded, numbers, places = text.parts
        for _, keys, which in ngram_keys(numbers.hashes[encoded.ids], encoded.lengths, 1):
            columns, known = self.pieces.columns(keys)
            begins = places[which[known]]
            columns = columns[known] + len(self.ngrams)
            yield from zip(begins.tolist(), (begins + 1).tolist(), columns.tolist(), strict=True)

    def names(self, columns: NDArray[np.int64], texts: Sequences) -> list[str]:
        """Returns the names of sorted columns, all of which occur in the texts.

        A piece has an ellipsis where its word may go on: ``dul…`` begins a word, ``…ull`` ends one.
        """
        first = columns[columns < len(self.ngrams)]
        names = names_of(self.ngrams.keys[first], texts.encoded, texts.words)
        if self.pieces is not None and texts.parts is not None:
            others = columns[columns >= len(self.ngrams)] - len(self.ngrams)
            encoded, numbers, _ = texts.parts
            names += map(_shown, names_of(self.pieces.keys[others], encoded, numbers, longest=1))
        return names


def _shown(piece: str) -> str:
    return ("" if piece[0] == " " else "…") + piece.strip() + ("" if piece[-1] == " " else "…")


def _some(encoded: Encoded, texts: slice) -> Encoded:
    ends = np.concatenate([[0], np.cumsum(encoded.lengths)])
    return Encoded(encoded.ids[ends[texts.start] : ends[texts.stop]], encoded.lengths[texts])


def _joined(one: csr_matrix, other: csr_matrix) -> csr_matrix:
    """Returns rows of length 1 or 0 side by side, again of length 1 or 0."""
    both = csr_matrix(hstack([one, other], "csr"))
    present = (np.diff(one.indptr) > 0).astype(np.float32) + (np.diff(other.indptr) > 0)
    both.data /= np.repeat(np.sqrt(present), np.diff(both.indptr)).astype(np.float32)
    return both
