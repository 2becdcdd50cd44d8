"""GRU with the reset gate after the recurrent product, as a plain loop (Cho et al. 2014, cuDNN's form).

r, z = sigmoid(W x + b + U (m h) + d)
n = act(W x + b + r (U (m h) + d))        h' = (1 - z) n + z h
"""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.kernels.reference.steps import activation_function, masked, ordered_steps, product
from recurra.kernels.terms import Call, State

__all__ = ["gru"]


def gru(call: Call) -> tuple[Tensor, State]:
    """Outputs ``(T, B, H)``, zero past each length, and the last state ``(h,)``."""
    act = activation_function(call.activation)
    mask = call.recurrent_mask
    (h,) = call.initial()
    H = h.shape[1]
    bias_hh = call.weights.bias_hh
    if bias_hh is None:
        bias_hh = torch.zeros_like(call.weights.bias_ih)
    # r and z as one block, n as another: cutting each step's gates would copy them again for the gradient
    w_rz, w_n = call.weights.weight_ih[: 2 * H], call.weights.weight_ih[2 * H :]
    u_rz, u_n = call.weights.weight_hh[: 2 * H], call.weights.weight_hh[2 * H :]
    b_rz, b_n = (call.weights.bias_ih + bias_hh)[: 2 * H], call.weights.bias_ih[2 * H :]
    d_n = bias_hh[2 * H :]
    x = call.inputs()
    projected_rz = product(x, w_rz, b_rz, call.precision)
    projected_n = product(x, w_n, b_n, call.precision)
    outputs = []
    for (inputs_rz, inputs_n), alive in ordered_steps(
        projected_rz, projected_n, lengths=call.lengths, reverse=call.reverse
    ):
        entering = h if mask is None else h * mask
        r, z = torch.sigmoid(product(entering, u_rz, inputs_rz, call.precision)).chunk(2, dim=1)
        n = act(torch.addcmul(inputs_n, r, product(entering, u_n, d_n, call.precision)))
        new_h = torch.lerp(n, h, z)
        h = new_h if alive is None else torch.where(alive, new_h, h)
        outputs.append(h)
    return masked(outputs, call.lengths, reverse=call.reverse), (h,)
