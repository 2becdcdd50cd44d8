"""The CPU kernels in torch's graph of gradients: as operators when compiled, else by the shortest way.

Torch's way through a registered operator takes 0.4 ms of Python for each training step of a layer; a short
text takes less to compute. So without ``torch.compile`` a plain autograd function calls the same two.
"""

from __future__ import annotations

from itertools import islice
from typing import Any

import torch
from torch import Tensor

from recurra.errors import BackendError
from recurra.kernels.cpu import operators

__all__ = ["recurrence"]


def recurrence(
    x: Tensor, index: Tensor | None, lengths: Tensor | None, lists: tuple[list[Tensor], ...], cell: str,
    use_relu: bool, bf16: bool, reverse: bool, sequences: bool, shards: int, threads: int,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """All states and the last ones, with a gradient where one may be asked for.

    The arguments are those of ``operators.compute``; ``lists`` are its states, weights and masks.
    """
    wanted = torch.is_grad_enabled() and any(part.requires_grad for part in (x, *lists[0], *lists[1]))
    facts: tuple[Any, ...] = (cell, use_relu, bf16, reverse, sequences, wanted, shards, threads)
    inputs: tuple[Any, ...] = (x, index, lengths, *lists, *facts)
    if torch.compiler.is_compiling():
        outputs, last, _ = operators.forward(*inputs)
    elif wanted:
        counts = tuple(len(each) for each in lists)
        flattened = [part for each in lists for part in each]
        apply: Any = _Recurrence.apply
        outputs, last, _ = apply(counts, facts, x, index, lengths, *flattened)
    else:
        outputs, last, _ = operators.compute(*inputs)
    return outputs, last


class _Recurrence(torch.autograd.Function):
    """The kernels as a function of flat arguments: how many of each list, the facts, and the tensors."""

    @staticmethod
    def forward(
        ctx: Any, counts: tuple[int, ...], facts: tuple[Any, ...], *tensors: Any
    ) -> tuple[Tensor, Tensor, Tensor]:
        lists = _split(tensors[3:], counts)
        inputs = (*tensors[:3], *lists, *facts)
        output = operators.compute(*inputs)
        _keep(ctx, inputs, output)
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
        # with a graph of gradients to be made, the operator says that it has none
        compute: Any = operators.backward if torch.is_grad_enabled() else operators.compute_backward
        dx, dstate, dweights = _gradients(ctx, ctx.needs_input_grad[2], gradients, compute)
        return None, None, dx, None, None, *dstate, *dweights, *[None] * sum(ctx.counts[2:])


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    """What both ways save for the gradient."""
    x, index, lengths, *lists = inputs[:7]
    ctx.facts = inputs[7:]
    ctx.counts = tuple(len(each) for each in lists)
    outputs, _, tape = output
    ctx.save_for_backward(x, index, lengths, *(part for each in lists for part in each), outputs, tape)
    ctx.mark_non_differentiable(tape)
    ctx.set_materialize_grads(False)  # else torch would fill gradients of the tape's size with zeros


def _gradients(
    ctx: Any, input_wanted: bool, gradients: tuple[Any, ...], compute: Any
) -> tuple[Tensor | None, list[Any], list[Any]]:
    """The gradients of the input, of the states and of the weights, by what ``_keep`` saved."""
    x, index, lengths, *parts, outputs, tape = ctx.saved_tensors
    gradient, last, _ = gradients
    if gradient is None and last is None:
        return None, [None] * ctx.counts[0], [None] * ctx.counts[1]
    cell, use_relu, bf16, reverse, sequences, _, shards, threads = ctx.facts
    dx, dstate, *dweights = compute(
        x, index, lengths, *_split(parts, ctx.counts), outputs, tape, gradient if sequences else None, last,
        cell, use_relu, bf16, reverse, shards, threads, input_wanted,
    )  # fmt: skip
    return dx if input_wanted else None, list(dstate.unbind(0)) if ctx.counts[0] else [], dweights


def _split(parts: Any, counts: tuple[int, ...]) -> list[list[Any]]:
    rest = iter(parts)
    return [list(islice(rest, count)) for count in counts]


def _operator_gradient(ctx: Any, *gradients: Any) -> tuple[Any, ...]:
    dx, dstate, dweights = _gradients(ctx, ctx.needs_input_grad[0], gradients, operators.backward)
    masks = [[None] * count for count in ctx.counts[2:]]
    return dx, None, None, dstate, dweights, *masks, *[None] * len(ctx.facts)


def _no_second_gradient(ctx: Any, *gradients: Any) -> Any:
    raise BackendError(
        "backend 'cpu' has no gradients of gradients", hint="use backend 'reference', or 'torch'"
    )


torch.library.register_autograd(operators.FORWARD, _operator_gradient, setup_context=_keep)
torch.library.register_autograd(operators.BACKWARD, _no_second_gradient)
