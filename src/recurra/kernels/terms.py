"""The words every backend shares: weights, state, activation, and one call of the recurrence.

Dimensions: ``B`` batch, ``T`` time, ``E`` input features, ``H`` hidden units, ``G`` gates
(SimpleRNN 1; LSTM 4, in the order i, f, g, o; GRU 3, in the order r, z, n).
Inside the kernels time comes first: ``(T, B, E)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

__all__ = [
    "GATES",
    "Activation",
    "Call",
    "Cell",
    "Lookup",
    "Precision",
    "State",
    "Weights",
    "check_shapes",
    "valid_steps",
]

Cell: TypeAlias = Literal["simple_rnn", "lstm", "gru"]
Activation: TypeAlias = str | Callable[[Tensor], Tensor]
Precision: TypeAlias = Literal["float32", "bfloat16"]
State: TypeAlias = tuple[Tensor, ...]
"""``(h,)``, for LSTM ``(h, c)``; each ``(B, H)``."""

GATES: dict[Cell, int] = {"simple_rnn": 1, "lstm": 4, "gru": 3}


class Weights(NamedTuple):
    """The parameters of one layer and one direction, laid out as in ``torch.nn``."""

    weight_ih: Tensor
    """``(G*H, E)``"""
    weight_hh: Tensor
    """``(G*H, H)``"""
    bias_ih: Tensor
    """``(G*H,)``"""
    bias_hh: Tensor | None = None
    """``(G*H,)``, only for GRU, where the reset gate multiplies the product with its bias."""


class Lookup(NamedTuple):
    """Inputs that are rows of a table: step ``t`` of row ``b`` is ``table[index[t, b]]``.

    A backend may read the rows where they lie; ``dense`` copies them out. Outside the kernels, where batch
    comes first, ``index`` is ``(B, T)`` and ``shape`` is ``(B, T, E)``, as with any other input.
    """

    table: Tensor
    """``(U, E)`` floating point."""
    index: Tensor  # type: ignore[assignment]  # tuple has a method of that name, which no one misses here
    """``(T, B)`` int64, each from 0 to U - 1."""

    @property
    def shape(self) -> torch.Size:
        """``(T, B, E)``"""
        return torch.Size((*self.index.shape, self.table.shape[1]))

    @property
    def device(self) -> torch.device:
        """Where the table lies."""
        return self.table.device

    def transpose(self, first: int, second: int) -> Lookup:
        """The same inputs with two dimensions of the index swapped, as with a tensor; nothing is copied."""
        return Lookup(self.table, self.index.transpose(first, second))

    def dense(self) -> Tensor:
        """``(T, B, E)`` the rows themselves, with a gradient to the table."""
        return functional.embedding(self.index, self.table)


@dataclass(frozen=True)
class Call:
    """One call of the recurrence: everything a backend needs, and needs to refuse it."""

    cell: Cell
    x: Tensor | Lookup
    """``(T, B, E)``"""
    lengths: Tensor | None
    """``(B,)`` true steps of each row; None where all rows have ``T``."""
    state: State | None
    """None for zeros."""
    weights: Weights
    recurrent_mask: Tensor | None = None
    """``(B, H)`` multiplies the state that enters the recurrent product, the same at every step."""
    activation: Activation = "tanh"
    reverse: bool = False
    input_mask: Tensor | None = None
    """``(B, E)`` multiplies the input, the same at every step."""
    precision: Precision = "float32"
    """Of the numbers that are multiplied; ``"float32"`` stands for whatever the tensors have."""

    def initial(self) -> State:
        """The state before the first step."""
        if self.state is not None:
            return self.state
        values = self.x.table if isinstance(self.x, Lookup) else self.x
        zeros = values.new_zeros(self.x.shape[1], self.weights.weight_hh.shape[1])
        return (zeros, zeros) if self.cell == "lstm" else (zeros,)

    def inputs(self) -> Tensor:
        """``(T, B, E)`` the input as one tensor, multiplied with its mask."""
        x = self.x.dense() if isinstance(self.x, Lookup) else self.x
        return x if self.input_mask is None else x * self.input_mask


def valid_steps(lengths: Tensor, T: int) -> Tensor:
    """``(T, B)`` true where a step lies inside its row."""
    return torch.arange(T, device=lengths.device)[:, None] < lengths


def check_shapes(call: Call) -> None:
    """Refuse a call whose parts don't fit each other: a kernel would read past their ends.

    Raises:
        ValueError: the first part that does not fit, with both shapes, or the lengths out of range.
    """
    (T, B, E), (rows, H) = call.x.shape, call.weights.weight_hh.shape
    states = ("h", "c")[: len(call.state or ())]
    parts = [
        ("weight_ih", call.weights.weight_ih, (rows, E)),
        ("weight_hh", call.weights.weight_hh, (GATES[call.cell] * H, H)),
        ("bias_ih", call.weights.bias_ih, (rows,)),
        ("bias_hh", call.weights.bias_hh, (rows,)),
        ("input_mask", call.input_mask, (B, E)),
        ("recurrent_mask", call.recurrent_mask, (B, H)),
        ("lengths", call.lengths, (B,)),
        *((name, part, (B, H)) for name, part in zip(states, call.state or (), strict=True)),
    ]
    for name, part, shape in parts:
        if part is not None and part.shape != shape:
            raise ValueError(f"{name} is {tuple(part.shape)}, not {shape}")
    if call.lengths is not None and B > 0 and not torch.compiler.is_compiling():
        shortest, longest = (int(value) for value in torch.aminmax(call.lengths))
        if shortest < 0 or longest > T:
            raise ValueError(f"lengths run from {shortest} to {longest}, the input has {T} steps")
