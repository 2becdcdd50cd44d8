"""minGRU: a GRU whose gate and candidate do not see the state (Feng et al. 2024, "Were RNNs All We Needed?").

z = sigmoid(W x + b)      n = act(W x + b)
h' = (1 - z) h + z n

The activation of the paper is ``linear_sigmoid``, ``x + 0.5`` for ``x >= 0``, else ``sigmoid(x)`` (its
appendix B); without an activation, ``identity``, it is the paper's vanilla version.

There is no recurrent matrix: gate and candidate of a step depend on its input alone, in the layers above the
first on the past through that input. ``recurrent_dropout`` is refused, since no state enters a product.
"""

from __future__ import annotations

import torch

from recurra.cells.spec import CellSpec, Inputs, Ops, Parameter, State, Weights, zeros

__all__ = ["CELL"]


def step(inputs: Inputs, state: State, weights: Weights, ops: Ops) -> State:
    """One step of minGRU, with the gate ``1 - z = sigmoid(-(W x + b))``, which keeps the state."""
    (h,) = state
    z, n = inputs[0].chunk(2, dim=1)
    return (torch.lerp(ops.act(n), h, ops.gate("keep", -z)),)


CELL = CellSpec(
    name="min_gru",
    title="minGRU",
    parameters=(Parameter("weight_ih", ("2H", "E")), Parameter("bias_ih", ("2H",), zeros)),
    step=step,
    gates=("update", "candidate"),
    keeps="keep",
    activations=("linear_sigmoid", "identity", "tanh", "relu"),
    recurrent_dropout=False,
)
