"""Weights to and from ``torch.nn``'s recurrent modules, which have a second bias that only GRU needs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from recurra.cells import cell_named
from recurra.errors import ConfigError

if TYPE_CHECKING:
    from recurra.layers.recurrent import Recurrent

__all__ = ["from_torch", "to_torch"]

_Layer = TypeVar("_Layer", bound="Recurrent")


def from_torch(kind: type[_Layer], module: nn.RNNBase, **settings: Any) -> _Layer:
    """A layer with a copy of the module's weights, device and dtype.

    Args:
        kind: SimpleRNN, LSTM or GRU.
        module: ``nn.RNN``, ``nn.LSTM`` or ``nn.GRU``. Its dropout (drawn anew at every step, not on the first
            layer's input) means something else than ours and is not taken over.
        settings: of the layer, such as ``dropout`` or ``return_sequences``.

    Raises:
        ConfigError: the module is of another cell or has a projection.
    """
    expected = cell_named(kind.cell).torch_module
    if expected is None or not isinstance(module, expected):
        raise ConfigError(f"{kind.__name__} can't be made from {type(module).__name__}")
    if module.proj_size:
        raise ConfigError("an LSTM with proj_size has no counterpart here")
    layer = kind(
        module.input_size,
        module.hidden_size,
        layers=module.num_layers,
        bidirectional=module.bidirectional,
        activation=getattr(module, "nonlinearity", "tanh"),
        **settings,
    )
    first: Tensor = module.get_parameter("weight_ih_l0")
    layer = layer.to(device=first.device, dtype=first.dtype)
    layer.load_state_dict(_our_names(module.state_dict(), layer))
    return layer


def to_torch(layer: Recurrent) -> nn.RNNBase:
    """A ``torch.nn`` module (``batch_first``, no dropout) with a copy of the layer's weights.

    Raises:
        ConfigError: torch has no such module: layers of different width or activation, or LSTM or GRU with
            another activation than tanh.
    """
    activations = set(layer.activations)
    if len(set(layer.units)) > 1 or len(activations) > 1:
        raise ConfigError("torch.nn has no stack whose layers differ in width or activation")
    (activation,) = activations
    options: dict[str, Any] = {}
    kind = layer.spec.torch_module
    if kind is None:
        raise ConfigError(f"torch.nn has no {layer.spec.title}")
    if kind is nn.RNN and activation in ("tanh", "relu"):
        options["nonlinearity"] = activation
    elif activation != "tanh":
        raise ConfigError(f"torch.nn has no {layer.spec.title} with activation {activation}")
    module = kind(
        layer.input_size,
        layer.units[0],
        num_layers=layer.layers,
        batch_first=True,
        bidirectional=layer.bidirectional,
        **options,
    )
    ours = layer.state_dict()
    first = ours["weight_ih_l0"]
    module = module.to(device=first.device, dtype=first.dtype)
    theirs = {name: ours.get(name, torch.zeros_like(value)) for name, value in module.state_dict().items()}
    module.load_state_dict(theirs)
    return module


def _our_names(theirs: Mapping[str, Tensor], layer: Recurrent) -> dict[str, Tensor]:
    """Both biases as they are for GRU, else their sum; zeros where the module has none."""
    ours = {}
    for name, value in layer.state_dict().items():
        found = theirs.get(name, torch.zeros_like(value))
        if name.startswith("bias_ih") and "bias_hh" not in layer.spec.parameter_names:
            other = theirs.get(name.replace("bias_ih", "bias_hh"))
            found = found if other is None else found + other
        ours[name] = found
    return ours
