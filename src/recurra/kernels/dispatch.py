"""Runs one layer of the recurrence on the fastest backend that supports it; the only way into the kernels."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from recurra.cells.spec import Activation, State, Weights
from recurra.errors import BackendError
from recurra.kernels import cpu, reference, torch_native
from recurra.kernels.cpu import (
    can_prepare,
    can_round,
    compile_ahead,
    compile_kernels,
    release_workspaces,
    to_be_compiled,
)
from recurra.kernels.linear import Descent, rows_with
from recurra.kernels.lookup import can_find_ngrams, find_ngrams, gather_ngrams
from recurra.kernels.reference import gate_sums
from recurra.kernels.rowwise import can_compute_rows, linear_of_rows, pool_rows
from recurra.kernels.sphere import move_on_sphere
from recurra.kernels.terms import (
    Call,
    Lookup,
    Precision,
    check_lengths,
    check_shapes,
    has_no_values,
    is_recorded,
    is_transformed,
)

if TYPE_CHECKING:
    from recurra.kernels.cpu.prepared import Prepared
else:  # Numba is imported at the first call
    Prepared = Any

__all__ = [
    "BACKENDS",
    "Call",
    "Descent",
    "Lookup",
    "Precision",
    "Prepared",
    "can_compute_rows",
    "can_find_ngrams",
    "can_prepare",
    "can_round",
    "check_lengths",
    "compile_ahead",
    "compile_kernels",
    "fastest",
    "find_ngrams",
    "gate_sums",
    "gather_ngrams",
    "has_no_values",
    "is_recorded",
    "is_transformed",
    "layer",
    "linear_of_rows",
    "move_on_sphere",
    "pool_rows",
    "prepare",
    "recurrence",
    "release_workspaces",
    "rows_with",
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
    """Runs one layer in one direction over all steps.

    Args:
        cell: its name, such as ``"lstm"``.
        x: ``(T, B, E)`` inputs, time first; or a table and which of its rows they are.
        lengths: ``(B,)`` true steps of each row; None where every row has ``T``.
        state: initial state parts, each ``(B, H)``, such as ``(h, c)`` of LSTM; None for zeros.
        weights: the parameters of this layer and direction.
        input_mask: ``(B, E)`` multiplied with the input at every step.
        recurrent_mask: ``(B, H)`` multiplied with the state entering the recurrent product at every step.
        activation: ``"tanh"``, ``"relu"`` or a function of a tensor.
        reverse: whether each row is read from its own last step to its first.
        precision: the precision of the factors of matrix products.
        backend: as in ``layer``.

    Returns:
        Outputs ``(T, B, H)`` in time order, zero past each length, and the last state.

    Raises:
        BackendError: the backend chosen by name does not support this call, or does not exist.
    """
    call = Call(cell, x, lengths, state, weights, recurrent_mask, activation, reverse, input_mask, precision)
    outputs, (last,) = layer([call], backend=backend)
    return outputs, last


def layer(
    calls: Sequence[Call], *, sequences: bool = True, backend: str = "auto", lengths_checked: bool = False
) -> tuple[Tensor, tuple[State, ...]]:
    """Runs one layer in one direction, or in two over the same input.

    Args:
        calls: the forward direction and, if there is one, the backward direction; both of the same cell,
            input, lengths and activation.
        sequences: whether the outputs of all steps are needed.
        backend: ``"cpu"`` for the Numba kernels; ``"torch"`` for PyTorch's; ``"reference"`` for plain loops;
            ``"auto"`` for the first of these that supports the call.
        lengths_checked: whether the caller has checked the lengths with ``check_lengths``.

    Returns:
        Outputs ``(T, B, D*H)`` in time order, zero past each length (undefined without ``sequences``), and
        the last state of each direction.

    Raises:
        BackendError: the backend chosen by name does not support this call, or does not exist.
        ValueError: shapes do not match, or a length is not from 0 to ``T``.
    """
    for call in calls:
        check_shapes(call)
    lengths = calls[0].lengths  # of every direction
    if lengths is not None and not lengths_checked and not torch.compiler.is_compiling():
        check_lengths(lengths, *calls[0].x.shape[:2])
    if backend == "auto":
        backend = fastest(calls[0])
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


def prepare(
    cell: str,
    activations: Sequence[Activation],
    names: Sequence[Sequence[Sequence[str]]],
    parameters: Mapping[str, Tensor | None],
) -> Prepared | None:
    """Prepares a stack of layers for calls with one row, without gradients.

    Args:
        cell: its name.
        activations: of each layer.
        names: of the parameters, in the order of the cell's, of each direction of each layer.
        parameters: the parameters by name.

    Returns:
        The prepared stack; None where the CPU kernels do not support it.
    """
    given = [parameters.get(name) for each in names for one in each for name in one]
    if not cpu.can_prepare(cell, activations, given):
        return None
    from recurra.kernels.cpu.prepared import Prepared

    return Prepared(cell, activations, names, parameters)


def fastest(call: Call) -> str:
    """Returns the backend that ``auto`` chooses for a call.

    On a GPU, ``precision="bfloat16"`` is left to cuDNN where it has the cell. On the CPU it is not left to
    torch, which would round the states too, and take longer than in float32.

    Raises:
        BackendError: on the CPU, no backend rounds the factors alone and is as fast as in float32.
    """
    reason = _TRANSFORMS if is_transformed() else cpu.unsupported_reason(call)
    if reason is None:
        return "cpu"
    on_cpu, rounded = call.x.device.type == "cpu", call.precision != "float32"
    if rounded and (reason == _TRANSFORMS or on_cpu):
        if reason == _TRANSFORMS or fastest(call._replace(precision="float32")) != "reference":
            raise BackendError(f"no backend but 'reference' has {reason}", hint="use precision 'float32'")
        return "reference"
    if reason == _TRANSFORMS:
        return "reference"
    if on_cpu and cpu.unavailable_reason() is not None:
        _warn_once(cpu.unavailable_reason())
    return "torch" if torch_native.unsupported_reason(call) is None else "reference"


@cache
def _warn_once(reason: str | None) -> None:
    warnings.warn(f"the fast CPU kernels can't be used: no {reason}; torch's own are used", stacklevel=4)
