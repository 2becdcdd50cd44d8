"""Weights of Keras's recurrent layers, given as arrays; Keras itself is not needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recurra.errors import ConfigError
from recurra.layers.recurrent import Recurrent

__all__ = ["load_keras"]


def load_keras(layer: Recurrent, arrays: Sequence[NDArray[Any]]) -> None:
    """Copies the weights of Keras layers into a stack.

    Args:
        layer: the stack to fill; its settings must fit the arrays. Dtype and device stay as they are.
        arrays: ``kernel`` of shape ``(E, G*H)``, ``recurrent_kernel`` ``(H, G*H)`` and ``bias`` ``(G*H,)``
            (GRU: ``(2, 3*H)``) for each layer and direction, as ``get_weights()`` returns them. For a stack,
            join the lists of its layers; for ``Bidirectional``, the forward direction comes first.

    Raises:
        ConfigError: The number or a shape of the arrays does not fit, or Keras has no such cell. A GRU made
            with ``reset_after=False`` computes something else and has no counterpart.

    Example:
        >>> import recurra
        >>> kernel, recurrent, bias = np.ones((3, 16)), np.ones((4, 16)), np.zeros(16)
        >>> layer = recurra.LSTM(3, 4)
        >>> recurra.load_keras(layer, [kernel, recurrent, bias])  # keras_layer.get_weights()
        >>> layer.weight_ih_l0.shape, layer.weight_ih_l0.mean().item()
        (torch.Size([16, 3]), 1.0)
    """
    if layer.spec.keras_gates is None:
        raise ConfigError(f"Keras has no {layer.spec.title}")
    orders = (layer.spec.keras_gates, layer.spec.gates)
    suffixes = [suffix for number in range(layer.layers) for suffix in layer.suffixes(number)]
    if len(arrays) != 3 * len(suffixes):
        raise ConfigError(
            f"{len(arrays)} arrays given, {3 * len(suffixes)} needed",
            hint="give kernel, recurrent_kernel and bias of each layer and direction",
        )
    new = {}
    for number, suffix in enumerate(suffixes):
        kernel, recurrent, bias = (np.asarray(array) for array in arrays[3 * number : 3 * number + 3])
        new[f"weight_ih_{suffix}"] = _reordered(kernel, *orders).T
        new[f"weight_hh_{suffix}"] = _reordered(recurrent, *orders).T
        if "bias_hh" not in layer.spec.parameter_names:
            new[f"bias_ih_{suffix}"] = bias
        elif bias.ndim == 2 and len(bias) == 2:
            new[f"bias_ih_{suffix}"], new[f"bias_hh_{suffix}"] = _reordered(bias, *orders)
        else:
            raise ConfigError(
                f"the {layer.spec.title} has one bias, so it was made with reset_after=False, which differs",
                hint="give the weights of a GRU with reset_after=True",
            )
    for name, array in new.items():
        shape = tuple(getattr(layer, name).shape)
        if shape != array.shape:
            raise ConfigError(f"{name} would be {array.shape}, not {shape}")
    layer.load_state_dict({name: torch.from_numpy(np.array(array)) for name, array in new.items()})


def _reordered(array: NDArray[Any], given: Sequence[str], wanted: Sequence[str]) -> NDArray[Any]:
    """The columns of ``(..., G*H)`` with the gates in another order."""
    if array.shape[-1] % len(given):
        raise ConfigError(f"{array.shape[-1]} columns are not {len(given)} gates")
    gates = dict(zip(given, np.split(array, len(given), axis=-1), strict=True))
    return np.concatenate([gates[name] for name in wanted], axis=-1)
