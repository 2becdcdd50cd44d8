"""Elman's recurrence as a plain loop: ``h' = act(W x + b + U (m h))`` (Elman 1990)."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.kernels.reference.steps import activation_function, masked, ordered_steps, product
from recurra.kernels.terms import Call, State

__all__ = ["simple_rnn"]


def simple_rnn(call: Call) -> tuple[Tensor, State]:
    """Outputs ``(T, B, H)``, zero past each length, and the last state ``(h,)``."""
    act = activation_function(call.activation)
    mask = call.recurrent_mask
    (h,) = call.initial()
    _, recurrent, bias, _ = call.weights
    projected = product(call.inputs(), call.weights.weight_ih, bias, call.precision)
    outputs = []
    for (inputs,), alive in ordered_steps(projected, lengths=call.lengths, reverse=call.reverse):
        entering = h if mask is None else h * mask
        new_h = act(product(entering, recurrent, inputs, call.precision))
        h = new_h if alive is None else torch.where(alive, new_h, h)
        outputs.append(h)
    return masked(outputs, call.lengths, reverse=call.reverse), (h,)
