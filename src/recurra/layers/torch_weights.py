"""Weights to and from the recurrent modules of ``torch.nn``, which have two biases where most cells have one.

``nn.LSTM`` and ``nn.RNN`` add ``bias_ih`` and ``bias_hh``, so one bias with their sum computes the same. GRU
keeps both, since its reset gate multiplies the recurrent product together with ``bias_hh``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.spec import CellSpec
from recurra.errors import ConfigError

__all__ = ["add_biases", "make_module", "module_settings", "with_two_biases"]


def module_settings(spec: CellSpec, module: nn.RNNBase) -> dict[str, Any]:
    """The settings that a layer needs to compute what a module computes, its device and dtype included.

    Args:
        spec: the layer's cell.
        module: the module to take over.

    Raises:
        ConfigError: the module is of another cell or has a projection.
    """
    if spec.torch_module is None or not isinstance(module, spec.torch_module):
        raise ConfigError(f"{spec.title} can't be made from {type(module).__name__}")
    if module.proj_size:
        raise ConfigError("an LSTM with proj_size has no counterpart here", hint="give one without")
    first = module.get_parameter("weight_ih_l0")
    return {
        "input_size": module.input_size,
        "units": module.hidden_size,
        "layers": module.num_layers,
        "bidirectional": module.bidirectional,
        "activation": getattr(module, "nonlinearity", "tanh"),
        "device": first.device,
        "dtype": first.dtype,
    }


def make_module(
    spec: CellSpec, input_size: int, units: Sequence[int], activations: Sequence[Any], bidirectional: bool
) -> nn.RNNBase:
    """The module (``batch_first``, no dropout) that computes what a layer with these settings computes.

    Args:
        spec: the layer's cell.
        input_size: ``E``.
        units: ``H`` of each layer.
        activations: of each layer.
        bidirectional: Whether there are two directions.

    Raises:
        ConfigError: torch has no such module.
    """
    if spec.torch_module is None:
        raise ConfigError(f"torch.nn has no {spec.title}")
    if len(set(units)) > 1 or len(set(activations)) > 1:
        raise ConfigError("torch.nn has no stack whose layers differ in width or activation")
    activation = activations[0]
    options = {}
    if spec.torch_module is nn.RNN and activation in ("tanh", "relu"):
        options["nonlinearity"] = activation
    elif activation != "tanh":
        raise ConfigError(f"torch.nn has no {spec.title} with activation {activation}")
    return spec.torch_module(
        input_size, units[0], len(units), batch_first=True, bidirectional=bidirectional, **options
    )


def add_biases(weights: MutableMapping[str, Tensor], names: Collection[str], prefix: str = "") -> None:
    """Replaces two biases of ``weights`` by their sum wherever ``names`` has one.

    Args:
        weights: named as in ``torch.nn``, each name after ``prefix``; changed in place.
        names: of the parameters that are to be filled, without prefix.
        prefix: of the names in ``weights``.
    """
    for name in names:
        other = name.replace("bias_ih_", "bias_hh_")
        if name.startswith("bias_ih_") and other not in names and prefix + other in weights:
            first, second = weights.get(prefix + name), weights[prefix + other]
            if first is not None and first.shape == second.shape:
                weights[prefix + name] = first + second
                del weights[prefix + other]


def with_two_biases(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights with zeros for each ``bias_hh`` that is missing beside a ``bias_ih``, in torch's order."""
    complete: dict[str, Tensor] = {}
    for name, value in weights.items():
        complete[name] = value
        other = name.replace("bias_ih_", "bias_hh_")
        if other not in weights:
            complete[other] = torch.zeros_like(value)
    return complete
