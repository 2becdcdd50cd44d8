"""The two forms in which a module of ``torch.nn`` takes its batch: padded or packed.

Dimensions: ``B`` batch, ``T`` time, ``N`` packed steps, ``F`` features.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional

from recurra.kernels.dispatch import Lookup

__all__ = ["Form", "Packed", "TimeFirst"]


class Form(Protocol):
    """How the values of a batch are arranged outside the kernels."""

    @property
    def lengths(self) -> Tensor | None:
        """``(B,)`` int64 steps of each row; None where all have ``T``."""
        ...

    def steps(self, values: Tensor) -> Tensor | Lookup:
        """Returns values of this form as an input of the kernels, ``(T, B, F)``."""
        ...

    def values(self, outputs: Tensor) -> Tensor:
        """Returns outputs of the kernels ``(T, B, F)`` in this form, contiguous."""
        ...


class TimeFirst:
    """``(T, B, F)``, all rows of ``T`` steps."""

    lengths: Tensor | None = None

    def steps(self, values: Tensor) -> Tensor:
        """Returns the values."""
        return values

    def values(self, outputs: Tensor) -> Tensor:
        """Returns the outputs; the kernels arrange them batch first in memory, torch time first."""
        return outputs.contiguous()


class Packed:
    """``(N, F)``: the first step of all rows, the second step of all rows that have one, and so on.

    Args:
        batch_sizes: ``(T,)`` how many rows have each step; the longest rows come first.
    """

    lengths: Tensor

    def __init__(self, batch_sizes: Tensor) -> None:
        T, B = len(batch_sizes), int(batch_sizes[0])
        row = torch.arange(B, device="cpu")
        valid = row < batch_sizes[:, None]
        first = batch_sizes.cumsum(0) - batch_sizes
        self.lengths = valid.sum(0)
        self._index = torch.where(valid, first[:, None] + row, 0)
        """``(T, B)`` the packed step of each step, 0 for padding, which no kernel reads."""
        self._place = (row * T + torch.arange(T, device="cpu")[:, None])[valid]
        """``(N,)`` the step of each packed step in ``(B, T)``."""

    def steps(self, values: Tensor) -> Lookup:
        """Returns the values as rows of a table, which the kernels read in place."""
        return Lookup(values, self._index)

    def values(self, outputs: Tensor) -> Tensor:
        """Returns the outputs without the padding."""
        # embedding, since the gradient of index_select takes five times as long
        return functional.embedding(self._place, outputs.transpose(0, 1).flatten(0, 1))
