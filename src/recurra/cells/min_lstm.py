"""minLSTM: an LSTM whose gates and candidate do not see the state (Feng et al. 2024, arXiv 2410.01201).

f, i = sigmoid(W x + b)      n = act(W x + b)
h' = f / (f + i) h + i / (f + i) n

It is the form that does not depend on the number of steps: both gates are divided by their sum, so that the
new state lies between the old one and the candidate. The activation of the paper is ``linear_sigmoid``, as in
minGRU. There is no recurrent matrix, so ``recurrent_dropout`` is refused.
"""

from __future__ import annotations

import torch
from torch.nn.functional import logsigmoid

from recurra.cells.spec import CellSpec, Inputs, Ops, Parameter, State, Weights, zeros

__all__ = ["CELL"]


def step(inputs: Inputs, state: State, weights: Weights, ops: Ops) -> State:
    """One step of minLSTM; ``f / (f + i)`` is ``sigmoid(log f - log i)``, which has no quotient of zeros."""
    (h,) = state
    f, i, n = inputs[0].chunk(3, dim=1)
    keep = ops.gate("keep", logsigmoid(f) - logsigmoid(i))
    return (torch.lerp(ops.act(n), h, keep),)


CELL = CellSpec(
    name="min_lstm",
    title="minLSTM",
    parameters=(Parameter("weight_ih", ("3H", "E")), Parameter("bias_ih", ("3H",), zeros)),
    step=step,
    gates=("forget", "input", "candidate"),
    keeps="keep",
    activations=("linear_sigmoid", "identity", "tanh", "relu"),
    recurrent_dropout=False,
)
