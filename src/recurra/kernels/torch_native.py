"""The recurrence through PyTorch's kernels (oneDNN and ATen on the CPU, cuDNN on the GPU).

Rows of different length are *not* packed: packed training on the CPU is 10-40 times slower than padded.
Padding at the end of a row does not affect earlier steps, so the forward direction runs over the padding and
its outputs there are set to zero. The backward direction reads each row reversed by its own length, which
moves the padding to the end again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells import cell_named
from recurra.cells.spec import State
from recurra.kernels.terms import Call, valid_steps
from recurra.precision import autocast_dtype

__all__ = ["run", "unsupported_reason"]

_FUNCTIONS: dict[tuple[Any, Any], Callable[..., Any]] = {
    (nn.RNN, "tanh"): torch.rnn_tanh,
    (nn.RNN, "relu"): torch.rnn_relu,
    (nn.LSTM, "tanh"): torch.lstm,
    (nn.GRU, "tanh"): torch.gru,
}
"""The function that computes a cell, by its module in torch.nn and the activation."""


def unsupported_reason(call: Call) -> str | None:
    """Returns what this backend lacks for a call, or None if it supports it."""
    if call.recurrent_mask is not None:
        return "recurrent dropout"
    module = cell_named(call.cell).torch_module
    if module is None:
        return f"cell {call.cell}"
    name = call.activation if isinstance(call.activation, str) else "custom activation"
    return None if (module, name) in _FUNCTIONS else f"{name} in {call.cell}"


def run(call: Call) -> tuple[Tensor, State]:
    """Outputs ``(T, B, H)``, zero past each length, and the last state.

    With ``precision="bfloat16"`` inputs, weights and states are rounded, and what is returned has the dtype
    of the inputs. Under autocast it has that of autocast, as torch's own modules have.
    """
    function = _FUNCTIONS[cell_named(call.cell).torch_module, call.activation]
    x = call.inputs()
    if call.lengths is None:
        x = x.flip(0) if call.reverse else x
        outputs, state = _native(call, function, x, call.weights.weight_ih)
        return (outputs.flip(0) if call.reverse else outputs), state

    T, B, _ = x.shape
    valid = valid_steps(call.lengths, T)
    order = _reading_order(call.lengths, T) if call.reverse else None
    if order is not None:
        x = _permuted(x, order)
    weight_ih = call.weights.weight_ih
    padding = _padding_weights(function, x)
    if padding is not None:
        # An additional input is 1 at padded steps and closes their gates: LSTM's cell state then keeps its
        # last true value (torch returns no other), and a relu state does not overflow over the padding.
        x = torch.cat([x, (~valid)[:, :, None].to(x.dtype)], dim=2)
        column = torch.tensor(padding, dtype=x.dtype, device=x.device).repeat_interleave(call.units)
        weight_ih = torch.cat([weight_ih, column[:, None]], dim=1)
    outputs, state = _native(call, function, x, weight_ih)
    # an empty row has no last step: its state is the initial one
    rows = torch.arange(B, device=call.lengths.device)
    last = outputs[(call.lengths - 1).clamp(min=0), rows]
    h = torch.where((call.lengths > 0)[:, None], last, call.initial()[0])
    outputs = outputs.masked_fill(~valid[:, :, None], 0)
    return (outputs if order is None else _permuted(outputs, order)), (h, *state[1:])


def _native(call: Call, function: Callable[..., Any], x: Tensor, weight_ih: Tensor) -> tuple[Tensor, State]:
    """One of torch's kernels over all steps of ``x`` ``(T, B, E)``."""
    weights = call.weights
    bias_hh = weights["bias_hh"] if "bias_hh" in weights else torch.zeros_like(weights.bias_ih)
    parameters = [weight_ih, weights.weight_hh, weights.bias_ih, bias_hh]
    # cuDNN takes no other states than contiguous ones
    state = [part[None].contiguous() for part in call.initial()]
    options: dict[str, Any] = {
        "has_biases": True,
        "num_layers": 1,
        "dropout": 0.0,
        "train": torch.is_grad_enabled(),  # cuDNN saves what the gradient needs only in training
        "bidirectional": False,
        "batch_first": False,
    }
    given = x.dtype
    half = torch.bfloat16 if call.precision == "bfloat16" else _half_of_autocast(function, x)
    if half is not None:
        x, state, parameters = x.to(half), [part.to(half) for part in state], [p.to(half) for p in parameters]
    with ExitStack() as stack:
        if half is not None:
            stack.enter_context(torch.autocast(x.device.type, enabled=False))
        if x.is_cuda:
            stack.enter_context(
                warnings.catch_warnings()
            )  # cuDNN warns if the parameters are not in one piece; the copy is small
            warnings.filterwarnings("ignore", message=".*single contiguous chunk of memory")
        outputs, *last = function(x, state if len(state) > 1 else state[0], parameters, **options)
    if call.precision == "bfloat16":
        outputs, last = outputs.to(given), [part.to(given) for part in last]
    return outputs, tuple(part[0] for part in last)


def _half_of_autocast(function: Callable[..., Any], x: Tensor) -> torch.dtype | None:
    """The dtype of autocast, if tensors must be converted here; None if torch does it, or outside autocast.

    For cuDNN torch converts them to float16, whatever the dtype of autocast. On the CPU it raises an error if
    oneDNN has no LSTM of it on this processor; outside autocast torch uses other kernels, which every
    processor has.
    """
    dtype = autocast_dtype(x.device.type)
    if dtype is None or x.dtype == torch.float64:  # which autocast leaves as it is
        return None
    if x.device.type != "cpu":
        return dtype
    if function is not torch.lstm:
        return None
    if dtype == torch.bfloat16:
        supported = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    else:
        supported = dtype != torch.float16 or torch.ops.mkldnn._is_mkldnn_fp16_supported()
    return None if supported else dtype


def _padding_weights(function: Callable[..., Any], x: Tensor) -> list[float] | None:
    """The weight of the padding input for each gate; None where the function needs no such input."""
    if function is torch.lstm:  # i, f, g, o: sigmoid is 0 or 1 at that in every dtype
        return [-4096.0, 4096.0, 0.0, -4096.0]
    if function is torch.rnn_relu:  # below whatever a state can add
        return [-torch.finfo(x.dtype).max / 16]
    return None


def _reading_order(lengths: Tensor, T: int) -> Tensor:
    """``(T, B)`` the step that each step of a row comes from, reversed by its own length; its own inverse."""
    steps = torch.arange(T, device=lengths.device)[:, None]
    return torch.where(steps < lengths, lengths - 1 - steps, steps)


class _Permuted(torch.autograd.Function):
    """``x[order[t, b], b]`` for an order that is its own inverse, so that its gradient is a gather too.

    (The gradient of plain indexing is a scatter, which runs on one core of a CPU.)
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor) -> Tensor:
        ctx.save_for_backward(order)
        rows = torch.arange(x.shape[1], device=x.device)
        return x.reshape(-1, x.shape[2]).index_select(0, (order * x.shape[1] + rows).view(-1)).view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (order,) = ctx.saved_tensors
        return _permuted(gradient, order), None


def _permuted(x: Tensor, order: Tensor) -> Tensor:
    permuted: Tensor = _Permuted.apply(x, order)  # type: ignore[no-untyped-call]
    return permuted
