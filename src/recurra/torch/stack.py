"""The computation of ``nn.RNN``, ``nn.LSTM`` and ``nn.GRU`` by the kernels: call forms, two biases, dropout.

Dimensions: ``B`` batch, ``T`` time, ``N`` packed steps, ``E`` input features, ``H`` hidden units, ``L``
layers, ``D`` directions (1 or 2).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from recurra.cells import cell_named
from recurra.cells.spec import State, Weights
from recurra.kernels.dispatch import Call, layer
from recurra.torch.calls import CELLS, state_parts
from recurra.torch.forms import Form, Packed, TimeFirst

__all__ = ["forward"]


def forward(module: nn.RNNBase, input: Any, hx: Any) -> tuple[Any, Any]:
    """Computes what the module's own ``forward`` returns, for a call that ``computes`` accepts.

    Args:
        module: of ``torch.nn``.
        input: ``(T, B, E)``, or ``(B, T, E)`` if ``batch_first``; ``(T, E)``; or packed ``(N, E)``.
        hx: ``h_0`` or ``(h_0, c_0)`` of ``(L*D, B, H)``, without ``B`` where the input has none; None for
            zeros.

    Returns:
        Outputs in the form of the input, with ``D*H`` features, and the last state in the form of ``hx``.
    """
    state = None if hx is None else state_parts(module, hx)
    if isinstance(input, PackedSequence):
        state = _permuted(state, input.sorted_indices)
        values, state = _stack(module, Packed(input.batch_sizes), input.data, state)
        outputs: Any = input._replace(data=values)
        state = _permuted(state, input.unsorted_indices)
    elif input.dim() == 2:
        state = None if state is None else tuple(part[:, None] for part in state)
        outputs, state = _stack(module, TimeFirst(), input[:, None], state)
        outputs, state = outputs.squeeze(1), tuple(part.squeeze(1) for part in state)
    elif module.batch_first:
        outputs, state = _stack(module, TimeFirst(), input.transpose(0, 1), state)
        outputs = outputs.transpose(0, 1)
    else:
        outputs, state = _stack(module, TimeFirst(), input, state)
    return outputs, state if module.mode == "LSTM" else state[0]


def _stack(module: nn.RNNBase, form: Form, values: Tensor, state: State | None) -> tuple[Tensor, State]:
    """Runs all layers.

    Args:
        module: of ``torch.nn``.
        form: of the values.
        values: the input.
        state: its parts ``(L*D, B, H)``; None for zeros.

    Returns:
        Outputs of the same form and the last state.
    """
    cell, activation = CELLS[module.mode]
    directions = 2 if module.bidirectional else 1
    initial = None if state is None else list(zip(*(part.unbind(0) for part in state), strict=True))
    last: list[State] = []
    outputs = values
    for depth in range(module.num_layers):
        if depth == 0:
            steps = form.steps(values)
        elif module.training and module.dropout:
            # torch draws its mask in this form and order, so the same elements are dropped
            steps = form.steps(functional.dropout(form.values(outputs), module.dropout))
        else:
            steps = outputs
        calls = [
            Call(
                cell,
                steps,
                form.lengths,
                None if initial is None else initial[len(last) + reverse],
                _weights(module, cell, len(last) + reverse),
                activation=activation,
                reverse=bool(reverse),
            )
            for reverse in range(directions)
        ]
        outputs, final = layer(calls, backend="cpu", lengths_checked=True)
        last += final
    return form.values(outputs), tuple(torch.stack(part) for part in zip(*last, strict=True))


def _weights(module: nn.RNNBase, cell: str, number: int) -> Weights:
    """The weights of one layer and direction, under the names of the cell."""
    names = cell_named(cell).parameter_names
    each = 4 if module.bias else 2
    weights: list[Any] = module._flat_weights
    weight_ih, weight_hh, *biases = weights[each * number : each * (number + 1)]
    if not biases:
        biases = [weight_ih.new_zeros(len(weight_ih))] * 2
    if "bias_hh" not in names:  # only the sum of both matters
        biases = [biases[0] + biases[1] if module.bias else biases[0]]
    return Weights(zip(names, (weight_ih, weight_hh, *biases), strict=True))


def _permuted(state: State | None, rows: Tensor | None) -> Any:
    return state if state is None or rows is None else tuple(part.index_select(1, rows) for part in state)
