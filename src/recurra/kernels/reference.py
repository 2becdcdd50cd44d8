"""The reference backend: the cell's own step in a plain PyTorch loop over time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from recurra.cells import cell_named
from recurra.cells.spec import Inputs, Ops, Product, State, activation_function
from recurra.kernels.terms import Call, Precision, check_lengths, valid_steps
from recurra.precision import autocast_dtype

__all__ = ["gate_sums", "product_of", "run"]


def run(call: Call, *, seen: list[dict[str, Tensor]] | None = None) -> tuple[Tensor, State]:
    """Runs one layer in one direction over all steps, in the dtype of the weights, under autocast too.

    Args:
        call: the cell, its weights and the inputs.
        seen: receives the sums of the gates ``(B, H)`` by name of each step, in reading order.

    Returns:
        Outputs ``(T, B, H)`` in time order, zero past each length, and the last state.

    Raises:
        ValueError: the cell's step returned state parts of other shapes than it was given.
    """
    device = call.x.device.type
    if autocast_dtype(device) is not None:
        # Without this, products and states of a step would have different dtypes.
        with torch.autocast(device, enabled=False):
            return run(_in_dtype_of_weights(call), seen=seen)
    spec = cell_named(call.cell)
    ops = Ops(activation_function(call.activation), product_of(call.precision), call.recurrent_mask)
    state = call.initial()
    inputs, weights = spec.prepare(call.inputs(), call.weights, ops)
    outputs: list[Tensor] = []
    for step_inputs, alive in _ordered_steps(inputs, call.lengths, reverse=call.reverse):
        if seen is not None:
            ops.seen = {}
            seen.append(ops.seen)
        new = spec.step(step_inputs, state, weights, ops)
        if not outputs:
            _check_state(call.cell, new, state)
        if alive is not None:
            new = tuple(torch.where(alive, part, old) for part, old in zip(new, state, strict=True))
        state = new
        outputs.append(state[0])
    return _masked(outputs, call.lengths, reverse=call.reverse), state


def product_of(precision: Precision) -> Product:
    """Returns the matrix product of a precision, in plain PyTorch."""
    return _rounded_product if precision == "bfloat16" else _product


def _in_dtype_of_weights(call: Call) -> Call:
    dtype = next(iter(call.weights.values())).dtype
    return call._replace(
        x=call.inputs().to(dtype), input_mask=None, state=tuple(part.to(dtype) for part in call.initial())
    )


def _check_state(cell: str, new: State, state: State) -> None:
    shapes, expected = ([tuple(part.shape) for part in each] for each in (new, state))
    if shapes != expected:
        raise ValueError(f"the step of {cell} returned {shapes}, the state is {expected}")


def gate_sums(call: Call) -> dict[str, Tensor]:
    """Returns the sums ``(T, B, H)`` whose sigmoid is a gate, by the gate's name, in time order."""
    seen: list[dict[str, Tensor]] = []
    run(call, seen=seen)
    steps = seen[::-1] if call.reverse else seen
    order = cell_named(call.cell).gates
    names = sorted(steps[0], key=lambda name: order.index(name) if name in order else len(order))
    return {name: torch.stack([sums[name] for sums in steps]) for name in names}


def _ordered_steps(
    inputs: Inputs, lengths: Tensor | None, *, reverse: bool
) -> Iterator[tuple[Inputs, Tensor | None]]:
    """Iterates over the steps in reading order: the inputs, and which rows are active ``(B, 1)``.

    The mask is None if every row is active, so that dense batches have no cost for lengths. If reversed, a
    row shorter than ``T`` keeps its initial state until its own last step.

    Args:
        inputs: ``(T, B, ...)`` each.
        lengths: ``(B,)``, or None where every row has ``T`` steps.
        reverse: last step first.
    """
    # unbind, not indexing: its gradient is one stack; each index would write a gradient of full size
    steps = list(zip(*(part.unbind(0) for part in inputs), strict=True))
    alive: list[Tensor | None] = [None] * len(steps)
    if lengths is not None:
        shortest, _ = check_lengths(lengths, len(steps), len(lengths))
        alive[shortest:] = valid_steps(lengths, len(steps))[shortest:, :, None].unbind(0)
    order = range(len(steps))
    return ((steps[t], alive[t]) for t in (reversed(order) if reverse else order))


def _masked(outputs: list[Tensor], lengths: Tensor | None, *, reverse: bool) -> Tensor:
    """The outputs of all steps ``(T, B, H)`` in time order, zero past each row's length."""
    stacked = torch.stack(outputs[::-1] if reverse else outputs)
    if lengths is None:
        return stacked
    return stacked.masked_fill(~valid_steps(lengths, len(outputs))[:, :, None], 0)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x weight' + bias``.

    Args:
        x: ``(..., E)``.
        weight: ``(H, E)``.
        bias: ``(H,)`` or ``(..., H)``.
    """
    if bias is not None and bias.dim() == 2 and x.dim() == 2:
        return torch.addmm(bias, x, weight.t())
    return torch.nn.functional.linear(x, weight, bias)


def _rounded_product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The same of factors rounded to bfloat16, forwards and backwards; bias and sums are not rounded."""
    rounded: Tensor = _RoundedProduct.apply(x, weight)  # type: ignore[no-untyped-call]
    return rounded if bias is None else rounded + bias


class _RoundedProduct(torch.autograd.Function):
    """``x weight'`` of rounded factors; the gradients are products of rounded factors too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        x, weight = _rounded(x), _rounded(weight)
        ctx.save_for_backward(x, weight)
        return x @ weight.t()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weight = ctx.saved_tensors
        gradient = _rounded(gradient)
        return gradient @ weight, gradient.flatten(0, -2).t() @ x.flatten(0, -2)


def _rounded(x: Tensor) -> Tensor:
    return x.bfloat16().to(x.dtype)
