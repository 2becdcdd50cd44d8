"""Examples to padded batches of similar length, in an order that depends on a seed."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from recurra.io.examples import Examples

__all__ = ["Batch", "Batches", "even_parts"]


@dataclass(frozen=True)
class Batch:
    """Texts of similar length, padded at their end with 0 to the length of the longest.

    Attributes:
        tokens: ``(B, T)`` int64.
        lengths: ``(B,)`` int64 number of tokens of each text, without padding.
        labels: ``(B,)`` int64, ``(B, C)`` float32, or None.
        rows: ``(B,)`` int64 positions of the texts among the examples.
        weights: ``(B,)`` float32 weights of the texts in the loss, or None for equal weights.
    """

    tokens: torch.Tensor
    lengths: torch.Tensor
    labels: torch.Tensor | None
    rows: NDArray[np.int64]
    weights: torch.Tensor | None = None

    @property
    def size(self) -> int:
        """The number of texts, B."""
        return len(self.rows)

    @property
    def steps(self) -> int:
        """The number of tokens of all texts, without padding."""
        return int(self.lengths.sum())

    def part(self, number: int, parts: int) -> Batch:
        """Returns one of several parts with about the same number of tokens; see `even_parts`.

        Example:
            >>> texts = Examples.from_arrays([np.arange(1, n + 1) for n in (3, 1, 2)])
            >>> batch = next(Batches(texts, None, 3).epoch(0))
            >>> [batch.part(number, 2).tokens.tolist() for number in (0, 1)]
            [[[1, 2, 3]], [[1, 0], [1, 2]]]
        """
        rows = torch.from_numpy(even_parts(self.lengths.numpy(), parts)[number])
        lengths = self.lengths[rows]
        width = int(lengths.max()) if len(rows) else 0
        return Batch(
            tokens=self.tokens[rows, :width],
            lengths=lengths,
            labels=None if self.labels is None else self.labels[rows],
            rows=self.rows[rows.numpy()],
            weights=None if self.weights is None else self.weights[rows],
        )


def even_parts(lengths: NDArray[np.int64], parts: int) -> list[NDArray[np.int64]]:
    """Returns the positions of the rows of each part, ascending.

    The rows are given out from the longest to the shortest, each to the part with the fewest tokens.

    Args:
        lengths: ``(B,)`` lengths of the rows.
        parts: the number of parts; if there are fewer rows, some parts are empty.

    Example:
        >>> [part.tolist() for part in even_parts(np.array([9, 2, 5, 4, 4]), 2)]
        [[0, 4], [1, 2, 3]]
    """
    positions: list[list[int]] = [[] for _ in range(parts)]
    totals = [(0, part) for part in range(parts)]
    for row in np.argsort(-lengths, kind="stable").tolist():
        total, part = totals[0]
        positions[part].append(row)
        heapq.heapreplace(totals, (total + int(lengths[row]), part))
    return [np.array(sorted(rows), np.int64) for rows in positions]


class Batches:
    """Each of the rows once an epoch, in batches of ``batch_size`` (one may be smaller).

    If ``shuffle``, rows are drawn at random into buckets of ``bucket`` batches, sorted by length within a
    bucket, so that batches have little padding, and the batches of all buckets are shuffled. The order
    depends only on ``seed`` and the epoch. Otherwise rows are sorted by length, equal lengths by row.

    Args:
        examples: the ids and labels.
        rows: the rows to use; None for all.
        batch_size: B.
        shuffle: whether the order is random, as in training.
        seed: of the order.
        bucket: the number of batches that are sorted by length together; 1 gives entirely random batches.
        weights: ``(N,)`` float32, the weight of each example in the loss; None for equal weights.

    Example:
        >>> texts = Examples.from_arrays([np.arange(1, n + 1) for n in (3, 1, 2)])
        >>> [batch.tokens.tolist() for batch in Batches(texts, None, 2).epoch(0)]
        [[[1, 0], [1, 2]], [[1, 2, 3]]]
    """

    def __init__(
        self,
        examples: Examples,
        rows: NDArray[np.int64] | None,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        bucket: int = 50,
        weights: NDArray[np.float32] | None = None,
    ) -> None:
        if batch_size < 1 or bucket < 1:
            raise ValueError(f"batch_size {batch_size} and bucket {bucket} must be 1 or more")
        self.examples = examples
        rows = np.arange(len(examples)) if rows is None else rows
        self.rows: NDArray[np.int64] = np.asarray(rows, np.int64).reshape(-1)
        if len(self.rows) and not 0 <= self.rows.min() <= self.rows.max() < len(examples):
            raise ValueError(f"rows must be between 0 and {len(examples) - 1}")
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.bucket = bucket
        self.weights = weights
        self._lengths = examples.lengths[self.rows]
        self.tokens_in_epoch = int(self._lengths.sum(dtype=np.int64))

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Returns the batches of one epoch from batch ``start`` on, without reading those before.

        ``list(epoch(e, k))`` equals ``list(epoch(e))[k:]``.
        """
        if start < 0:
            raise ValueError(f"start {start} is negative")
        order, places = self._order(epoch)
        size = self.batch_size
        return (self._collate(self.rows[order[at : at + size]]) for at in (places[start:] * size).tolist())

    def _order(self, epoch: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Positions in ``self.rows``, batch by batch, and the order of the batches."""
        if not self.shuffle:
            return np.argsort(self._lengths, kind="stable"), np.arange(len(self))
        random = np.random.default_rng([self.seed, epoch])
        order = random.permutation(len(self.rows))
        size = self.bucket * self.batch_size
        for begin in range(0, len(order), size):
            part = order[begin : begin + size]
            order[begin : begin + size] = part[np.argsort(self._lengths[part], kind="stable")]
        return order, random.permutation(len(self))

    def _collate(self, rows: NDArray[np.int64]) -> Batch:
        lengths = self.examples.lengths[rows].astype(np.int64)
        flat, starts = self.examples.flat, self.examples.offsets[rows]
        tokens = np.zeros((len(rows), int(lengths.max())), np.int64)
        # A slice for each text takes 0.1 ms for 64 x 500 tokens.
        for line, begin, length in zip(tokens, starts.tolist(), lengths.tolist(), strict=True):
            line[:length] = flat[begin : begin + length]
        labels = self.examples.labels
        return Batch(
            tokens=torch.from_numpy(tokens),
            lengths=torch.from_numpy(lengths),
            labels=None if labels is None else torch.from_numpy(np.asarray(labels)[rows]),
            rows=rows,
            weights=None if self.weights is None else torch.from_numpy(self.weights[rows]),
        )
