"""Pooling over time and linear outputs without gradients, whose bits do not depend on the other rows."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recurra.kernels import cpu
from recurra.kernels.terms import has_no_values, is_recorded, is_transformed

__all__ = ["can_compute_rows", "linear_of_rows", "pool_rows"]


def can_compute_rows(*tensors: Tensor) -> bool:
    """Whether compiled loops can compute with these tensors: float32 on the CPU, no gradients, no graph."""
    return (
        cpu.has_functions()
        and not torch.is_grad_enabled()
        and not is_recorded()
        and not is_transformed()
        and all(
            each.dtype is torch.float32 and each.is_cpu and not each.is_neg() and not has_no_values(each)
            for each in tensors
        )
    )


def pool_rows(states: Tensor, lengths: Tensor, kinds: Sequence[str]) -> Tensor:
    """Returns means and maxima over time, ``(B, n * F)`` in the order of the ``n`` kinds; zeros for no steps.

    Args:
        states: ``(B, T, F)`` float32 on the CPU.
        lengths: ``(B,)`` integers from 0 to ``T``.
        kinds: ``mean``, ``max``, or both.

    Raises:
        ValueError: a length is not from 0 to ``T``.

    Example:
        >>> pool_rows(torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([2]), ["mean", "max"])
        tensor([[2., 3.]])
    """
    from recurra.kernels.cpu.machine_code import functions

    B, T, F = states.shape
    steps = lengths.to(device="cpu", dtype=torch.int64).contiguous()
    if B and not 0 <= int(steps.min()) <= int(steps.max()) <= T:
        raise ValueError(f"a length is not from 0 to {T}")
    pooled = torch.empty(B, len(kinds) * F, dtype=torch.float32, device="cpu")
    mean, largest = (kinds.index(kind) * F if kind in kinds else -1 for kind in ("mean", "max"))
    states = states.contiguous()
    functions().pool(
        states.data_ptr(), steps.data_ptr(), B, T, F, mean, largest, pooled.shape[1], pooled.data_ptr()
    )
    return pooled


def linear_of_rows(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Returns ``x weight' + bias``, ``(B, C)``, for ``x (B, F)``, ``weight (C, F)`` and ``bias (C,)``.

    Example:
        >>> linear_of_rows(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]), torch.tensor([5.0]))
        tensor([[16.]])
    """
    from recurra.kernels.cpu.machine_code import functions

    (B, F), C = x.shape, len(weight)
    outputs = torch.empty(B, C, dtype=torch.float32, device="cpu")
    x, weight, bias = x.contiguous(), weight.contiguous(), bias.contiguous()
    functions().linear(x.data_ptr(), weight.data_ptr(), bias.data_ptr(), B, F, C, outputs.data_ptr())
    return outputs
