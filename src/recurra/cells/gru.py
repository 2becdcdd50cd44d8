"""GRU with the reset gate after the recurrent product (Cho et al. 2014, in the form of cuDNN and Keras).

r, z = sigmoid(W x + b + U h + d)
n = act(W x + b + r (U h + d))        h' = (1 - z) n + z h
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recurra.cells.spec import CellSpec, Inputs, Ops, Parameter, State, Weights, orthogonal, zeros

__all__ = ["CELL"]


def prepare(x: Tensor, weights: Weights, ops: Ops) -> tuple[Inputs, Weights]:
    """The input's products, and the recurrent weights, both cut into r and z, and n.

    (Cut at each step, they would be copied again for the gradient.)
    """
    weight_ih, weight_hh, bias_ih, bias_hh = (weights[name] for name in CELL.parameter_names)
    H = weight_hh.shape[1]
    bias = (bias_ih + bias_hh)[: 2 * H]
    inputs = (ops.product(x, weight_ih[: 2 * H], bias), ops.product(x, weight_ih[2 * H :], bias_ih[2 * H :]))
    return inputs, Weights(rz=weight_hh[: 2 * H], n=weight_hh[2 * H :], bias_n=bias_hh[2 * H :])


def step(inputs: Inputs, state: State, weights: Weights, ops: Ops) -> State:
    """One step of GRU."""
    (h,) = state
    inputs_rz, inputs_n = inputs
    entering = ops.enter(h)
    r, z = ops.gates(("reset", "update"), ops.product(entering, weights.rz, inputs_rz))
    n = ops.act(torch.addcmul(inputs_n, r, ops.product(entering, weights.n, weights.bias_n)))
    return (torch.lerp(n, h, z),)


CELL = CellSpec(
    name="gru",
    title="GRU",
    parameters=(
        Parameter("weight_ih", ("3H", "E")),
        Parameter("weight_hh", ("3H", "H"), orthogonal),
        Parameter("bias_ih", ("3H",), zeros),
        Parameter("bias_hh", ("3H",), zeros),
    ),
    step=step,
    prepare=prepare,
    gates=("reset", "update", "candidate"),
    keeps="update",
    keras_gates=("update", "reset", "candidate"),
    torch_module=nn.GRU,
)
