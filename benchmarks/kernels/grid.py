"""Which cases are timed: cells, shapes and variants, and how much each of them computes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["CELLS", "GRIDS", "VARIANTS", "VOCABULARY", "Case"]

CELLS = {"simple_rnn": 1, "lstm": 4, "gru": 3}  # gates
VARIANTS = (
    "forward",
    "forward_bidirectional",
    "forward_tokens",
    "training",
    "lengths",
    "recurrent_dropout",
    "bidirectional",
    "two_layers",
    "tokens",
)
"""All but those that begin with ``forward`` compute the gradients of the input and of every weight as well.

With tokens, the input is a table of vectors and a row of it for each step; its gradient is the table's.
"""
VOCABULARY = 10_000
"""Rows of a table of vectors."""


@dataclass(frozen=True)
class Case:
    """One thing to time: ``B`` rows of ``T`` steps of ``E`` features, ``H`` hidden units."""

    cell: str
    variant: str
    B: int
    T: int
    E: int
    H: int
    seed: int = 1

    @property
    def trains(self) -> bool:
        return not self.variant.startswith("forward")

    @property
    def layers(self) -> int:
        return 2 if self.variant == "two_layers" else 1

    @property
    def directions(self) -> int:
        return 2 if self.variant.endswith("bidirectional") else 1

    @property
    def has_tokens(self) -> bool:
        return self.variant.endswith("tokens")

    @property
    def source(self) -> str:
        """The name of the array whose gradient is that of the input."""
        return "table" if self.has_tokens else "x"

    @property
    def has_lengths(self) -> bool:
        return self.variant == "lengths"

    @property
    def has_mask(self) -> bool:
        return self.variant == "recurrent_dropout"

    @property
    def suffixes(self) -> list[str]:
        """The endings of the weights' names, forward before backward, layer after layer."""
        ends = ["", "_reverse"][: self.directions]
        return [f"l{layer}{end}" for layer in range(self.layers) for end in ends]

    def flops(self, steps: int) -> int:
        """Multiplications and additions of the products with the weights; backward has twice forward's.

        Of tokens as of any input, a product for each step: whoever computes one for each word has fewer.

        Args:
            steps: of all rows together, padding not counted.
        """
        inputs = [self.E, self.directions * self.H][: self.layers]
        forward = sum(2 * steps * CELLS[self.cell] * self.H * (E + self.H) for E in inputs) * self.directions
        return forward * (3 if self.trains else 1)

    @property
    def saved_bytes(self) -> int:
        """About what a plain loop keeps for the gradient: gates, activations and states of every step."""
        numbers = self.B * self.T * (CELLS[self.cell] + 4) * self.H * self.layers * self.directions
        return 2 * 4 * numbers if self.trains else self.B * self.T * (self.E + 4 * self.H) * 4

    def __str__(self) -> str:
        return f"{self.cell} {self.variant} B={self.B} T={self.T} E={self.E} H={self.H}"


def _cases(
    variants: Iterable[str],
    B: Iterable[int] = (64,),
    T: Iterable[int] = (500,),
    E: Iterable[int] = (32,),
    H: Iterable[int] = (100,),
    cells: Iterable[str] = tuple(CELLS),
) -> list[Case]:
    shapes = itertools.product(B, T, E, H)
    return [Case(cell, variant, *s) for s, cell, variant in itertools.product(shapes, cells, variants)]


def full() -> list[Case]:
    """Every combination: 3,240 cases, days."""
    T, H = (1, 50, 500), (32, 100, 128, 256, 512)
    return _cases(VARIANTS, B=(1, 8, 64, 256), T=T, E=(32, 300), H=H)


def course() -> list[Case]:
    """The course's shape: one layer in its usual forms."""
    usual = ("forward", "training", "lengths", "recurrent_dropout", "bidirectional", "two_layers")
    return _cases(usual)


def sizes() -> list[Case]:
    """Forward and training with more and fewer units, rows, steps and features."""
    return [
        *_cases(["forward", "training"], H=[32, 128, 256, 512]),
        *_cases(["training"], E=[300]),
        *_cases(["training"], B=[8, 256]),
        *_cases(["training"], T=[50]),
    ]


def single() -> list[Case]:
    """One text at a time, in one direction and in both."""
    return _cases(["forward", "forward_bidirectional"], B=[1], T=[1, 50, 500], H=[32, 100, 256])


def tokens() -> list[Case]:
    """A table of vectors and the rows of a batch of texts."""
    return [
        *_cases(["forward_tokens", "tokens"], E=[32, 300]),
        *_cases(["forward_tokens"], B=[1]),
    ]


def table() -> list[Case]:
    """All of ``course``, ``sizes``, ``single`` and ``tokens``."""
    return [*course(), *sizes(), *single(), *tokens()]


def quick() -> list[Case]:
    """Does everything still work? Sizes that say nothing about speed."""
    small = {"B": [3], "T": [7], "E": [5], "H": [6]}
    return [
        *_cases(VARIANTS, **small, cells=["lstm"]),
        *_cases(["forward", "recurrent_dropout", "tokens"], **small, cells=["simple_rnn", "gru"]),
    ]


GRIDS = {
    "table": table,
    "course": course,
    "sizes": sizes,
    "single": single,
    "tokens": tokens,
    "full": full,
    "quick": quick,
}
