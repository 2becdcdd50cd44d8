"""N-grams as 48-bit keys: their occurrences in texts, and the vocabulary of a training set.

A key is computed from the hashes of the words, so that no n-gram is ever a string. Two n-grams of ten million
have the same key with a probability of 0.2; such a pair is treated as one n-gram.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recurra.tasks.classification.ngrams.words import Encoded

__all__ = ["LONGEST", "Occurrences", "blocks", "ngram_keys", "occurrences", "passes", "vocabulary"]

LONGEST = 3
"""Words of the longest n-grams."""
_TEXTS = 1 << 16
_TEXT_BITS = np.uint64(16)
_KEY_BITS = 48
_TEXT_MASK = np.uint64(_TEXTS - 1)
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd: 2 ** 64 divided by the golden ratio
_BLOCK = 1 << 19  # words whose n-grams are computed at once; each takes some 100 bytes meanwhile
_PARTITION = 1 << 24  # keys that are sorted at once; 128 MB, twice

Keys = NDArray[np.uint64]


@dataclass(frozen=True)
class Occurrences:
    """The different n-grams of each of ``N`` texts, ``P`` in all, sorted by key.

    Attributes:
        keys: of shape (P,), uint64.
        texts: the text of each, of shape (P,), int64.
        counts: how often it occurs in the text, of shape (P,), int64.
    """

    keys: Keys
    texts: NDArray[np.int64]
    counts: NDArray[np.int64]


def ngram_keys(
    hashes: NDArray[np.uint64], lengths: NDArray[np.int64], longest: int = LONGEST
) -> Iterator[tuple[int, Keys, NDArray[np.int64]]]:
    """Yields for 1, 2, ... ``longest`` words the keys of all n-grams, and the places of their first words.

    Args:
        hashes: hashes of the words of all texts, one after the other, of shape (T,).
        lengths: the number of words of each text, of shape (N,).
        longest: words of the longest n-grams.
    """
    left = np.repeat(np.cumsum(lengths), lengths) - np.arange(len(hashes))  # words up to the end of the text
    places = np.arange(len(hashes))
    mixed = hashes
    for size in range(1, longest + 1):
        if size > 1:
            places = places[left[places] >= size]
            mixed = mixed[: len(mixed) - 1] * _MULTIPLIER + hashes[size - 1 :]
        yield size, mixed[places] >> _TEXT_BITS, places


def occurrences(
    hashes: NDArray[np.uint64],
    lengths: NDArray[np.int64],
    bounds: tuple[int, int] | None = None,
    longest: int = LONGEST,
) -> Occurrences:
    """Returns the n-grams of at most 65,536 texts.

    Args:
        hashes: as in `ngram_keys`.
        lengths: as in `ngram_keys`.
        bounds: the smallest key and the one after the largest; None for all keys.
        longest: as in `ngram_keys`.

    Raises:
        ValueError: there are more texts.
    """
    if len(lengths) > _TEXTS:
        raise ValueError(f"{len(lengths)} texts are more than {_TEXTS}")
    text_of = np.repeat(np.arange(len(lengths), dtype=np.uint64), lengths)
    parts = []
    for _, keys, places in ngram_keys(hashes, lengths, longest):
        # One sort of plain numbers is several times as fast as a sort of pairs.
        packed = keys << _TEXT_BITS | text_of[places]
        if bounds is not None:
            packed = packed[(keys >= np.uint64(bounds[0])) & (keys < np.uint64(bounds[1]))]
        parts.append(packed)
    packed = np.concatenate(parts)
    packed.sort()
    first = _first_of_runs(packed)
    counts = np.diff(first, append=len(packed))
    packed = packed[first]
    return Occurrences(packed >> _TEXT_BITS, (packed & _TEXT_MASK).astype(np.int64), counts)


def blocks(encoded: Encoded) -> Iterator[tuple[int, slice, NDArray[np.int64]]]:
    """Yields texts in blocks of bounded size: the first text, the slice of their words, and their lengths."""
    ends = np.cumsum(encoded.lengths)
    first = begin = 0
    while first < len(ends):
        last = int(np.searchsorted(ends, begin + _BLOCK, "right"))
        last = min(max(last, first + 1), first + _TEXTS, len(ends))
        end = int(ends[last - 1])
        yield first, slice(begin, end), encoded.lengths[first:last]
        first, begin = last, end


def vocabulary(
    encoded: Encoded,
    hashes: NDArray[np.uint64],
    least: int,
    tick: Callable[[int], object],
    longest: int = LONGEST,
) -> tuple[Keys, NDArray[np.int64]]:
    """Returns the sorted keys of n-grams that occur in at least ``least`` texts, and in how many.

    The range of the keys is divided so that at most some 17 million of them are in memory at once; each part
    is a pass over the words.

    Args:
        encoded: the words of the texts.
        hashes: the hash of each word.
        least: the smallest number of texts.
        tick: called with the texts of each block in each pass; `passes` says how many there are.
        longest: as in `ngram_keys`.
    """
    parts, largest = passes(encoded, longest), 1 << _KEY_BITS
    found: list[tuple[Keys, NDArray[np.int64]]] = []
    for part in range(parts):
        bounds = part * largest // parts, (part + 1) * largest // parts
        pieces = [np.empty(0, np.uint64)]
        for _, words, lengths in blocks(encoded):
            pieces.append(occurrences(hashes[encoded.ids[words]], lengths, bounds, longest).keys)
            tick(len(lengths))
        every = np.concatenate(pieces)
        del pieces
        every.sort()
        first = _first_of_runs(every)
        counts = np.diff(first, append=len(every))
        kept = counts >= least
        found.append((every[first[kept]], counts[kept]))
    return np.concatenate([keys for keys, _ in found]), np.concatenate([counts for _, counts in found])


def passes(encoded: Encoded, longest: int = LONGEST) -> int:
    """Returns how often `vocabulary` goes through the texts."""
    return max(1, -(-longest * len(encoded.ids) // _PARTITION))


def _first_of_runs(ordered: Keys) -> NDArray[np.int64]:
    """Returns where each different value of a sorted array begins."""
    begins = np.ones(len(ordered), np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=begins[1:])
    return np.flatnonzero(begins)
