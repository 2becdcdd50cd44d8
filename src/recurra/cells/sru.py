"""SRU, the simple recurrent unit, with its highway connection (Lei et al. 2018, arXiv 1709.02755).

n = W x
f = sigmoid(W x + v c + b)      r = sigmoid(W x + v c + b)
c' = f c + (1 - f) n      h' = r act(c') + (1 - r) alpha x

Both gates see the state of their own unit, by a vector ``v`` each, not by a matrix. ``alpha`` is
``sqrt(3)``, the paper's ``sqrt(1 + 2 exp(b))`` for its bias of 0, which keeps the variance from layer to
layer. Where ``E`` and ``H`` differ, ``x`` in the highway is a product of ``x`` with one more matrix. The
paper uses no activation: ``identity``. There is no recurrent matrix, so ``recurrent_dropout`` is refused.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from recurra.cells.spec import CellSpec, Inputs, Ops, Parameter, State, Weights, uniform, zeros

__all__ = ["ALPHA", "CELL"]

ALPHA = 3**0.5


def prepare(x: Tensor, weights: Weights, ops: Ops) -> tuple[Inputs, Weights]:
    """The products of all inputs, and what the highway carries."""
    bias = pad(weights.bias_ih, (len(weights.bias_ih) // 2, 0))  # the candidate has none
    sums = ops.product(x, weights.weight_ih, bias)
    highway = ops.product(x, weights.weight_highway) if "weight_highway" in weights else x
    return (sums, highway), weights


def step(inputs: Inputs, state: State, weights: Weights, ops: Ops) -> State:
    """One step of SRU."""
    _, c = state
    n, f, r = inputs[0].chunk(3, dim=1)
    v_f, v_r = weights.weight_c.chunk(2)
    forget = ops.gate("forget", torch.addcmul(f, v_f, c))
    reset = ops.gate("reset", torch.addcmul(r, v_r, c))
    c = torch.lerp(n, c, forget)
    return torch.lerp(ALPHA * inputs[1], ops.act(c), reset), c


CELL = CellSpec(
    name="sru",
    title="SRU",
    parameters=(
        Parameter("weight_ih", ("3H", "E")),
        Parameter("weight_highway", ("H", "E"), exists=lambda E, H: E != H),
        Parameter("weight_c", ("2H",), uniform),
        Parameter("bias_ih", ("2H",), zeros),
    ),
    step=step,
    prepare=prepare,
    gates=("candidate", "forget", "reset"),
    state=("h", "c"),
    keeps="forget",
    activations=("identity", "tanh", "relu", "linear_sigmoid"),
    recurrent_dropout=False,
)
