"""Optimizer steps on sparse gradients that update only the rows with a gradient, for any optimizer.

Before a step the weight is replaced by a small parameter of those rows, with their part of the optimizer's
state; after the step the rows are copied back. The update rule and its rounding are therefore those of dense
gradients. The other rows do not change at all: neither momentum nor weight decay moves them, and their
running averages do not decay. (``torch.optim.SparseAdam`` also leaves them unchanged, but adds epsilon in
another place than ``torch.optim.Adam`` and has no weight decay.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["coalesced", "touching_rows"]


def touching_rows(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    """Makes ``optimizer.step`` accept gradients of shape (V, E) with sparse rows, and returns the optimizer.

    Its update must be element-wise, and its state of a weight must consist of tensors of the weight's shape
    and of numbers for the whole weight (e.g. the step count of Adam).
    """
    restores: list[Callable[[], None]] = []

    def before(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        for group in optimizer.param_groups:
            for position, weight in enumerate(group["params"]):
                if weight.grad is not None and weight.grad.is_sparse:
                    restores.append(_substitute_rows(optimizer, group["params"], position))

    def after(*_: Any) -> None:
        while restores:
            restores.pop()()

    optimizer.register_step_pre_hook(before)
    optimizer.register_step_post_hook(after)
    return optimizer


def coalesced(gradient: Tensor) -> Tensor:
    """Returns the sparse gradient with unique, sorted rows; the same tensor if they are so already.

    Torch drops the flag ``is_coalesced`` when it stores a gradient, and ``Tensor.coalesce`` would then sort
    and copy the rows: 0.7 ms for 11,000 rows of 100, against 0.02 ms for this check.
    """
    if not gradient.is_coalesced():
        (rows,) = gradient._indices()
        if not bool((rows[1:] > rows[:-1]).all()):
            return gradient.coalesce()
        gradient._coalesced_(True)
    return gradient


@torch.no_grad()
def _substitute_rows(
    optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], position: int
) -> Callable[[], None]:
    """Replaces a weight by its rows with a gradient, until the returned function is called."""
    weight = parameters[position]
    assert weight.grad is not None  # noqa: S101  # checked by the caller
    gradient = coalesced(weight.grad)
    (rows,) = gradient.indices()
    part = parameters[position] = nn.Parameter(weight.index_select(0, rows))
    part.grad = gradient.values()
    for key, value in optimizer.state.get(weight, {}).items():
        per_row = isinstance(value, Tensor) and value.shape == weight.shape
        optimizer.state[part][key] = value.index_select(0, rows) if per_row else value

    @torch.no_grad()
    def restore() -> None:
        parameters[position] = weight
        weight.index_copy_(0, rows, part)
        for key, value in optimizer.state.pop(part, {}).items():
            if isinstance(value, Tensor) and value.shape == part.shape:
                if key not in optimizer.state[weight]:
                    optimizer.state[weight][key] = torch.zeros_like(weight)
                optimizer.state[weight][key].index_copy_(0, rows, value)
            else:
                optimizer.state[weight][key] = value

    return restore
