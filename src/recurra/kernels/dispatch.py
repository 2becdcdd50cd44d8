"""The only door to the kernels: one layer of the recurrence goes to the fastest backend that computes it."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from recurra.cells.spec import Activation, State, Weights
from recurra.errors import BackendError
from recurra.kernels import cpu, reference, torch_native
from recurra.kernels.cpu import release_workspaces, to_be_compiled
from recurra.kernels.reference import gate_sums
from recurra.kernels.terms import (
    Call,
    Lookup,
    Precision,
    check_lengths,
    check_shapes,
    has_no_values,
    is_transformed,
)

__all__ = [
    "BACKENDS",
    "Call",
    "Lookup",
    "Precision",
    "check_lengths",
    "gate_sums",
    "has_no_values",
    "is_transformed",
    "layer",
    "recurrence",
    "release_workspaces",
    "to_be_compiled",
]

BACKENDS = ("auto", "cpu", "reference", "torch")
_TRANSFORMS = "torch.func transforms or forward-mode differentiation"


def recurrence(
    cell: str,
    x: Tensor | Lookup,
    lengths: Tensor | None,
    state: State | None,
    weights: Weights,
    *,
    input_mask: Tensor | None = None,
    recurrent_mask: Tensor | None = None,
    activation: Activation = "tanh",
    reverse: bool = False,
    precision: Precision = "float32",
    backend: str = "auto",
) -> tuple[Tensor, State]:
    """One layer in one direction over all steps.

    Args:
        cell: its name, such as ``"lstm"``.
        x: ``(T, B, E)`` inputs, time first; or a table and which of its rows they are.
        lengths: ``(B,)`` true steps of each row; None where every row has ``T``.
        state: initial state parts, each ``(B, H)``, such as ``(h, c)`` of LSTM; None for zeros.
        weights: of this layer and direction.
        input_mask: ``(B, E)`` multiplied with the input at every step.
        recurrent_mask: ``(B, H)`` multiplied with the state entering the recurrent product at every step.
        activation: ``"tanh"``, ``"relu"`` or a function of a tensor.
        reverse: read each row from its own last step to its first.
        precision: of the numbers that are multiplied.
        backend: as in ``layer``.

    Returns:
        Outputs ``(T, B, H)`` in time order, zero past each length, and the last state.

    Raises:
        BackendError: a backend asked for by name can't compute this, or there is none of that name.
    """
    call = Call(cell, x, lengths, state, weights, recurrent_mask, activation, reverse, input_mask, precision)
    outputs, (last,) = layer([call], backend=backend)
    return outputs, last


def layer(
    calls: Sequence[Call], *, sequences: bool = True, backend: str = "auto", lengths_checked: bool = False
) -> tuple[Tensor, tuple[State, ...]]:
    """One layer in one direction or in two over the same input.

    Args:
        calls: the forward direction and, if any, the backward one; of one cell, input and activation.
        sequences: whether all states are wanted.
        backend: ``"cpu"``, our kernels; ``"torch"``, its own; ``"reference"``, plain loops; ``"auto"``, the
            first of these that can serve.
        lengths_checked: whether the caller has checked the lengths with ``check_lengths``.

    Returns:
        Outputs ``(T, B, D*H)`` in time order, zero past each length (anything, where not wanted), and the
        last state of each direction.

    Raises:
        BackendError: a backend asked for by name can't compute this, or there is none of that name.
        ValueError: shapes don't fit each other, or a length is not from 0 to ``T``.
    """
    for call in calls:
        check_shapes(call)
    lengths = calls[0].lengths  # of every direction
    if lengths is not None and not lengths_checked and not torch.compiler.is_compiling():
        check_lengths(lengths, *calls[0].x.shape[:2])
    if backend == "auto":
        backend = _fastest(calls[0])
    elif backend not in BACKENDS:
        raise BackendError(f"there is no backend {backend!r}", hint=f"there are {', '.join(BACKENDS)}")
    elif backend != "reference":
        module = cpu if backend == "cpu" else torch_native
        reason = _TRANSFORMS if is_transformed() else module.unsupported_reason(calls[0])
        if reason is not None:
            raise BackendError(
                f"backend {backend!r} has no {reason}", hint="use backend 'auto' or 'reference'"
            )
    if backend == "cpu":
        return cpu.run(calls, sequences=sequences)
    run = torch_native.run if backend == "torch" else reference.run
    found = [run(call) for call in calls]
    outputs = found[0][0] if len(found) == 1 else torch.cat([one for one, _ in found], dim=2)
    return outputs, tuple(state for _, state in found)


def _fastest(call: Call) -> str:
    """The backend that ``auto`` takes: each can do what the next can, or does it faster."""
    reason = _TRANSFORMS if is_transformed() else cpu.unsupported_reason(call)
    if reason is None:
        return "cpu"
    if call.precision != "float32":  # the reference's loop takes a hundred times as long: not by accident
        raise BackendError(f"no backend but 'reference' has {reason}", hint="use precision 'float32'")
    if reason == _TRANSFORMS:
        return "reference"
    if cpu.unavailable_reason() is not None and call.x.device.type == "cpu":
        _say_once(cpu.unavailable_reason())
    return "torch" if torch_native.unsupported_reason(call) is None else "reference"


@cache
def _say_once(reason: str | None) -> None:
    warnings.warn(
        f"the fast CPU kernels can't be used: no {reason}; torch's own take their place", stacklevel=4
    )
