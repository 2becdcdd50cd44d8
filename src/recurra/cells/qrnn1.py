"""QRNN of window 1: its gates see the current input alone (Bradbury et al. 2017, arXiv 1611.01576).

n = act(W x + b)      f, o = sigmoid(W x + b)
c' = f c + (1 - f) n      h' = o c'

The pooling is fo-pooling. There is no recurrent matrix, so ``recurrent_dropout`` is refused. ``qrnn`` is
the one of window 2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.cells.spec import CellSpec, Inputs, Ops, Parameter, State, Weights, zeros

__all__ = ["CELL", "GATES", "pool"]

GATES = ("candidate", "forget", "output")


def pool(sums: Tensor, c: Tensor, ops: Ops) -> State:
    """The new output and state, of the sums ``(B, 3H)`` of candidate, forget gate and output gate."""
    n, f, o = sums.chunk(3, dim=1)
    c = torch.lerp(ops.act(n), c, ops.gate("forget", f))
    return ops.gate("output", o) * c, c


def step(inputs: Inputs, state: State, weights: Weights, ops: Ops) -> State:
    """One step of fo-pooling."""
    return pool(inputs[0], state[1], ops)


CELL = CellSpec(
    name="qrnn1",
    title="QRNN (window 1)",
    parameters=(Parameter("weight_ih", ("3H", "E")), Parameter("bias_ih", ("3H",), zeros)),
    step=step,
    gates=GATES,
    state=("h", "c"),
    keeps="forget",
    activations=("tanh", "identity", "relu", "linear_sigmoid"),
    recurrent_dropout=False,
)
