"""Weights to and from the recurrent modules of ``torch.nn``, which have two biases where most cells have one.

``nn.LSTM`` and ``nn.RNN`` add ``bias_ih`` and ``bias_hh``, so one bias with their sum computes the same. GRU
keeps both, since its reset gate multiplies the recurrent product together with ``bias_hh``.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, MutableMapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from recurra.errors import ConfigError

__all__ = ["TorchModule", "add_biases", "make_module", "module_settings", "with_two_biases"]

TorchModule: TypeAlias = type[nn.RNN] | type[nn.LSTM] | type[nn.GRU]


def module_settings(expected: TorchModule | None, module: nn.RNNBase, title: str) -> dict[str, Any]:
    """The settings that a layer needs to compute what a module computes, its device and dtype included.

    Args:
        expected: the module of the layer's cell, or None if torch has none.
        module: the module to take over.
        title: of the layer's class.

    Raises:
        ConfigError: the module is of another cell or has a projection.
    """
    if expected is None or not isinstance(module, expected):
        raise ConfigError(f"{title} can't be made from {type(module).__name__}")
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
    kind: TorchModule | None,
    title: str,
    input_size: int,
    units: Sequence[int],
    activations: Sequence[Any],
    **settings: Any,
) -> nn.RNNBase:
    """The module (``batch_first``, no dropout) that computes what a layer with these settings computes.

    Args:
        kind: the module of the layer's cell, or None if torch has none.
        title: of the layer's class.
        input_size: ``E``.
        units: ``H`` of each layer.
        activations: of each layer.
        settings: of the module: ``bidirectional``, ``device``, ``dtype``.

    Raises:
        ConfigError: torch has no such module.
    """
    if kind is None:
        raise ConfigError(f"torch.nn has no {title}")
    if len(set(units)) > 1 or len(set(activations)) > 1:
        raise ConfigError("torch.nn has no stack whose layers differ in width or activation")
    activation = activations[0]
    if kind is nn.RNN and activation in ("tanh", "relu"):
        settings["nonlinearity"] = activation
    elif activation != "tanh":
        raise ConfigError(f"torch.nn has no {title} with activation {activation}")
    return kind(input_size, units[0], num_layers=len(units), batch_first=True, **settings)


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
