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
from recurra.kernels.dispatch import Call, fastest, is_transformed, layer
from recurra.layers.torch_forms import Form, Packed, TimeFirst

__all__ = ["computes", "forward"]

_CELLS = {
    "RNN_TANH": ("simple_rnn", "tanh"),
    "RNN_RELU": ("simple_rnn", "relu"),
    "LSTM": ("lstm", "tanh"),
    "GRU": ("gru", "tanh"),
}
"""The cell and the activation of each mode of ``nn.RNNBase``."""


def computes(module: nn.RNNBase, input: Any, hx: Any) -> bool:
    """Whether the kernels compute a call of a module. All others are left to torch, which knows its errors.

    Args:
        module: of ``torch.nn``. Its weights are updated as its own ``forward`` does first.
        input: what its ``forward`` is given.
        hx: likewise.
    """
    if module.proj_size or module.mode not in _CELLS or _is_followed():
        return False
    packed = isinstance(input, PackedSequence)
    values = input.data if packed else input
    state = _state_parts(module, hx)
    if state is None or not all(map(_is_plain, (values, *state))):
        return False
    dimensions = (2,) if packed else (2, 3)
    if values.dim() not in dimensions or values.shape[-1] != module.input_size or not values.numel():
        return False
    if packed and not _is_packed(input):
        return False
    if hx is not None and [part.shape for part in state] != _state_shapes(module, input, len(state)):
        return False
    module._update_flat_weights()
    weights: list[Any] = module._flat_weights
    if not all(map(_is_plain, weights)) or [weight.shape for weight in weights] != _weight_shapes(module):
        return False
    if any(part.dtype != values.dtype or part.device != values.device for part in (*state, *weights)):
        return False
    cell, activation = _CELLS[module.mode]
    call = Call(cell, values, None, None, Weights(weight_ih=weights[0]), activation=activation)
    return fastest(call) == "cpu"


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
    state = None if hx is None else _state_parts(module, hx)
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
    cell, activation = _CELLS[module.mode]
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


def _state_parts(module: nn.RNNBase, hx: Any) -> State | None:
    """The parts of an initial state, none if there is no state; None if it has another structure."""
    if hx is None:
        return ()
    if module.mode != "LSTM":
        return (hx,)
    return tuple(hx) if isinstance(hx, (tuple, list)) and len(hx) == 2 else None


def _permuted(state: State | None, rows: Tensor | None) -> Any:
    return state if state is None or rows is None else tuple(part.index_select(1, rows) for part in state)


def _state_shapes(module: nn.RNNBase, input: Any, parts: int) -> list[tuple[int, ...]]:
    if isinstance(input, PackedSequence):
        rows: tuple[int, ...] = (int(input.batch_sizes[0]),)
    else:
        rows = () if input.dim() == 2 else (input.shape[0 if module.batch_first else 1],)
    states = module.num_layers * (2 if module.bidirectional else 1)
    return [(states, *rows, module.hidden_size)] * parts


def _weight_shapes(module: nn.RNNBase) -> list[tuple[int, ...]]:
    H, directions = module.hidden_size, 2 if module.bidirectional else 1
    rows = len(cell_named(_CELLS[module.mode][0]).gates) * H
    shapes: list[tuple[int, ...]] = []
    for depth in range(module.num_layers):
        E = module.input_size if depth == 0 else directions * H
        biases = [(rows,), (rows,)] if module.bias else []
        shapes += [(rows, E), (rows, H), *biases] * directions
    return shapes


def _is_packed(input: PackedSequence) -> bool:
    """Whether the batch sizes are those of the data, so that no step is read outside it."""
    sizes = input.batch_sizes
    return bool(
        sizes.dim() == 1
        and not sizes.dtype.is_floating_point
        and int(sizes.sum()) == len(input.data)
        and int(sizes[-1]) > 0
        and (sizes[1:] <= sizes[:-1]).all()
    )


def _is_plain(value: Any) -> bool:
    """Whether a value is a tensor in memory, of no subclass with operations of its own."""
    return type(value) in (Tensor, nn.Parameter) and value.layout is torch.strided


def _is_followed() -> bool:
    """Whether torch must see its own operations.

    So it is while a graph is recorded (tracing, compiling), under transforms of ``torch.func``, forward-mode
    differentiation, dispatch modes (such as one that counts operations) and autocast.
    """
    return (
        torch._C._get_tracing_state() is not None
        or torch.compiler.is_compiling()
        or is_transformed()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch.is_autocast_enabled("cpu")
    )
