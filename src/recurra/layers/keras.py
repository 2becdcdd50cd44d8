"""Weights of Keras's recurrent layers, as arrays, into ours; Keras itself is not needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from recurra.cells.spec import CellSpec
from recurra.errors import ConfigError
from recurra.layers.recurrent import Recurrent

__all__ = ["load_keras"]


def load_keras(layer: Recurrent, arrays: Sequence[NDArray[Any]]) -> None:
    """Copy Keras's weights into a layer.

    Args:
        layer: the layer to fill; its settings must fit the arrays.
        arrays: ``kernel (E, G*H)``, ``recurrent_kernel (H, G*H)`` and ``bias (G*H,)`` (GRU: ``(2, 3H)``) for
            each layer and direction, as ``get_weights()`` gives them (Bidirectional: forward first).

    Raises:
        ConfigError: the number or a shape of the arrays does not fit. A GRU made with ``reset_after=False``
            computes something else and has no counterpart.
    """
    suffixes = [suffix for number in range(layer.layers) for suffix in layer.suffixes(number)]
    if len(arrays) != 3 * len(suffixes):
        raise ConfigError(
            f"{len(arrays)} arrays given, {3 * len(suffixes)} needed",
            hint="give kernel, recurrent_kernel and bias of each layer and direction",
        )
    new = {}
    for number, suffix in enumerate(suffixes):
        kernel, recurrent, bias = (np.asarray(array) for array in arrays[3 * number : 3 * number + 3])
        new[f"weight_ih_{suffix}"] = _gates_first(layer.spec, kernel).T
        new[f"weight_hh_{suffix}"] = _gates_first(layer.spec, recurrent).T
        if "bias_hh" not in layer.spec.parameter_names:
            new[f"bias_ih_{suffix}"] = bias
        elif bias.ndim == 2 and len(bias) == 2:
            new[f"bias_ih_{suffix}"], new[f"bias_hh_{suffix}"] = _gates_first(layer.spec, bias)
        else:
            raise ConfigError("the GRU has one bias, so it was made with reset_after=False, which differs")
    for name, parameter in layer.named_parameters():
        if tuple(parameter.shape) != new[name].shape:
            raise ConfigError(f"{name} would be {new[name].shape}, not {tuple(parameter.shape)}")
    with torch.no_grad():
        for name, parameter in layer.named_parameters():
            parameter.copy_(torch.from_numpy(np.array(new[name])))


def _gates_first(spec: CellSpec, array: NDArray[Any]) -> NDArray[Any]:
    """The columns of ``(..., G*H)`` in our order of gates."""
    names = spec.keras_gates
    if names is None:
        raise ConfigError(f"Keras has no {spec.title}")
    if array.shape[-1] % len(names):
        raise ConfigError(f"{array.shape[-1]} columns are not {len(names)} gates")
    gates = dict(zip(names, np.split(array, len(names), axis=-1), strict=True))
    return np.concatenate([gates[name] for name in spec.gates], axis=-1)
