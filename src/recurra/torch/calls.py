"""Which calls of ``nn.RNN``, ``nn.LSTM`` and ``nn.GRU`` the kernels compute.

Dimensions: ``B`` batch, ``E`` input features, ``H`` hidden units, ``L`` layers, ``D`` directions (1 or 2).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from recurra.cells import cell_named
from recurra.cells.spec import State, Weights
from recurra.kernels.dispatch import Call, fastest, is_transformed

__all__ = ["CELLS", "computes", "state_parts"]

CELLS = {
    "RNN_TANH": ("simple_rnn", "tanh"),
    "RNN_RELU": ("simple_rnn", "relu"),
    "LSTM": ("lstm", "tanh"),
    "GRU": ("gru", "tanh"),
}
"""The cell and the activation of each mode of ``nn.RNNBase``."""


FEWEST_STEPS = {"RNN_TANH": 32, "RNN_RELU": 32, "LSTM": 64, "GRU": 16}
"""Steps of a padded batch from which the kernels are no slower than torch (docs/decisions/0026)."""

FEWEST_PACKED_STEPS = 16
"""Likewise of the longest row of a packed batch."""


def computes(module: nn.RNNBase, input: Any, hx: Any) -> bool:
    """Whether the kernels compute a call of a module.

    All others are left to torch: those that torch must see, those that it computes faster, and those that it
    refuses, with its own errors.

    Args:
        module: of ``torch.nn``. Its weights are updated as its own ``forward`` does first.
        input: what its ``forward`` is given.
        hx: likewise.
    """
    if module.proj_size or module.mode not in CELLS or _is_followed():
        return False
    values = _values(module, input)
    state = state_parts(module, hx)
    if values is None or state is None or not all(map(_is_plain, state)):
        return False
    if hx is not None and [part.shape for part in state] != _state_shapes(module, input, len(state)):
        return False
    module._update_flat_weights()
    weights: list[Any] = module._flat_weights
    if not all(map(_is_plain, weights)) or [weight.shape for weight in weights] != _weight_shapes(module):
        return False
    if any(part.dtype != values.dtype or part.device != values.device for part in (*state, *weights)):
        return False
    cell, activation = CELLS[module.mode]
    call = Call(cell, values, None, None, Weights(weight_ih=weights[0]), activation=activation)
    return fastest(call) == "cpu"


def _values(module: nn.RNNBase, input: Any) -> Tensor | None:
    """The numbers of an input; None if it does not fit the module or has too few steps."""
    packed = isinstance(input, PackedSequence)
    values = input.data if packed else input
    if not _is_plain(values) or values.dim() not in ((2,) if packed else (2, 3)):
        return None
    if packed:
        steps, fewest = len(input.batch_sizes), FEWEST_PACKED_STEPS
    else:
        steps = values.shape[1 if module.batch_first and values.dim() == 3 else 0]
        fewest = FEWEST_STEPS[module.mode]
    fits = steps >= fewest and values.numel() and values.shape[-1] == module.input_size
    return values if fits and (not packed or _is_packed(input)) else None


def state_parts(module: nn.RNNBase, hx: Any) -> State | None:
    """The parts of an initial state, none if there is no state; None if it has another structure."""
    if hx is None:
        return ()
    if module.mode != "LSTM":
        return (hx,)
    return tuple(hx) if isinstance(hx, (tuple, list)) and len(hx) == 2 else None


def _state_shapes(module: nn.RNNBase, input: Any, parts: int) -> list[tuple[int, ...]]:
    if isinstance(input, PackedSequence):
        rows: tuple[int, ...] = (int(input.batch_sizes[0]),)
    else:
        rows = () if input.dim() == 2 else (input.shape[0 if module.batch_first else 1],)
    states = module.num_layers * (2 if module.bidirectional else 1)
    return [(states, *rows, module.hidden_size)] * parts


def _weight_shapes(module: nn.RNNBase) -> list[tuple[int, ...]]:
    H, directions = module.hidden_size, 2 if module.bidirectional else 1
    rows = len(cell_named(CELLS[module.mode][0]).gates) * H
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

    So it is while a graph is traced, under transforms of ``torch.func``, forward-mode differentiation,
    dispatch modes (such as one that counts operations) and autocast.
    """
    return (
        torch._C._get_tracing_state() is not None
        or is_transformed()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch.is_autocast_enabled("cpu")
    )
