"""Reads training texts as numbers of words, and a random sample of them if they are too many."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Self

import numpy as np
from numpy.typing import NDArray

from recurra.errors import DataError
from recurra.tasks.classification.ngrams.words import Encoded, Words, words_of

__all__ = ["encoded_sample"]

_CHUNK = 1_000
_SLACK = 1.25  # texts are left out when they have this many times the largest number of characters, or rows


@dataclass(frozen=True)
class _Part:
    """Some texts: their rows, random numbers and characters, of shape (n,), and their words."""

    rows: NDArray[np.int64]
    draws: NDArray[np.float64]
    sizes: NDArray[np.int64]
    encoded: Encoded

    @classmethod
    def joined(cls, parts: list[Self]) -> Self:
        words = Encoded(
            np.concatenate([part.encoded.ids for part in parts]),
            np.concatenate([part.encoded.lengths for part in parts]),
        )
        rows, draws, sizes = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("rows", "draws", "sizes")
        )
        return cls(rows, draws, sizes, words)

    def limited(self, characters: int, rows: int) -> Self:
        """Returns the part without the texts of the largest random numbers; one text is kept at least."""
        order = np.argsort(self.draws, kind="stable")
        count = min(int(np.searchsorted(np.cumsum(self.sizes[order]), characters, "right")), rows)
        kept = np.zeros(len(order), np.bool_)
        kept[order[: max(count, 1)]] = True
        words = Encoded(self.encoded.ids[np.repeat(kept, self.encoded.lengths)], self.encoded.lengths[kept])
        return type(self)(self.rows[kept], self.draws[kept], self.sizes[kept], words)


def encoded_sample(
    texts: Iterable[str],
    words: Words,
    expected: int,
    characters: int,
    most: int,
    tick: Callable[[int], object],
) -> tuple[NDArray[np.int64], Encoded]:
    """Returns the rows and the words of at most ``most`` texts, of ``characters`` characters in all at most.

    Each text gets a random number; texts with the largest numbers are left out. One text is kept at least.

    Args:
        texts: cleaned texts, read once.
        words: receives the words.
        expected: the number of the texts.
        characters: the largest number of characters.
        most: the largest number of texts.
        tick: called with the number of texts after each chunk.

    Raises:
        DataError: there are no texts.
        ValueError: there are not ``expected`` texts.
    """
    random = np.random.default_rng(0)
    remaining, parts, read, kept, used, largest = iter(texts), list[_Part](), 0, 0, 0, 1.0
    while chunk := list(islice(remaining, _CHUNK)):
        draws = random.random(len(chunk))
        rows = np.flatnonzero(draws < largest)
        taken = [chunk[row] for row in rows]
        sizes = np.fromiter(map(len, taken), np.int64, len(taken))
        parts.append(_Part(rows + read, draws[rows], sizes, words.encode(list(map(words_of, taken)))))
        read += len(chunk)
        used, kept = used + int(sizes.sum()), kept + len(rows)
        if used > _SLACK * characters or kept > _SLACK * most:
            parts = [_Part.joined(parts).limited(characters, most)]
            used, kept = int(parts[0].sizes.sum()), len(parts[0].rows)
            largest = float(parts[0].draws.max())
        tick(len(chunk))
    if read != expected:
        raise ValueError(f"{read} texts have {expected} labels")
    if not read:
        raise DataError("there are no texts to train the baseline on")
    whole = _Part.joined(parts)
    parts.clear()
    if used > characters or kept > most:
        whole = whole.limited(characters, most)
    return whole.rows, whole.encoded
