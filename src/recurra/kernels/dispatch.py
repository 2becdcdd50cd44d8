"""The only door to the kernels: one call of the recurrence goes to the fastest backend that computes it."""

from __future__ import annotations

from torch import Tensor

from recurra.errors import BackendError
from recurra.kernels import reference, torch_native
from recurra.kernels.terms import GATES, Activation, Call, Cell, Lookup, State, Weights

__all__ = ["BACKENDS", "GATES", "Activation", "Cell", "Lookup", "State", "Weights", "recurrence"]

BACKENDS = ("auto", "reference", "torch")


def recurrence(
    cell: Cell,
    x: Tensor | Lookup,
    lengths: Tensor | None,
    state: State | None,
    weights: Weights,
    *,
    input_mask: Tensor | None = None,
    recurrent_mask: Tensor | None = None,
    activation: Activation = "tanh",
    reverse: bool = False,
    backend: str = "auto",
) -> tuple[Tensor, State]:
    """One layer in one direction over all steps.

    Args:
        cell: ``"simple_rnn"``, ``"lstm"`` or ``"gru"``.
        x: ``(T, B, E)`` inputs, time first; or a table and which of its rows they are.
        lengths: ``(B,)`` true steps of each row; None where every row has ``T``.
        state: initial ``(h,)``, for LSTM ``(h, c)``, each ``(B, H)``; None for zeros.
        weights: of this layer and direction.
        input_mask: ``(B, E)`` multiplied with the input at every step.
        recurrent_mask: ``(B, H)`` multiplied with the state entering the recurrent product at every step.
        activation: ``"tanh"``, ``"relu"`` or a function of a tensor.
        reverse: read each row from its own last step to its first.
        backend: ``"auto"``, ``"reference"`` or ``"torch"``.

    Returns:
        Outputs ``(T, B, H)`` in time order, zero past each length, and the last state.

    Raises:
        BackendError: a backend asked for by name can't compute this, or there is none of that name.
    """
    if state is None:
        values = x.table if isinstance(x, Lookup) else x
        zeros = values.new_zeros(x.shape[1], weights.weight_hh.shape[1])
        state = (zeros, zeros) if cell == "lstm" else (zeros,)
    call = Call(cell, x, lengths, state, weights, recurrent_mask, activation, reverse, input_mask)
    lack = torch_native.missing(call)
    if backend == "torch" and lack is not None:
        raise BackendError(f"backend 'torch' has no {lack}", mend="use backend 'auto' or 'reference'")
    if backend not in BACKENDS:
        raise BackendError(f"there is no backend {backend!r}", mend=f"there are {', '.join(BACKENDS)}")
    if lack is None and backend != "reference":
        return torch_native.run(call)
    return reference.run(call)
