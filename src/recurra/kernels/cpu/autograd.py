"""Gradients of the CPU kernels: by registered operators under ``torch.compile``, else an autograd function.

A registered operator takes 0.4 ms of Python for each training step of a layer, more than a short text takes
to compute. Without ``torch.compile``, a plain autograd function therefore calls the same two functions.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import torch
from torch import Tensor

from recurra.kernels.cpu import operators
from recurra.kernels.cpu.operators import Arguments, compute, compute_backward
from recurra.kernels.cpu.second import gradients_of_gradients

__all__ = ["recurrence"]


def recurrence(call: Arguments) -> tuple[Tensor, Tensor]:
    """Returns all states and the last ones, as ``compute`` does, with a gradient if one may be needed."""
    save = torch.is_grad_enabled() and (
        call.x.requires_grad or any(part.requires_grad for part in (*call.state, *call.weights))
    )
    if torch.compiler.is_compiling():
        outputs, last, _ = operators.forward(*call, save)
    elif save:
        apply: Any = _Recurrence.apply
        outputs, last, _ = apply(call, call.x, *call.state, *call.weights)
    else:
        outputs, last, _ = compute(call, save=False)
    return outputs, last


class _Recurrence(torch.autograd.Function):
    """The kernels as a function of the record, followed by those of its tensors that may have a gradient."""

    @staticmethod
    def forward(ctx: Any, call: Arguments, *tensors: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        result = compute(call, save=True)
        _keep(ctx, call, result)
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        # the operator has a gradient of its own
        dx, dstate, dweights = _gradients(
            ctx, ctx.needs_input_grad[1], gradients, operator=torch.is_grad_enabled()
        )
        return None, dx, *dstate, *dweights


def _keep(ctx: Any, call: Arguments, result: tuple[Tensor, Tensor, Tensor]) -> None:
    """Saves what the gradient needs."""
    outputs, _, tape = result
    lists = (call.state, call.weights, call.input_masks, call.recurrent_masks)
    tensors = (part for each in lists for part in each)
    # as saved tensors, not in the record: torch then frees them after use and detects changes in place
    ctx.save_for_backward(call.x, call.index, call.lengths, *tensors, outputs, tape)
    ctx.counts = [len(each) for each in lists]
    ctx.facts = call[7:]  # all that are not tensors
    ctx.mark_non_differentiable(tape)
    ctx.set_materialize_grads(False)  # otherwise torch allocates zeros of the tape's size


def _gradients(
    ctx: Any, input_wanted: bool, gradients: tuple[Any, ...], *, operator: bool
) -> tuple[Tensor | None, list[Any], list[Any]]:
    """The gradients of the input, of the states and of the weights."""
    x, index, lengths, *parts, outputs, tape = ctx.saved_tensors
    gradient, last, _ = gradients
    states, weights = ctx.counts[:2]
    if gradient is None and last is None:
        return None, [None] * states, [None] * weights
    remaining = iter(parts)
    lists: Any = [list(islice(remaining, count)) for count in ctx.counts]
    call = Arguments(x, index, lengths, *lists, *ctx.facts)
    gradient = gradient if call.sequences else None
    if operator:
        found = operators.backward(*call, outputs, tape, gradient, last, input_wanted)
    else:
        found = compute_backward(call, outputs, tape, gradient, last, input_wanted=input_wanted)
    dx, dstate, *dweights = found
    return dx if input_wanted else None, list(dstate.unbind(0)) if states else [], dweights


def _keep_of_operator(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    _keep(ctx, Arguments(*inputs[:-1]), output)


def _operator_gradient(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
    dx, dstate, dweights = _gradients(ctx, ctx.needs_input_grad[0], gradients, operator=True)
    masks = [[None] * count for count in ctx.counts[2:]]
    return dx, None, None, dstate, dweights, *masks, *[None] * (len(ctx.facts) + 1)


def _keep_of_backward(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    call = Arguments(*inputs[: len(Arguments._fields)])
    _, _, gradient, last, ctx.input_wanted = inputs[len(call) :]
    lists = (call.state, call.weights, call.input_masks, call.recurrent_masks)
    tensors = (part for each in lists for part in each)
    ctx.save_for_backward(call.x, call.index, call.lengths, *tensors, gradient, last)
    ctx.counts = [len(each) for each in lists]
    ctx.facts = call[7:]


def _gradient_of_gradient(ctx: Any, upstream: list[Tensor]) -> tuple[Any, ...]:
    x, index, lengths, *parts, gradient, last = ctx.saved_tensors
    remaining = iter(parts)
    lists: Any = [list(islice(remaining, count)) for count in ctx.counts]
    call = Arguments(x, index, lengths, *lists, *ctx.facts)
    of_x, of_states, *of_weights = upstream
    found = gradients_of_gradients(
        call,
        gradient,
        last,
        [of_x if ctx.input_wanted else None, *(of_states.unbind(0) if call.state else ()), *of_weights],
    )
    dx, *rest, dgradient, dlast = found
    dstate, dweights = rest[: len(call.state)], rest[len(call.state) :]
    masks = [[None] * count for count in ctx.counts[2:]]
    facts = [None] * len(ctx.facts)
    return dx, None, None, dstate, dweights, *masks, *facts, None, None, dgradient, dlast, None


torch.library.register_autograd(operators.FORWARD, _operator_gradient, setup_context=_keep_of_operator)
torch.library.register_autograd(operators.BACKWARD, _gradient_of_gradient, setup_context=_keep_of_backward)
