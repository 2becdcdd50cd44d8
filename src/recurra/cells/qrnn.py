"""QRNN of window 2: its gates see the current and the last input (Bradbury et al. 2017, arXiv 1611.01576).

n = act(W x + V x_last + b)      f, o = sigmoid(W x + V x_last + b)
c' = f c + (1 - f) n      h' = o c'

The pooling is fo-pooling. The last input is that of the step that was read before, in the backward
direction the one that follows in time; before the first step it is zero. It enters the next step by its
products ``V x`` alone, of ``H`` columns for each gate. These products are therefore the state that is
carried, so a text that is read in pieces gives what it gives as a whole.

There is no recurrent matrix, so ``recurrent_dropout`` is refused. ``qrnn1`` is the one of window 1.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.cells.qrnn1 import GATES, pool
from recurra.cells.spec import CellSpec, Inputs, Ops, Parameter, State, Weights, zeros

__all__ = ["CELL"]


def prepare(x: Tensor, weights: Weights, ops: Ops) -> tuple[Inputs, Weights]:
    """The products of all inputs for their own step, and for the step after it."""
    own = ops.product(x, weights.weight_ih, weights.bias_ih)
    return (own, ops.product(x, weights.weight_last)), weights


def step(inputs: Inputs, state: State, weights: Weights, ops: Ops) -> State:
    """One step of fo-pooling."""
    own, following = inputs
    _, c, *last = state
    return (*pool(own + torch.cat(last, dim=1), c, ops), *following.chunk(3, dim=1))


CELL = CellSpec(
    name="qrnn",
    title="QRNN",
    parameters=(
        Parameter("weight_ih", ("3H", "E")),
        Parameter("weight_last", ("3H", "E")),
        Parameter("bias_ih", ("3H",), zeros),
    ),
    step=step,
    prepare=prepare,
    gates=GATES,
    state=("h", "c", "last_n", "last_f", "last_o"),
    keeps="forget",
    activations=("tanh", "identity", "relu", "linear_sigmoid"),
    recurrent_dropout=False,
)
