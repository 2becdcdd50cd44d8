"""LSTM with a forget gate as a plain loop (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

i, f, o = sigmoid(W x + b + U (m h))      g = act(W x + b + U (m h))
c' = f c + i g                            h' = o act(c')
"""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.kernels.reference.steps import activation_function, masked, ordered_steps, product
from recurra.kernels.terms import Call, State

__all__ = ["lstm"]


def lstm(call: Call) -> tuple[Tensor, State]:
    """Outputs ``(T, B, H)``, zero past each length, and the last state ``(h, c)``."""
    act = activation_function(call.activation)
    mask = call.recurrent_mask
    h, c = call.initial()
    _, recurrent, bias, _ = call.weights
    projected = product(call.inputs(), call.weights.weight_ih, bias, call.precision)
    outputs = []
    for (inputs,), alive in ordered_steps(projected, lengths=call.lengths, reverse=call.reverse):
        entering = h if mask is None else h * mask
        i, f, g, o = product(entering, recurrent, inputs, call.precision).chunk(4, dim=1)
        new_c = torch.addcmul(torch.sigmoid(f) * c, torch.sigmoid(i), act(g))
        new_h = torch.sigmoid(o) * act(new_c)
        h = new_h if alive is None else torch.where(alive, new_h, h)
        c = new_c if alive is None else torch.where(alive, new_c, c)
        outputs.append(h)
    return masked(outputs, call.lengths, reverse=call.reverse), (h, c)
