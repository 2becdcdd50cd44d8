"""Texts as one long stream of tokens, cut into parallel streams and windows for a language model.

Every text begins with the start token, and one more stands at the end of all: so the same token ends a text
and begins the next one, and a text of n words has n + 1 tokens to be told, the end included.
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

_AT_ONCE = 1 << 20


class TokenStream:
    """The tokens of some texts one after the other, the start token at the very end; read by slices.

    Nothing but the places of the texts is held in memory.

    Args:
        examples: where ids are read; every text begins with its start token.
        rows: which texts, ascending; None for all.
        end: the start token's id, which ends the stream.

    Example:
        >>> texts = Examples.from_arrays([np.array([1, 5, 6]), np.array([1, 7])])
        >>> TokenStream(texts).read(0, 6).tolist()
        [1, 5, 6, 1, 7, 1]
    """

    def __init__(self, examples: Examples, rows: NDArray[np.int64] | None = None, *, end: int = 1) -> None:
        chosen = np.arange(len(examples)) if rows is None else np.asarray(rows, np.int64)
        self.rows = chosen
        self.end = end
        self._flat = examples.flat
        starts = np.asarray(examples.offsets)[chosen]
        lengths = examples.lengths[chosen].astype(np.int64)
        self.starts: NDArray[np.int64] = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        """``(N + 1,)`` where each text begins in the stream, and where the last one ends."""
        # Texts that lie one behind the other in the file are one run, read by one slice.
        apart = np.ones(len(starts), bool)
        apart[1:] = starts[1:] != (starts + lengths)[:-1]
        self._runs = self.starts[:-1][apart]
        self._places = starts[apart]

    def __len__(self) -> int:
        """Tokens, the last start token included; 1 where there is no text."""
        return int(self.starts[-1]) + 1

    @property
    def targets(self) -> int:
        """Tokens that have one before them: so many are told."""
        return len(self) - 1

    def read(self, begin: int, end: int) -> NDArray[np.int64]:
        """The tokens from ``begin`` up to ``end``.

        Raises:
            IndexError: the stream has no such part.
        """
        if not 0 <= begin <= end <= len(self):
            raise IndexError(f"there is no part {begin}:{end} of {len(self)} tokens")
        found = np.full(end - begin, self.end, np.int64)
        at, last = begin, min(end, self.targets)
        run = int(np.searchsorted(self._runs, at, side="right")) - 1
        while at < last:
            stop = min(last, int(self._runs[run + 1]) if run + 1 < len(self._runs) else last)
            place = int(self._places[run]) + at - int(self._runs[run])
            found[at - begin : stop - begin] = self._flat[place : place + stop - at]
            at, run = stop, run + 1
        return found

    def counts(self, vocab_size: int) -> NDArray[np.int64]:
        """``(V,)`` how often each token is told."""
        found = np.zeros(vocab_size, np.int64)
        for begin in range(1, len(self), _AT_ONCE):
            found += np.bincount(self.read(begin, min(begin + _AT_ONCE, len(self))), minlength=vocab_size)
        return found


@dataclass(frozen=True)
class StreamBatch:
    """A window of ``B`` parallel streams.

    Attributes:
        tokens: ``(B, T)`` int64, what is read.
        targets: ``(B, T)`` int64, what comes next at each step; 0 past the length.
        lengths: ``(B,)`` int64 true steps of each row, or None where every row has ``T``.
        fresh: whether the streams begin here; else they go on from the states of the batch before.
    """

    tokens: torch.Tensor
    targets: torch.Tensor
    lengths: torch.Tensor | None
    fresh: bool

    @property
    def size(self) -> int:
        """Tokens told."""
        return self.targets.numel() if self.lengths is None else int(self.lengths.sum())

    @property
    def steps(self) -> int:
        """As :attr:`size`: every step tells a token."""
        return self.size


class Streams:
    """A stream for training: cut into ``B`` equal parallel streams, given window by window.

    Row ``b`` of each batch goes on where row ``b`` of the batch before ended, so states can be carried on
    (truncated backpropagation through time). The last window may be shorter. Each token is told once an
    epoch, but for the fewer than ``B`` at the end that don't divide. All epochs are alike: their order is
    that of the text. Where the stream is short, there are fewer rows, so that each has a whole window.

    Args:
        stream: what to cut.
        batch_size: ``B``, at most.
        bptt: ``T``, steps of a window.

    Example:
        >>> stream = TokenStream(Examples.from_arrays([np.array([1, 2, 3, 4, 5, 6, 7])]))
        >>> [(b.tokens.tolist(), b.targets.tolist()) for b in Streams(stream, 2, 2).epoch(0)]
        [([[1, 2], [4, 5]], [[2, 3], [5, 6]]), ([[3], [6]], [[4], [7]])]
    """

    def __init__(self, stream: TokenStream, batch_size: int, bptt: int) -> None:
        if batch_size < 1 or bptt < 1:
            raise ValueError(f"batch_size {batch_size} and bptt {bptt} must be 1 or more")
        self.stream = stream
        self.bptt = bptt
        self.batch_size = max(1, min(batch_size, stream.targets // bptt))
        self.length = stream.targets // self.batch_size
        """Steps of each row an epoch."""

    def __len__(self) -> int:
        return -(-self.length // self.bptt)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[StreamBatch]:
        """The windows from number ``start`` on; those before are not read."""
        if start < 0:
            raise ValueError(f"start {start} is negative")
        return (self._window(number) for number in range(start, len(self)))

    def _window(self, number: int) -> StreamBatch:
        begin = number * self.bptt
        end = min(begin + self.bptt, self.length)
        rows = [
            self.stream.read(row * self.length + begin, row * self.length + end + 1)
            for row in range(self.batch_size)
        ]
        both = torch.from_numpy(np.stack(rows))
        return StreamBatch(both[:, :-1].contiguous(), both[:, 1:].contiguous(), None, fresh=number == 0)


class TextStreams:
    """A stream for measuring: cut into parallel streams of whole texts, every token told exactly once.

    Rows begin with a text, so that nothing is known less of than its own text's beginning; they are of
    about equal length, and end one after the other (``StreamBatch.lengths``).

    Args:
        stream: what to cut.
        streams: rows, at most.
        bptt: steps of a window.
    """

    def __init__(self, stream: TokenStream, streams: int, bptt: int) -> None:
        if streams < 1 or bptt < 1:
            raise ValueError(f"streams {streams} and bptt {bptt} must be 1 or more")
        self.stream = stream
        self.bptt = bptt
        starts = stream.starts
        wanted = np.arange(streams + 1) * (stream.targets / streams)
        cuts = starts[np.clip(np.searchsorted(starts, wanted), 0, len(starts) - 1)]
        self.bounds: NDArray[np.int64] = np.unique(np.r_[0, cuts, starts[-1]])
        """Where each row begins in the stream, and where the last one ends."""
        self._lengths = np.diff(self.bounds)

    def __len__(self) -> int:
        return -(-int(self._lengths.max(initial=0)) // self.bptt)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[StreamBatch]:
        """The windows from number ``start`` on."""
        return (self._window(number) for number in range(start, len(self)))

    def gather(self, windows: list[NDArray[Any]]) -> NDArray[Any]:
        """``(targets,)`` in the stream's order: the values ``(B, T)`` of all windows put back in place."""
        rows = np.concatenate(windows, axis=1)
        return np.concatenate([row[:length] for row, length in zip(rows, self._lengths, strict=True)])

    def _window(self, number: int) -> StreamBatch:
        lengths = np.clip(self._lengths - number * self.bptt, 0, self.bptt)
        T = int(lengths.max())
        both = np.zeros((len(lengths), T + 1), np.int64)
        for row, length in enumerate(lengths.tolist()):
            if length:
                begin = int(self.bounds[row]) + number * self.bptt
                both[row, : length + 1] = self.stream.read(begin, begin + length + 1)
        tokens, targets = both[:, :-1].copy(), both[:, 1:].copy()
        tokens[np.arange(T) >= lengths[:, None]] = 0
        whole = bool((lengths == T).all())
        return StreamBatch(
            torch.from_numpy(tokens),
            torch.from_numpy(targets),
            None if whole else torch.from_numpy(lengths),
            fresh=number == 0,
        )
