"""Masks as Keras means them, any step of a row may be masked, for kernels that read the first steps of a row.

Keras skips a masked step: the state stays as it is, and the output of the step before is repeated, or is zero
if there is none or ``zero_output_for_mask`` is set.

Dimensions: ``B`` batch, ``T`` time, ``E`` input features, ``H`` hidden units.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from recurra.kernels.dispatch import Lookup, check_lengths, has_no_values

__all__ = ["Steps", "read_mask"]


class Steps(NamedTuple):
    """The real steps of each row."""

    mask: Tensor
    """``(B, T)`` bool, True for real steps."""
    lengths: Tensor
    """``(B,)`` number of real steps."""
    order: Tensor | None
    """``(B, T)`` real steps first, in order of time, then the others; None where they are so already."""

    def packed(self, x: Tensor | Lookup) -> Tensor | Lookup:
        """Returns inputs ``(B, T, E)`` with the real steps of each row first."""
        if self.order is None:
            return x
        if isinstance(x, Lookup):
            return Lookup(x.table, x.index.gather(1, self.order))
        return _permuted(x, self.order, self.order.argsort(1))

    def placed(self, outputs: Tensor, *, backwards: bool, zeros: bool) -> Tensor:
        """Returns outputs of packed steps as Keras does: in reading order, with outputs of masked steps.

        Args:
            outputs: ``(B, T, H)`` in order of time, real steps first, then zeros.
            backwards: whether the layer reads from the last step to the first.
            zeros: ``zero_output_for_mask``.
        """
        mask = self.mask
        if self.order is not None:
            outputs = _permuted(outputs, self.order.argsort(1), self.order)
        if backwards:
            outputs, mask = outputs.flip(1), mask.flip(1)
        if zeros or not (has_no_values(mask) or bool((mask[:, :-1] & ~mask[:, 1:]).any())):
            return outputs
        # step 0 stands for the steps before the first real one; if it is masked, it is zero
        steps = torch.arange(mask.shape[1], device=mask.device)
        source = torch.where(mask, steps, 0).cummax(1).values
        return torch.take_along_dim(outputs, source[:, :, None], dim=1)

    def last(self, h: Tensor, *, backwards: bool, zeros: bool) -> Tensor:
        """Returns the output of the last step that is read, given the last state ``(B, H)``."""
        has_output = self.mask[:, 0 if backwards else -1] if zeros else self.lengths > 0
        return torch.where(has_output[:, None], h, 0.0)


def read_mask(mask: Tensor) -> Steps | None:
    """Returns the real steps of a mask ``(B, T)`` of any dtype; None if all are real."""
    mask = mask.bool()
    lengths = mask.sum(1)
    if not has_no_values(mask):
        shortest, _ = check_lengths(lengths, mask.shape[1], mask.shape[0])
        if shortest == mask.shape[1]:
            return None
        if not bool((mask[:, 1:] & ~mask[:, :-1]).any()):
            return Steps(mask, lengths, None)
    return Steps(mask, lengths, torch.argsort(mask.byte(), dim=1, descending=True, stable=True))


class _Permuted(torch.autograd.Function):
    """``x[b, order[b, t]]``; the gradient is a gather by the inverse order, not a scatter."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
        ctx.save_for_backward(order, inverse)
        return torch.take_along_dim(x, order[:, :, None], dim=1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        order, inverse = ctx.saved_tensors
        return _permuted(gradient, inverse, order), None, None


def _permuted(x: Tensor, order: Tensor, inverse: Tensor) -> Tensor:
    permuted: Tensor = _Permuted.apply(x, order, inverse)  # type: ignore[no-untyped-call]
    return permuted
