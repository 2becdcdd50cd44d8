"""Tokenized texts as columns, in memory or mapped from disk, from which batches are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Chunk", "Examples"]


@dataclass(frozen=True)
class Chunk:
    """A number n of tokenized rows, from which :class:`Examples` are built; n may be 0.

    ``ids`` are n arrays ``(T,)`` of token ids, each of at least one; ``groups`` are n names, or None. The
    others are as in `Examples`.
    """

    ids: Sequence[NDArray[np.integer[Any]]]
    labels: NDArray[Any] | None
    numbers: NDArray[np.int64]
    groups: Sequence[str] | None
    full_lengths: NDArray[np.int64]
    unknown: NDArray[np.int64]


class Examples:
    """N tokenized texts; the arrays may be views into files.

    Attributes:
        flat: ``(tokens,)`` uint16 or int32, the ids of all texts, one text after the other.
        offsets: ``(N + 1,)`` int64, the beginning of each text in ``flat``, and its end.
        lengths: ``(N,)`` int32 number of tokens of each text.
        labels: ``(N,)`` int64, or ``(N, C)`` float32 for multi-label, or None.
        numbers: ``(N,)`` int64 row numbers in the source file.
        groups: ``(N,)`` int64 codes, or None.
        full_lengths: ``(N,)`` int64 number of tokens before the cut.
        unknown: ``(N,)`` int64 number of these that are not in the vocabulary.
    """

    def __init__(
        self,
        flat: NDArray[Any],
        offsets: NDArray[np.int64],
        labels: NDArray[Any] | None = None,
        numbers: NDArray[np.int64] | None = None,
        groups: NDArray[np.int64] | None = None,
        full_lengths: NDArray[np.int64] | None = None,
        unknown: NDArray[np.int64] | None = None,
    ) -> None:
        # A view as a plain array, since slicing np.memmap is several times slower.
        self.flat, self.offsets = np.asarray(flat), np.asarray(offsets)
        self.lengths: NDArray[np.int32] = np.diff(self.offsets).astype(np.int32)
        count = len(self.lengths)
        self.labels = labels
        self.numbers = np.arange(1, count + 1) if numbers is None else numbers
        self.groups = groups
        self.full_lengths = self.lengths.astype(np.int64) if full_lengths is None else full_lengths
        self.unknown = np.zeros(count, np.int64) if unknown is None else unknown
        if count and (self.lengths.min() < 1 or self.offsets[0] != 0 or self.offsets[-1] != len(self.flat)):
            raise ValueError("every text needs at least one token, one after the other")
        for name in ("labels", "numbers", "groups", "full_lengths", "unknown"):
            column = getattr(self, name)
            if column is not None and len(column) != count:
                raise ValueError(f"{count} texts, but {len(column)} {name}")

    @classmethod
    def from_arrays(
        cls,
        ids: Sequence[NDArray[np.integer[Any]]],
        labels: NDArray[Any] | None = None,
        *,
        numbers: NDArray[np.int64] | None = None,
        groups: NDArray[np.int64] | None = None,
        full_lengths: NDArray[np.int64] | None = None,
        unknown: NDArray[np.int64] | None = None,
    ) -> Examples:
        """Returns examples in memory, from an array of ids for each text.

        Example:
            >>> few = Examples.from_arrays([np.array([1, 5]), np.array([1])], labels=np.array([0, 1]))
            >>> len(few), few.lengths.tolist(), few.ids(0).tolist()
            (2, [2, 1], [1, 5])
        """
        offsets = np.cumsum([0, *map(len, ids)], dtype=np.int64)
        flat = np.concatenate([np.zeros(0, np.int32), *ids]).astype(np.int32)
        return cls(flat, offsets, labels, numbers, groups, full_lengths, unknown)

    def __len__(self) -> int:
        return len(self.lengths)

    def places(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Returns the positions in ``flat`` of the tokens of texts ``rows``, of shape (n,)."""
        lengths = self.lengths[rows].astype(np.int64)
        shift = self.offsets[rows] - (np.cumsum(lengths) - lengths)
        positions: NDArray[np.int64] = np.arange(int(lengths.sum())) + np.repeat(shift, lengths)
        return positions

    def ids(self, row: int) -> NDArray[np.int32]:
        """Returns the token ids ``(T,)`` of one text.

        Raises:
            IndexError: there is no such row.
        """
        if not 0 <= row < len(self):
            raise IndexError(f"there is no row {row} among {len(self)}")
        return self.flat[self.offsets[row] : self.offsets[row + 1]].astype(np.int32, copy=False)
