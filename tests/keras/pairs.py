"""A layer of Keras and ours with the same weights, and all that a call of each gives."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import Tensor

import recurra.keras

IGNORED = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")
"""Keras 3.15 itself gives rise to this warning of numpy, in ``get_weights``."""

KINDS = ["SimpleRNN", "LSTM", "GRU"]
B, T, E, H = 5, 7, 3, 4


def pair(kind: str, **settings: Any) -> tuple[Any, Any]:
    """Keras's layer and ours, with the same random weights."""
    rng = np.random.default_rng(0)
    layers = tuple(getattr(home, kind)(H, **settings) for home in (keras.layers, recurra.keras))
    for layer in layers:
        layer.build((B, T, E))
    weights = [0.5 * rng.normal(size=array.shape) for array in layers[0].get_weights()]
    for layer in layers:
        layer.set_weights(weights)
    return layers


def inputs(dtype: str = "float32") -> np.ndarray[Any, Any]:
    return np.random.default_rng(1).normal(size=(B, T, E)).astype(dtype)


def results(layer: Any, x: Any, *, initial_state: Any = None, **arguments: Any) -> dict[str, Tensor]:
    """All outputs of a call and, by name, all gradients of a weighted sum of them."""
    x = torch.tensor(x, requires_grad=True)
    states = [torch.tensor(part, requires_grad=True) for part in initial_state or []]
    outputs = layer(x, initial_state=states or None, **arguments)
    parts = outputs if isinstance(outputs, list | tuple) else [outputs]
    rng = np.random.default_rng(2)
    loss = sum(
        ((part * torch.tensor(rng.normal(size=part.shape)).to(part.dtype)).sum() for part in parts),
        start=torch.zeros(()),
    )
    layer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    found = {f"output {number}": part.detach() for number, part in enumerate(parts)}
    found |= {f"gradient of state {number}": part.grad for number, part in enumerate(states)}  # type: ignore[misc]
    found |= {f"gradient of {weight.path}": weight.value.grad for weight in layer.trainable_weights}
    return found | {"gradient of x": x.grad}  # type: ignore[dict-item]


def assert_equal(ours: dict[str, Tensor], theirs: dict[str, Tensor], atol: float = 5e-6) -> None:
    """Compares in order; a failure has the name."""
    assert len(ours) == len(theirs)
    for (name, value), expected in zip(ours.items(), theirs.values(), strict=True):
        torch.testing.assert_close(
            value, expected, atol=atol, rtol=1e-5, msg=lambda text, n=name: f"{n}: {text}"
        )
