"""One row at a time, without gradients: a stack whose weights, addresses and work memory are prepared.

Whatever is out of the ordinary takes the general way through the kernels, which checks it and says what is
wrong.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.spec import State
from recurra.kernels.dispatch import Lookup, Prepared, can_prepare, is_transformed, prepare
from recurra.layers.stack import Stack

__all__ = ["OneRow"]

_TENSORS = (Tensor, nn.Parameter)
"""Types whose memory is read; other subclasses of a tensor may have none."""


class OneRow(Stack):
    """The part of a stack that computes one row."""

    backend: str
    precision: str
    dropout: float | list[float]
    recurrent_dropout: float | list[float]
    _prepared: Prepared | None = None

    @property
    def has_independent_rows(self) -> bool:
        """Whether, without gradients, a row gets the same bits in every batch, and alone.

        The kernels of SimpleRNN, LSTM and GRU add up each row's terms in one order.
        """
        return (
            self.precision == "float32"
            and self.backend in ("auto", "cpu")
            and can_prepare(self.cell, self.activations, [*self.parameters()])
        )

    def _one_row(
        self, x: Any, lengths: Tensor | None, state: Any, *, sequences: bool
    ) -> tuple[Tensor | None, list[State]] | None:
        """Outputs ``(1, T, F)`` and the last states; None where the general way is needed."""
        values = x.table if type(x) is Lookup else x
        if (
            torch.compiler.is_compiling()
            or type(values) not in _TENSORS
            or not _is_one_row(x, values, self.input_size, lengths)
            or (self.training and (self.dropout or self.recurrent_dropout))
            or (self.bidirectional and self.merge_mode != "concat")
            or self.precision != "float32"
            or self.backend not in ("auto", "cpu")
            or is_transformed()
        ):
            return None
        states = None if state is None else self._states_of_one(state)
        if state is not None and states is None:
            return None
        prepared = self._prepared
        if prepared is None:
            self._prepared = prepared = self._prepare()
            if prepared is None:
                return None
        elif not prepared.is_of(self._parameters, self.activations):
            self._prepared = None
            return None
        if torch.is_grad_enabled() and (
            values.requires_grad
            or prepared.requires_grad()
            or any(part.requires_grad for each in states or () for part in each)
        ):
            return None
        return prepared.run(x, states, sequences=sequences)

    def _states_of_one(self, state: Any) -> list[State] | None:
        """The initial states of each layer and direction, if they are given in the layer's own form."""
        widths = [H for H in self.units for _ in range(self.directions)]
        if type(state) is not tuple or len(state) != len(widths):
            return None
        count = len(self.spec.state)
        for each, H in zip(state, widths, strict=True):
            if type(each) is not tuple or len(each) != count:
                return None
            for part in each:
                if (
                    type(part) is not Tensor
                    or part.dtype is not torch.float32
                    or part.shape != (1, H)
                    or not part.is_cpu
                    or not part.is_contiguous()
                    or part.is_neg()
                ):
                    return None
        return list(state)

    def _prepare(self) -> Prepared | None:
        names = [
            [[f"{name}_{suffix}" for name in self._names[suffix]] for suffix in self.suffixes(depth)]
            for depth in range(self.layers)
        ]
        return prepare(self.cell, self.activations, names, self._parameters)


def _is_one_row(x: Any, values: Tensor, features: int, lengths: Tensor | None) -> bool:
    """Whether an input is one row of float32 in the processor's memory, and all of it is to be read."""
    shape = x.shape
    if len(shape) != 3 or shape[0] != 1 or shape[2] != features or shape[1] == 0:
        return False
    if values.dtype is not torch.float32 or not values.is_cpu or values.is_neg():
        return False
    if values is x:
        if values.stride(2) != 1 and features > 1:
            return False
    elif (
        type(x.index) is not Tensor
        or x.index.dtype is not torch.int64
        or not x.index.is_cpu
        or not values.is_contiguous()
        or values.dim() != 2
    ):
        return False
    if lengths is None:
        return True
    return (
        type(lengths) is Tensor
        and lengths.dtype is torch.int64
        and lengths.shape == (1,)
        and lengths.is_cpu
        and lengths.item() == shape[1]
    )
