"""GRU with the reset gate after the recurrent product, as a plain loop (Cho et al. 2014, cuDNN's form).

r, z = sigmoid(W x + b + U (m h) + d)
n = act(W x + b + r (U (m h) + d))        h' = (1 - z) n + z h
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from recurra.kernels.reference.steps import activation_function, masked, ordered_steps
from recurra.kernels.terms import Call, State

__all__ = ["gru"]


def gru(call: Call) -> tuple[Tensor, State]:
    """Outputs ``(T, B, H)``, zero past each length, and the last state ``(h,)``."""
    act = activation_function(call.activation)
    mask = call.recurrent_mask
    (h,) = call.state
    H = h.shape[1]
    weights = call.weights
    recurrent = weights.weight_hh.t()
    bias = weights.weight_hh.new_zeros(3 * H) if weights.bias_hh is None else weights.bias_hh
    projected = functional.linear(call.x, weights.weight_ih, weights.bias_ih)
    outputs = []
    for inputs, alive in ordered_steps(projected, call.lengths, reverse=call.reverse):
        entering = h if mask is None else h * mask
        inputs_rz, inputs_n = torch.split(inputs, [2 * H, H], dim=1)
        product_rz, product_n = torch.split(torch.addmm(bias, entering, recurrent), [2 * H, H], dim=1)
        r, z = torch.sigmoid(inputs_rz + product_rz).chunk(2, dim=1)
        n = act(torch.addcmul(inputs_n, r, product_n))
        new_h = torch.lerp(n, h, z)
        h = new_h if alive is None else torch.where(alive, new_h, h)
        outputs.append(h)
    return masked(outputs, call.lengths, reverse=call.reverse), (h,)
