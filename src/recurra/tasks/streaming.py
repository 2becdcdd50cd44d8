"""Answers while a text arrives: the states of a recurrent network are carried from token to token."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from recurra.errors import ConfigError, DataError
from recurra.layers import AttentionPooling, JoinedPooling, MaxPooling, MeanPooling, Recurrent, States

__all__ = ["CarriedStack", "Streamed", "pieces_of", "prefixes", "refuse_backward", "without_number"]

Streamed: TypeAlias = dict[str, Any]
"""An answer after a piece: ``step`` from 1 on, the ``piece``, and the values of the task's answers."""
_KEPT = 64  # steps to which a stack can be set back
_PIECE = re.compile(r"\s*(?:[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[\w'’]+|[^\w\s])")


@dataclass(frozen=True)
class _Snapshot:
    """What is carried after some steps: the states of all layers, and what pooling needs.

    ``attention`` is for each pooling layer with attention the largest score, the sum of the weights, and that
    of the weighted states.
    """

    states: States | None = None
    steps: int = 0
    total: Tensor | float = 0.0
    largest: Tensor | None = None
    attention: tuple[tuple[Tensor, Tensor, Tensor], ...] = field(default=())


class CarriedStack:
    """Recurrent layers and pooling that read one sequence step by step.

    After each call the features equal those of the layers for the whole sequence so far, but for rounding.

    Args:
        stack: recurrent layers in one direction.
        pooling: the pooling layer; None if only the last state is used.

    Raises:
        ConfigError: the layers read backward too.

    Example:
        >>> from recurra.layers import GRU
        >>> stack, x = GRU(3, 4).eval(), torch.randn(1, 5, 3)
        >>> carried = CarriedStack(stack, MeanPooling())
        >>> with torch.no_grad():
        ...     for step in range(5):
        ...         features = carried.feed(x[:, step : step + 1], [step])
        ...     torch.allclose(features, stack(x)[0].mean(1), atol=1e-6)
        True
    """

    def __init__(self, stack: Recurrent, pooling: nn.Module | None = None) -> None:
        refuse_backward(stack)
        self._stack = stack
        self._parts: list[nn.Module | None] = [pooling]
        if isinstance(pooling, JoinedPooling):
            self._parts = list(pooling.parts)
        self.keys: list[Hashable] = []
        self._now = _Snapshot()
        self._kept: dict[int, _Snapshot] = {0: self._now}

    def rewind(self, keys: Sequence[Hashable]) -> int:
        """Goes back to where a sequence differs from that which was read, and returns the steps in common.

        That may be fewer than are equal, since not all steps are kept.
        """
        same = 0
        while same < min(len(keys), len(self.keys)) and keys[same] == self.keys[same]:
            same += 1
        if same < len(self.keys):
            same = max(step for step in self._kept if step <= same)
            self._now, self.keys = self._kept[same], self.keys[:same]
            self._kept = {step: kept for step, kept in self._kept.items() if step <= same}
        return same

    def states(self, x: Tensor, keys: Sequence[Hashable]) -> Tensor:
        """Reads further steps (1, T, E), which ``keys`` stand for, and returns their states (1, T, F).

        Where the stack returns no sequences, these are the last state (1, 1, F).
        """
        found, finals = self._stack(x, None, self._now.states)
        output: Tensor = found if found.dim() == 3 else found[:, None]
        self.keys += keys
        self._now = self._after(output, finals)
        self._kept[len(self.keys)] = self._now
        if len(self._kept) > _KEPT:
            del self._kept[min(self._kept.keys() - {0})]
        return output

    def feed(self, x: Tensor, keys: Sequence[Hashable]) -> Tensor:
        """Reads further steps (1, T, E), and returns the features (1, n * F) of the whole sequence."""
        if x.shape[1]:
            self.states(x, keys)
        now = self._now
        if now.states is None:  # no step: as the poolings have it
            return x.new_zeros(1, len(self._parts) * self._stack.output_size)
        last, attention = self._stack.last(now.states), iter(now.attention)
        found: list[Tensor] = []
        for part in self._parts:
            if part is None or isinstance(part, nn.Identity):
                found.append(last)
            elif isinstance(part, MeanPooling):
                found.append((torch.as_tensor(now.total) / now.steps).to(last))
            elif isinstance(part, MaxPooling):
                assert now.largest is not None  # noqa: S101  # there was a step
                found.append(now.largest)
            else:
                _, weights, weighted = next(attention)
                found.append((weighted / weights).to(last))
        return torch.cat(found, dim=1)

    def _after(self, output: Tensor, finals: States) -> _Snapshot:
        """What is carried after further states (1, T, F)."""
        before, largest = self._now, output.amax(1)
        return _Snapshot(
            finals,
            before.steps + output.shape[1],
            before.total + output.sum(1, dtype=torch.float64),
            largest if before.largest is None else torch.maximum(before.largest, largest),
            self._attention(output),
        )

    def _attention(self, output: Tensor) -> tuple[tuple[Tensor, Tensor, Tensor], ...]:
        """The sums of a softmax whose scores come one after another."""
        found = []
        parts = [part for part in self._parts if isinstance(part, AttentionPooling)]
        for place, part in enumerate(parts):
            scores = part.score(torch.tanh(part.projection(output))).double()
            top = scores.amax(1)
            if self._now.attention:
                top = torch.maximum(top, self._now.attention[place][0])
            weights = torch.exp(scores - top[:, None])
            sums = weights.sum(1), (weights * output).sum(1)
            if self._now.attention:
                former, *old = self._now.attention[place]
                scale = torch.exp(former - top)
                sums = sums[0] + scale * old[0], sums[1] + scale * old[1]
            found.append((top, *sums))
        return tuple(found)


def refuse_backward(stack: Recurrent) -> None:
    """Raises ConfigError if layers read backward too, so that each token changes all states."""
    if stack.bidirectional:
        raise ConfigError(
            "the network is bidirectional: it reads from the end too, and its states can't be carried",
            hint="compute each prefix anew with recompute, or fit with model.bidirectional=false",
        )


def pieces_of(text: str) -> list[str]:
    """Returns a text in pieces: words, punctuation marks and characters of Chinese, with the space before.

    Example:
        >>> pieces_of("It's good, 很好")
        ["It's", ' good', ',', ' 很', '好']
    """
    pieces = _PIECE.findall(text)
    rest = text[sum(map(len, pieces)) :]
    return [*pieces[:-1], pieces[-1] + rest] if pieces else [text]


def prefixes(inputs: str | Iterable[str]) -> Iterator[tuple[int, str, str]]:
    """Yields the number of a piece from 1 on, the piece, and all pieces so far as one text.

    Args:
        inputs: a text, which is taken to pieces by `pieces_of`; or pieces of a text as they arrive.

    Raises:
        DataError: a piece is not a string.
    """
    text = ""
    for step, piece in enumerate(pieces_of(inputs) if isinstance(inputs, str) else inputs, 1):
        if not isinstance(piece, str):
            raise DataError(f"piece {step} is {type(piece).__name__}, not a string")
        text += piece
        yield step, piece, text


def without_number(record: Mapping[str, Any], number: str) -> dict[str, Any]:
    """Returns the values of an answer without the number of its text."""
    return {name: value for name, value in record.items() if name != number}
