"""Elman's recurrence: ``h' = act(W x + b + U h)`` (Elman 1990)."""

from __future__ import annotations

from torch import nn

from recurra.cells.spec import CellSpec, Inputs, Ops, Parameter, State, Weights, orthogonal, zeros

__all__ = ["CELL"]


def step(inputs: Inputs, state: State, weights: Weights, ops: Ops) -> State:
    """One step of SimpleRNN."""
    (h,) = state
    return (ops.act(ops.product(ops.enter(h), weights.weight_hh, inputs[0])),)


CELL = CellSpec(
    name="simple_rnn",
    title="SimpleRNN",
    parameters=(
        Parameter("weight_ih", ("H", "E")),
        Parameter("weight_hh", ("H", "H"), orthogonal),
        Parameter("bias_ih", ("H",), zeros),
    ),
    step=step,
    gates=("recurrent",),
    keras_gates=("recurrent",),
    torch_module=nn.RNN,
)
