"""Texts as one stream of tokens, split into parallel streams and windows for a language model.

Every text starts with the start token, and the stream ends with one: the same token ends a text and starts
the next one, and a text of n words has n + 1 tokens to predict, with the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recurra.io.examples import Examples

__all__ = ["StreamBatch", "Streams", "TextStreams", "TokenStream"]

_CHUNK = 1 << 20
"""Number of tokens that are read at once."""


class TokenStream:
    """The concatenated tokens of texts, with a start token at the end; read by slices.

    Only the positions of the texts are kept in memory.

    Args:
        examples: the token ids; every text starts with the start token.
        rows: indices of the texts, sorted; None for all.
        end: id of the start token, which also ends the stream.

    Example:
        >>> texts = Examples.from_arrays([np.array([1, 5, 6]), np.array([1, 7])])
        >>> TokenStream(texts).read(0, 6).tolist()
        [1, 5, 6, 1, 7, 1]
    """

    def __init__(self, examples: Examples, rows: NDArray[np.int64] | None = None, *, end: int = 1) -> None:
        self.rows = np.arange(len(examples)) if rows is None else np.asarray(rows, np.int64)
        self.end = end
        self._flat = examples.flat
        starts = np.asarray(examples.offsets)[self.rows]
        lengths = examples.lengths[self.rows].astype(np.int64)
        self.starts: NDArray[np.int64] = np.r_[0, np.cumsum(lengths)].astype(np.int64)
        """Start of each text in the stream, and end of the last one, of shape (N + 1,)."""
        # Texts that are contiguous in the file form one run, which is read by one slice.
        starts_run = np.ones(len(starts), bool)
        starts_run[1:] = starts[1:] != (starts + lengths)[:-1]
        self._runs = self.starts[:-1][starts_run]
        self._positions = starts[starts_run]

    def __len__(self) -> int:
        """Number of tokens, with the last start token; 1 if there is no text."""
        return int(self.starts[-1]) + 1

    @property
    def targets(self) -> int:
        """Number of tokens to predict: all but the first."""
        return len(self) - 1

    def read(self, begin: int, end: int) -> NDArray[np.int64]:
        """Returns the tokens from ``begin`` up to ``end``, exclusive.

        Raises:
            IndexError: the range is not within the stream.
        """
        if not 0 <= begin <= end <= len(self):
            raise IndexError(f"range {begin}:{end} is not within {len(self)} tokens")
        tokens = np.full(end - begin, self.end, np.int64)
        at, last = begin, min(end, self.targets)
        run = int(np.searchsorted(self._runs, at, side="right")) - 1
        while at < last:
            stop = min(last, int(self._runs[run + 1]) if run + 1 < len(self._runs) else last)
            position = int(self._positions[run]) + at - int(self._runs[run])
            tokens[at - begin : stop - begin] = self._flat[position : position + stop - at]
            at, run = stop, run + 1
        return tokens

    def counts(self, vocab_size: int) -> NDArray[np.int64]:
        """Returns how often each token is predicted, of shape (V,)."""
        counts = np.zeros(vocab_size, np.int64)
        for begin in range(1, len(self), _CHUNK):
            counts += np.bincount(self.read(begin, min(begin + _CHUNK, len(self))), minlength=vocab_size)
        return counts


@dataclass(frozen=True)
class StreamBatch:
    """A window of ``B`` parallel streams.

    Attributes:
        tokens: input tokens of shape (B, T), int64.
        targets: next token at each step, of shape (B, T), int64; 0 after the length.
        lengths: number of steps of each row, of shape (B,), int64; None if every row has ``T``.
        fresh: whether the streams start here; otherwise they continue from the states of the previous batch.
    """

    tokens: torch.Tensor
    targets: torch.Tensor
    lengths: torch.Tensor | None
    fresh: bool

    @property
    def size(self) -> int:
        """Number of tokens to predict."""
        return self.targets.numel() if self.lengths is None else int(self.lengths.sum())

    @property
    def steps(self) -> int:
        """Number of time steps, equal to :attr:`size`."""
        return self.size

    def part(self, number: int, parts: int) -> StreamBatch:
        """Returns one of several parts, of neighbouring streams; the same ones in every window."""
        B = len(self.tokens)
        rows = slice(number * B // parts, (number + 1) * B // parts)
        lengths = None if self.lengths is None else self.lengths[rows]
        return StreamBatch(self.tokens[rows], self.targets[rows], lengths, self.fresh)


class _Windows:
    """Windows of ``bptt`` steps of parallel rows of a stream; rows may end at different steps.

    Args:
        stream: the stream to split.
        bptt: ``T``, the number of steps of a window.
        starts: start of each row in the stream, of shape (B,).
        lengths: number of steps of each row, of shape (B,).
    """

    def __init__(
        self, stream: TokenStream, bptt: int, starts: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> None:
        self.stream = stream
        self.bptt = bptt
        self._starts, self._lengths = starts, lengths

    def __len__(self) -> int:
        return -(-int(self._lengths.max(initial=0)) // self.bptt)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[StreamBatch]:
        """Yields the windows from index ``start`` on, without reading the ones before."""
        if start < 0:
            raise ValueError(f"start {start} is negative")
        return (self._window(number) for number in range(start, len(self)))

    def _window(self, number: int) -> StreamBatch:
        lengths = np.clip(self._lengths - number * self.bptt, 0, self.bptt)
        T = int(lengths.max())
        both = np.zeros((len(lengths), T + 1), np.int64)
        begins = self._starts + number * self.bptt
        for row, (begin, length) in enumerate(zip(begins.tolist(), lengths.tolist(), strict=True)):
            if length:
                both[row, : length + 1] = self.stream.read(begin, begin + length + 1)
        tokens, targets = both[:, :-1].copy(), both[:, 1:].copy()
        tokens[np.arange(T) >= lengths[:, None]] = 0
        return StreamBatch(
            torch.from_numpy(tokens),
            torch.from_numpy(targets),
            None if (lengths == T).all() else torch.from_numpy(lengths),
            fresh=number == 0,
        )


class Streams(_Windows):
    """Windows of a stream for training, split into ``B`` parallel streams of equal length.

    Row ``b`` of each batch continues row ``b`` of the previous batch, so that states can be carried over
    (truncated backpropagation through time). The last window may be shorter. Each token is predicted once per
    epoch, except for fewer than ``B`` tokens at the end. All epochs have the order of the text. For a short
    stream there are fewer rows, so that each has a whole window.

    Args:
        stream: the stream to split.
        batch_size: ``B``, the maximum number of rows.
        bptt: ``T``, the number of steps of a window.

    Example:
        >>> stream = TokenStream(Examples.from_arrays([np.array([1, 2, 3, 4, 5, 6, 7])]))
        >>> [(b.tokens.tolist(), b.targets.tolist()) for b in Streams(stream, 2, 2).epoch(0)]
        [([[1, 2], [4, 5]], [[2, 3], [5, 6]]), ([[3], [6]], [[4], [7]])]
    """

    def __init__(self, stream: TokenStream, batch_size: int, bptt: int) -> None:
        if batch_size < 1 or bptt < 1:
            raise ValueError(f"batch_size {batch_size} and bptt {bptt} must be 1 or more")
        self.batch_size = max(1, min(batch_size, stream.targets // bptt))
        self.length = stream.targets // self.batch_size
        """Number of steps of each row per epoch."""
        rows = np.arange(self.batch_size)
        super().__init__(stream, bptt, rows * self.length, np.full_like(rows, self.length))


class TextStreams(_Windows):
    """Windows of a stream for evaluation, split into parallel streams of whole texts.

    Each token is predicted exactly once, with the context of its whole text. Rows have about equal length and
    end at different steps (``StreamBatch.lengths``).

    Args:
        stream: the stream to split.
        streams: maximum number of rows.
        bptt: number of steps of a window.
    """

    def __init__(self, stream: TokenStream, streams: int, bptt: int) -> None:
        if streams < 1 or bptt < 1:
            raise ValueError(f"streams {streams} and bptt {bptt} must be 1 or more")
        starts = stream.starts
        ideal = np.arange(streams + 1) * (stream.targets / streams)
        cuts = starts[np.clip(np.searchsorted(starts, ideal), 0, len(starts) - 1)]
        self.bounds: NDArray[np.int64] = np.unique(np.r_[0, cuts, starts[-1]])
        """Start of each row in the stream, and end of the last one."""
        super().__init__(stream, bptt, self.bounds[:-1], np.diff(self.bounds))

    def gather(self, windows: list[NDArray[Any]]) -> NDArray[Any]:
        """Returns the values (B, T) of all windows in the order of the stream, of shape (targets,)."""
        rows = np.concatenate(windows, axis=1)
        return np.concatenate([row[:length] for row, length in zip(rows, self._lengths, strict=True)])
