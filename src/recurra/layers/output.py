"""The linear layers of a network's outputs."""

from __future__ import annotations

from torch import Tensor, nn

from recurra.kernels.dispatch import can_compute_rows, linear_of_rows
from recurra.precision import autocast_dtype, without_autocast

__all__ = ["Head", "OutputLayer"]


class Head(nn.Linear):
    """``nn.Linear`` that computes in the dtype of its weights, under ``torch.autocast`` too.

    The product is small, and bfloat16 would leave three digits of each output.

    Example:
        >>> import torch
        >>> layer, x = Head(3, 2), torch.randn(4, 3)
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     layer(x).dtype
        torch.float32
    """

    def forward(self, input: Tensor) -> Tensor:
        """Returns ``(..., C)`` outputs of ``(..., F)`` inputs."""
        if autocast_dtype(input.device.type) is None:
            return super().forward(input)
        with without_autocast(input.device.type):
            return super().forward(input.to(self.weight.dtype))


class OutputLayer(Head):
    """A head with Keras's initial values.

    Where no gradient is recorded, its rows have the same bits in every batch.

    Example:
        >>> import torch
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
