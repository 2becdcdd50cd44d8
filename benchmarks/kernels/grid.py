"""Which cases are timed: cells, shapes and variants, and how much each of them computes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["CELLS", "GRIDS", "VARIANTS", "Case"]

CELLS = {"simple_rnn": 1, "lstm": 4, "gru": 3}  # gates
VARIANTS = ("forward", "training", "lengths", "recurrent_dropout", "bidirectional", "two_layers")
"""All but ``forward`` compute the gradients of the input and of every weight as well."""


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
        return self.variant != "forward"

    @property
    def layers(self) -> int:
        return 2 if self.variant == "two_layers" else 1

    @property
    def directions(self) -> int:
        return 2 if self.variant == "bidirectional" else 1

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
    """Every combination: 1,440 cases, many hours."""
    return _cases(VARIANTS, B=(1, 8, 64, 256), T=(50, 500), E=(32, 300), H=(32, 100, 128, 256, 512))


def table() -> list[Case]:
    """Every variant at the course's shape, and each of the other sizes at least once."""
    return [
        *_cases(VARIANTS),
        *_cases(["forward"], B=[1]),
        *_cases(["forward"], H=[32, 128, 256, 512]),
        *_cases(["training"], H=[32, 256]),
        *_cases(["training"], E=[300]),
        *_cases(["training"], B=[8, 256]),
        *_cases(["training"], T=[50]),
    ]


def quick() -> list[Case]:
    """Does everything still work? Sizes that say nothing about speed."""
    small = {"B": [3], "T": [7], "E": [5], "H": [6]}
    return [
        *_cases(VARIANTS, **small, cells=["lstm"]),
        *_cases(["forward", "recurrent_dropout"], **small, cells=["simple_rnn", "gru"]),
    ]


GRIDS = {"full": full, "table": table, "quick": quick}
