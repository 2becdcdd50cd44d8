"""The linear layers of a network's outputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recurra.kernels.dispatch import can_compute_rows, linear_of_rows
from recurra.precision import autocast_dtype

__all__ = ["Head", "OutputLayer"]


class Head(nn.Linear):
    """``nn.Linear`` that computes in the dtype of its weights, under ``torch.autocast`` too.

    The product is small, and bfloat16 would leave three digits of each output.

    Example:
        >>> layer, x = Head(3, 2), torch.randn(4, 3)
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     layer(x).dtype
        torch.float32
    """

    def forward(self, input: Tensor) -> Tensor:
        """Returns ``(..., C)`` outputs of ``(..., F)`` inputs."""
        device = input.device.type
        if autocast_dtype(device) is None:
            return super().forward(input)
        with torch.autocast(device, enabled=False):
            return super().forward(input.to(self.weight.dtype))


class OutputLayer(Head):
    """A head with Keras's initial values.

    Where no gradient is recorded, its rows have the same bits in every batch.

    Example:
        >>> layer, x = OutputLayer(70, 3), torch.randn(9, 70)
        >>> with torch.no_grad():
        ...     print(torch.equal(layer(x)[4:5], layer(x[4:5])))
        True
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__(in_features, out_features)
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """Returns ``(B, C)`` outputs of ``(B, F)`` inputs."""
        if can_compute_rows(input, self.weight, self.bias) and input.dim() == 2:
            return linear_of_rows(input, self.weight, self.bias)
        return super().forward(input)
