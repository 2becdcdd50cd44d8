"""LSTM with a forget gate (Hochreiter & Schmidhuber 1997; Gers et al. 2000).

i, f, o = sigmoid(W x + b + U h)      g = act(W x + b + U h)
c' = f c + i g                        h' = o act(c')
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recurra.cells.spec import CellSpec, Inputs, Ops, Parameter, State, Weights, ones, orthogonal, zeros

__all__ = ["CELL", "open_forget_gate"]


def step(inputs: Inputs, state: State, weights: Weights, ops: Ops) -> State:
    """One step of LSTM."""
    h, c = state
    i, f, g, o = ops.product(ops.enter(h), weights.weight_hh, inputs[0]).chunk(4, dim=1)
    c = torch.addcmul(ops.gate("forget", f) * c, ops.gate("input", i), ops.act(g))
    return ops.gate("output", o) * ops.act(c), c


def open_forget_gate(bias: Tensor, H: int) -> None:
    """Zeros, but 1 for the forget gate (Gers et al. 2000; Jozefowicz et al. 2015)."""
    zeros(bias, H)
    ones(bias[H : 2 * H], H)


CELL = CellSpec(
    name="lstm",
    title="LSTM",
    parameters=(
        Parameter("weight_ih", ("4H", "E")),
        Parameter("weight_hh", ("4H", "H"), orthogonal),
        Parameter("bias_ih", ("4H",), open_forget_gate),
    ),
    step=step,
    gates=("input", "forget", "candidate", "output"),
    state=("h", "c"),
    keeps="forget",
    keras_gates=("input", "forget", "candidate", "output"),
    torch_module=nn.LSTM,
)
