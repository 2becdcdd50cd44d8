"""Texts as words, words as their pieces, and both as numbers and 64-bit hashes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import chain

import numpy as np
from numpy.typing import NDArray

__all__ = ["PIECE", "UNSPACED", "Encoded", "Words", "pieces_of", "pieces_of_texts", "words_of"]

PIECE = 4
"""Characters of a piece of a word."""

_TOKEN = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
# Scripts written without spaces: kana, Han (with its extensions), Thai, Lao, Myanmar, Khmer.
UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff])"
)


def words_of(text: str) -> list[str]:
    """Returns lower-cased words, single characters of unspaced scripts, and punctuation marks.

    Example:
        >>> words_of("It isn't 好看!")
        ['it', "isn't", '好', '看', '!']
    """
    text = text.lower()
    if not text.isascii():
        text = UNSPACED.sub(r" \1 ", text)
    return _TOKEN.findall(text)


def pieces_of(word: str) -> list[str]:
    """Returns the pieces of a word: each 4 characters in a row, with a space before and after the word.

    A word of one or two characters has none: the only piece would be the word itself.

    Example:
        >>> pieces_of("dull"), pieces_of("is")
        ([' dul', 'dull', 'ull '], [])
    """
    padded = f" {word} "
    return (
        [padded[begin : begin + PIECE] for begin in range(len(padded) - PIECE + 1)] if len(word) > 2 else []
    )


@dataclass(frozen=True)
class Encoded:
    """The words, or the pieces of words, of ``N`` texts as numbers.

    Attributes:
        ids: the numbers of the words of all texts, one after the other, of shape (T,), int32.
        lengths: the number of words of each text, of shape (N,), int64.
    """

    ids: NDArray[np.int32]
    lengths: NDArray[np.int64]


class Words(dict[str, int]):
    """Numbers of words, in the order in which they were first seen, with a hash of each.

    The hash is the same in every process and on every machine: a model is saved as hashes.

    Example:
        >>> words = Words()
        >>> words.encode([["not", "good"], ["good"]]).ids.tolist()
        [0, 1, 1]
    """

    def __init__(self) -> None:
        super().__init__()
        self._hashes = np.empty(1_024, np.uint64)

    def __missing__(self, word: str) -> int:
        number = len(self)
        if number == len(self._hashes):
            self._hashes = np.concatenate([self._hashes, np.empty_like(self._hashes)])
        digest = blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        self._hashes[number] = int.from_bytes(digest, "little")
        self[word] = number
        return number

    @property
    def hashes(self) -> NDArray[np.uint64]:
        """The hashes of the words by number."""
        return self._hashes[: len(self)]

    def encode(self, texts: Sequence[Sequence[str]]) -> Encoded:
        """Returns the numbers of the words of texts; new words get new numbers."""
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        ids = np.fromiter(map(self.__getitem__, chain.from_iterable(texts)), np.int32, int(lengths.sum()))
        return Encoded(ids, lengths)


def pieces_of_texts(encoded: Encoded, words: Words, pieces: Words) -> tuple[Encoded, NDArray[np.int64]]:
    """Returns the pieces of the words of texts, and the place of the word of each piece, of shape (P,).

    Args:
        encoded: the words of the texts.
        words: the numbers of the words.
        pieces: receives the pieces.

    Example:
        >>> words, pieces = Words(), Words()
        >>> found, places = pieces_of_texts(words.encode([["a", "dull", "film"]]), words, pieces)
        >>> found.lengths.tolist(), places.tolist()
        ([6], [1, 1, 1, 2, 2, 2])
    """
    table = pieces.encode([pieces_of(word) for word in words])
    counts = table.lengths[encoded.ids]
    places = np.repeat(np.arange(len(encoded.ids)), counts)
    within = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = np.cumsum(table.lengths) - table.lengths
    ends = np.concatenate([[0], np.cumsum(counts)])[np.cumsum(encoded.lengths)]
    return Encoded(table.ids[starts[encoded.ids[places]] + within], np.diff(ends, prepend=0)), places
