"""The types that all backends share: one call of the recurrence, and inputs given as rows of a table.

Dimensions: ``B`` batch, ``T`` time, ``E`` input features, ``H`` hidden units.
Inside the kernels time comes first: ``(T, B, E)``.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional

from recurra.cells import cell_named
from recurra.cells.spec import Activation, State, Weights

__all__ = [
    "Call",
    "Lookup",
    "Precision",
    "check_lengths",
    "check_shapes",
    "has_no_values",
    "is_recorded",
    "is_transformed",
    "valid_steps",
]

Precision: TypeAlias = Literal["float32", "bfloat16"]


class Lookup(NamedTuple):
    """Inputs that are rows of a table: step ``t`` of row ``b`` is ``table[index[t, b]]``.

    A backend may read the rows in place; ``dense`` copies them. Outside the kernels, where batch comes first,
    ``index`` is ``(B, T)`` and ``shape`` is ``(B, T, E)``, as with any other input.
    """

    table: Tensor
    """``(U, E)`` floating point."""
    index: Tensor  # type: ignore[assignment]  # replaces a method of tuple
    """``(T, B)`` int64, each from 0 to U - 1."""

    @property
    def shape(self) -> torch.Size:
        """``(T, B, E)``"""
        return torch.Size((*self.index.shape, self.table.shape[1]))

    @property
    def device(self) -> torch.device:
        """The device of the table."""
        return self.table.device

    def transpose(self, first: int, second: int) -> Lookup:
        """The same inputs with two dimensions of the index swapped, without a copy."""
        return Lookup(self.table, self.index.transpose(first, second))

    def dense(self) -> Tensor:
        """The inputs as a tensor ``(T, B, E)``, with a gradient to the table."""
        return functional.embedding(self.index, self.table)


class Call(NamedTuple):
    """One layer in one direction over one batch: what a backend computes, or refuses to."""

    cell: str
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
    """Of the factors of matrix products; ``"float32"`` means the dtype of the tensors."""

    @property
    def units(self) -> int:
        """``H``"""
        return cell_named(self.cell).units(self.weights)

    def initial(self) -> State:
        """The state before the first step."""
        if self.state is not None:
            return self.state
        values = self.x.table if isinstance(self.x, Lookup) else self.x
        return (values.new_zeros(self.x.shape[1], self.units),) * len(cell_named(self.cell).state)

    def inputs(self) -> Tensor:
        """``(T, B, E)`` the input as one tensor, multiplied with its mask."""
        x = self.x.dense() if isinstance(self.x, Lookup) else self.x
        return x if self.input_mask is None else x * self.input_mask


def valid_steps(lengths: Tensor, T: int) -> Tensor:
    """``(T, B)`` true where a step lies inside its row."""
    return torch.arange(T, device=lengths.device)[:, None] < lengths


def is_transformed() -> bool:
    """Whether a ``torch.func`` transform (vmap, grad, jvp, ...) or forward-mode differentiation is active.

    Only plain operations on tensors follow these; of the backends, only the reference consists of them.
    """
    if torch.compiler.is_compiling():
        return False
    return torch._C._functorch.peek_interpreter_stack() is not None or forward_ad._current_level >= 0


def is_recorded() -> bool:
    """Whether a graph of operations is made (``torch.compile``, ``torch.export``, ``torch.jit.trace``)."""
    return torch.compiler.is_compiling() or torch._C._get_tracing_state() is not None


def has_no_values(tensor: Tensor) -> bool:
    """Whether a tensor's values can't be read: on the meta device, or batched by ``torch.func.vmap``."""
    if tensor.is_meta:
        return True
    while torch._C._functorch.is_functorch_wrapped_tensor(tensor):
        if torch._C._functorch.is_batchedtensor(tensor):
            return True
        tensor = torch._C._functorch.get_unwrapped(tensor)
    return False


def check_shapes(call: Call) -> None:
    """Checks that the shapes match; a kernel would read past the end of an array otherwise.

    Raises:
        ValueError: a shape does not match.
    """
    spec = cell_named(call.cell)
    (_, B, E), H = call.x.shape, spec.units(call.weights)
    shapes = spec.shapes(E, H)
    if len(call.weights) != len(shapes):
        raise ValueError(f"{call.cell} of {E} features and {H} units has the parameters {', '.join(shapes)}")
    for name, shape in shapes.items():
        _check(name, call.weights[name], shape)
    if call.state is not None:
        if len(call.state) != len(spec.state):
            raise ValueError(
                f"the state of {call.cell} is ({', '.join(spec.state)}), not of {len(call.state)}"
            )
        for name, part in zip(spec.state, call.state, strict=True):
            _check(name, part, (B, H))
    if call.input_mask is not None:
        _check("input_mask", call.input_mask, (B, E))
    if call.recurrent_mask is not None:
        if not spec.recurrent_dropout:
            raise ValueError(f"{call.cell} has no recurrent product, so it takes no recurrent_mask")
        _check("recurrent_mask", call.recurrent_mask, (B, H))


def check_lengths(lengths: Tensor, T: int, B: int) -> tuple[int, int]:
    """The shortest and the longest length; ``(T, T)`` without rows, ``(0, T)`` if they have no values.

    Raises:
        ValueError: the shape is not ``(B,)``, or a length is not from 0 to ``T``.
    """
    _check("lengths", lengths, (B,))
    if B == 0:
        return T, T
    if has_no_values(lengths):
        return 0, T
    shortest, longest = (int(value) for value in torch.aminmax(lengths))
    if shortest < 0 or longest > T:
        raise ValueError(f"lengths run from {shortest} to {longest}, the input has {T} steps")
    return shortest, longest


def _check(name: str, part: Tensor, shape: tuple[int, ...]) -> None:
    if part.shape != shape:
        raise ValueError(f"{name} is {tuple(part.shape)}, not {shape}")
