"""``nn.RNN``, ``nn.LSTM`` and ``nn.GRU`` with another ``forward``, and how they get into a model."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.utils import parametrize

from recurra.torch import calls, stack

__all__ = ["GRU", "LSTM", "RNN", "accelerate"]

Model = TypeVar("Model", bound=nn.Module)


def _compute(module: nn.RNNBase, input: Any, hx: Any) -> tuple[Any, Any] | None:
    """What the kernels compute for a call; None if it is left to torch."""
    return stack.forward(module, input, hx) if calls.computes(module, input, hx) else None


@cache
def _outside_of_graphs() -> Callable[[nn.RNNBase, Any, Any], tuple[Any, Any] | None]:
    """The same, not compiled: the compiler leaves out recurrent modules, but not what they call."""
    disable: Any = torch.compiler.disable
    disabled: Callable[[nn.RNNBase, Any, Any], tuple[Any, Any] | None] = disable(_compute)
    return disabled


class _Accelerated(nn.RNNBase):
    """A module of ``torch.nn`` whose calls the kernels compute where they can; torch computes all others."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Computes as ``torch.nn``; see there."""
        if torch.compiler.is_compiling():  # into a graph of torch's operations, such as for torch.export
            return super().forward(input, hx)
        compute = _outside_of_graphs() if "torch._dynamo" in sys.modules else _compute
        found = compute(self, input, hx)
        return super().forward(input, hx) if found is None else found

    def __prepare_scriptable__(self) -> nn.Module:
        # TorchScript compiles torch's own forward only; in place, since it would put a copy into the model
        return accelerate(self, undo=True)


class RNN(_Accelerated, nn.RNN):
    """``nn.RNN``, faster on a CPU: the same arguments, parameters, outputs and errors.

    The kernels compute float32 on a CPU: padded, packed or without a batch dimension, in training and
    inference, any number of layers, both directions. Everything else is left to PyTorch: short sequences,
    other devices and dtypes, autocast, TorchScript and tracing, ``torch.func``.

    Example:
        >>> import torch
        >>> theirs, ours = nn.RNN(3, 4, nonlinearity="relu"), RNN(3, 4, nonlinearity="relu")
        >>> ours.load_state_dict(theirs.state_dict())
        <All keys matched successfully>
        >>> x = torch.randn(5, 2, 3)
        >>> torch.allclose(ours(x)[0], theirs(x)[0], atol=1e-6)
        True
    """


class LSTM(_Accelerated, nn.LSTM):
    """``nn.LSTM``, faster on a CPU, as ``RNN`` describes. PyTorch computes a projection (``proj_size``).

    Example:
        >>> import torch
        >>> from torch.nn.utils.rnn import pack_sequence
        >>> module = LSTM(3, 4, num_layers=2, bidirectional=True)
        >>> packed = pack_sequence([torch.randn(5, 3), torch.randn(2, 3)])
        >>> outputs, (h_n, c_n) = module(packed)
        >>> outputs.data.shape, h_n.shape, isinstance(module, nn.LSTM)
        (torch.Size([7, 8]), torch.Size([4, 2, 4]), True)
    """


class GRU(_Accelerated, nn.GRU):
    """``nn.GRU``, faster on a CPU, as ``RNN`` describes.

    Example:
        >>> import torch
        >>> module = GRU(3, 4, batch_first=True)
        >>> outputs, h_n = module(torch.randn(2, 5, 3), torch.zeros(1, 2, 4))
        >>> outputs.shape, torch.equal(outputs[:, -1], h_n[0])
        (torch.Size([2, 5, 4]), True)
    """


_CLASSES: dict[type[nn.Module], type[nn.Module]] = {nn.RNN: RNN, nn.LSTM: LSTM, nn.GRU: GRU}


def accelerate(model: Model, *, undo: bool = False) -> Model:
    """Makes every ``nn.RNN``, ``nn.LSTM`` and ``nn.GRU`` of a model compute with recurra's kernels, in place.

    Only the class of the modules changes. The modules and parameters stay the same objects, so that an
    optimizer, hooks, parametrizations, shared modules, ``requires_grad`` and the training mode are kept, and
    ``state_dict`` is what it was. Subclasses of the three modules are left alone, since they may compute
    something else.

    Args:
        model: any module, also one of the three itself.
        undo: Whether to change recurra's modules into torch's instead, such as before a model is scripted,
            quantized or pickled as a whole for a program without recurra.

    Returns:
        The model.

    Warns:
        UserWarning: The model has none of the three modules.

    Example:
        >>> model = nn.ModuleDict({"recurrent": nn.LSTM(3, 4), "head": nn.Linear(4, 2)})
        >>> type(accelerate(model)["recurrent"]).__module__
        'recurra.torch.modules'
        >>> type(accelerate(model, undo=True)["recurrent"]).__module__
        'torch.nn.modules.rnn'
    """
    to = {ours: theirs for theirs, ours in _CLASSES.items()} if undo else _CLASSES
    found = False
    for module in model.modules():
        kind = parametrize.type_before_parametrizations(module)
        found = found or kind in to.values()
        if kind in to:
            found = True
            _set_class(module, to[kind])
    if not found and not undo:
        warnings.warn(
            f"{type(model).__name__} has no nn.RNN, nn.LSTM or nn.GRU to accelerate "
            "(subclasses of them are left alone)",
            stacklevel=2,
        )
    return model


def _set_class(module: nn.Module, kind: type[nn.Module]) -> None:
    if parametrize.is_parametrized(module):
        # its class is one of its own, with a property for each parametrized tensor
        own = {
            name: value
            for name, value in vars(type(module)).items()
            if name not in ("__dict__", "__weakref__")
        }
        kind = type(type(module).__name__, (kind,), own)
    module.__class__ = kind
