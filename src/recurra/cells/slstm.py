"""sLSTM: an LSTM with an exponential input gate and heads (Beck et al. 2024, "xLSTM", arXiv 2405.04517).

i, f, g, o are the sums W x + b + U h
m' = max(log sigmoid(f) + m, i)
c' = exp(log sigmoid(f) + m - m') c + exp(i - m') act(g)
n' = exp(log sigmoid(f) + m - m') n + exp(i - m')
h' = sigmoid(o) c' / n'

The stabiliser ``m`` cancels in ``c / n``; it keeps the exponentials in range. ``U`` is block-diagonal: the
units are divided into 4 heads of ``H / 4``, and a head's gates see the states of that head alone. The
paper's forget gate may be an exponential instead of the sigmoid; this is the one with the sigmoid. While
nothing has been written, ``n = 0``, ``m`` starts at ``i``: a first input gate far below zero then divides
no zero by zero.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from recurra.cells.lstm import open_forget_gate
from recurra.cells.spec import CellSpec, Inputs, Ops, Parameter, State, Weights, input_product, orthogonal

__all__ = ["CELL", "HEADS"]

HEADS = 4


def prepare(x: Tensor, weights: Weights, ops: Ops) -> tuple[Inputs, Weights]:
    """The input's product, and the recurrent weights ``(4K, K)`` of each head of ``K = H / 4`` units."""
    inputs, _ = input_product(x, weights, ops)
    K = weights.weight_hh.shape[1]
    heads = weights.weight_hh.view(4, HEADS, K, K).transpose(0, 1).reshape(HEADS, 4 * K, K).unbind(0)
    return inputs, Weights({f"head_{number}": head for number, head in enumerate(heads)})


def step(inputs: Inputs, state: State, weights: Weights, ops: Ops) -> State:
    """One step of sLSTM."""
    h, c, n, m = state
    entering = ops.enter(h).chunk(HEADS, dim=1)
    heads = [ops.product(part, weight) for part, weight in zip(entering, weights.values(), strict=True)]
    # (B, 4, K) of each head to (B, 4, H)
    sums = torch.cat([head.view(len(h), 4, -1) for head in heads], dim=2)
    i, f, g, o = (inputs[0] + sums.flatten(1)).chunk(4, dim=1)
    forget = logsigmoid(f)
    m = torch.where(n == 0, i - forget, m)
    new_m = torch.maximum(forget + m, i)
    keep, write = torch.exp(forget + m - new_m), torch.exp(i - new_m)
    c, n = keep * c + write * ops.act(g), keep * n + write
    return ops.gate("output", o) * c / n, c, n, new_m


CELL = CellSpec(
    name="slstm",
    title="sLSTM",
    parameters=(
        Parameter("weight_ih", ("4H", "E")),
        Parameter("weight_hh", ("4H", f"H/{HEADS}"), orthogonal),
        Parameter("bias_ih", ("4H",), open_forget_gate),
    ),
    step=step,
    prepare=prepare,
    gates=("input", "forget", "candidate", "output"),
    state=("h", "c", "n", "m"),
)
