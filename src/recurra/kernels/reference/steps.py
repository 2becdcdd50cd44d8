"""What the three loops share: products, the order of the steps, the rows still alive, the activation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from recurra.kernels.terms import Activation, Precision, valid_steps

__all__ = ["activation_function", "masked", "ordered_steps", "product"]


def activation_function(activation: Activation) -> Callable[[Tensor], Tensor]:
    """The function of an activation given by name or as itself."""
    if callable(activation):
        return activation
    named: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": torch.relu}
    return named[activation]


def ordered_steps(
    *projected: Tensor, lengths: Tensor | None, reverse: bool
) -> Iterator[tuple[tuple[Tensor, ...], Tensor | None]]:
    """The steps in reading order: each projected input of a step, and which rows are alive ``(B, 1)``.

    The second is None where every row is alive, so that dense batches pay nothing for lengths.

    Args:
        projected: ``(T, B, ...)`` each.
        lengths: ``(B,)``, or None where every row has ``T`` steps.
        reverse: last step first; a row shorter than ``T`` keeps its initial state until its own last step.
    """
    # unbind, not indexing: its gradient is one stack; each index would write a gradient of full size
    steps = list(zip(*(part.unbind(0) for part in projected), strict=True))
    alive: list[Tensor | None] = [None] * len(steps)
    if lengths is not None:
        shortest = int(lengths.min())
        alive[shortest:] = valid_steps(lengths, len(steps))[shortest:, :, None].unbind(0)
    order = range(len(steps))
    return ((steps[t], alive[t]) for t in (reversed(order) if reverse else order))


def masked(outputs: list[Tensor], lengths: Tensor | None, *, reverse: bool) -> Tensor:
    """The outputs of all steps ``(T, B, H)`` in time order, zero past each row's length."""
    stacked = torch.stack(outputs[::-1] if reverse else outputs)
    if lengths is None:
        return stacked
    return stacked.masked_fill(~valid_steps(lengths, len(outputs))[:, :, None], 0)


def product(x: Tensor, weight: Tensor, bias: Tensor, precision: Precision) -> Tensor:
    """``x weight' + bias``, forwards and backwards of factors rounded to bfloat16 if that is the precision.

    Args:
        x: ``(..., E)``.
        weight: ``(H, E)``.
        bias: ``(H,)`` or ``(..., H)``; it and the sums stay whole.
        precision: of the factors.
    """
    if precision == "bfloat16":
        rounded: Tensor = _RoundedProduct.apply(x, weight)  # type: ignore[no-untyped-call]
        return rounded + bias
    if bias.dim() == 2 and x.dim() == 2:
        return torch.addmm(bias, x, weight.t())
    return torch.nn.functional.linear(x, weight, bias)


class _RoundedProduct(torch.autograd.Function):
    """``x weight'`` of both rounded; its gradients are of rounded factors too, not of the rounding."""

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
