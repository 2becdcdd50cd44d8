"""Tensors as flat arrays, without copies where their memory allows it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.kernels.cpu.layout import Floats

__all__ = ["check_index", "flat", "span"]


def check_index(index: Tensor, rows: int) -> None:
    """Checks that an index names rows of its table.

    Raises:
        IndexError: it names another row.
    """
    lowest, highest = (int(value) for value in torch.aminmax(index)) if index.numel() else (0, 0)
    if lowest < 0 or highest >= rows:
        raise IndexError(f"the index names row {lowest if lowest < 0 else highest}, the table has {rows}")


def flat(tensor: Tensor) -> Floats:
    """The numbers of a tensor in order; a view if it is contiguous."""
    array: Floats = tensor.detach().numpy().ravel()
    return array


def span(tensor: Tensor) -> Any:
    """All numbers from a tensor's first to its last address, for any strides."""
    tensor = tensor.detach()
    if tensor.is_contiguous():
        return tensor.numpy().ravel()
    if tensor.numel() == 0:
        return tensor.reshape(-1).numpy()
    length = 1 + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.as_strided((length,), (1,)).numpy()
