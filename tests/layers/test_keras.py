"""Layers with Keras's weights give Keras's outputs.

Stacks are compared with Keras's formulas in numpy. ``keras.json`` has weights and outputs of bidirectional
layers as Keras itself computed them: ``Bidirectional(LSTM(2, return_sequences=True))`` and so on, in Keras
3.15.1 on the torch backend.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import recurra
from recurra import load_keras
from recurra.errors import ConfigError
from recurra.layers import GRU, LSTM, Recurrent, SimpleRNN

KINDS = [SimpleRNN, LSTM, GRU]
GATES = {SimpleRNN: 1, LSTM: 4, GRU: 3}


def sigmoid(a: Any) -> Any:
    return 1 / (1 + np.exp(-a))


def keras_layer(kind: type[Recurrent], x: Any, kernel: Any, recurrent: Any, bias: Any) -> Any:
    """``(B, T, H)`` all states of one Keras layer."""
    H = recurrent.shape[0]
    h = c = np.zeros((len(x), H))
    states = []
    for step in np.moveaxis(x, 1, 0):
        if kind is SimpleRNN:
            h = np.tanh(step @ kernel + bias + h @ recurrent)
        elif kind is LSTM:
            z0, z1, z2, z3 = np.split(step @ kernel + h @ recurrent + bias, 4, axis=1)
            i, f = sigmoid(z0), sigmoid(z1)
            c = f * c + i * np.tanh(z2)
            h = sigmoid(z3) * np.tanh(c)
        else:
            x_z, x_r, x_h = np.split(step @ kernel + bias[0], 3, axis=1)
            inner_z, inner_r, inner_h = np.split(h @ recurrent + bias[1], 3, axis=1)
            z, r = sigmoid(x_z + inner_z), sigmoid(x_r + inner_r)
            h = z * h + (1 - z) * np.tanh(x_h + r * inner_h)
        states.append(h)
    return np.stack(states, axis=1)


def keras_arrays(kind: type[Recurrent], E: int, H: int, rng: np.random.Generator) -> list[Any]:
    columns = GATES[kind] * H
    bias = (2, columns) if kind is GRU else (columns,)
    return [rng.normal(size=shape) for shape in ((E, columns), (H, columns), bias)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_of_two(kind: type[Recurrent]) -> None:
    rng = np.random.default_rng(0)
    arrays = keras_arrays(kind, 3, 4, rng) + keras_arrays(kind, 4, 5, rng)
    layer = kind(3, [4, 5]).double()
    load_keras(layer, arrays)
    x = rng.normal(size=(2, 6, 3))
    expected = keras_layer(kind, keras_layer(kind, x, *arrays[:3]), *arrays[3:])
    np.testing.assert_allclose(layer(torch.from_numpy(x))[0].detach().numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bidirectional(kind: type[Recurrent]) -> None:
    rng = np.random.default_rng(1)
    arrays = keras_arrays(kind, 3, 4, rng) + keras_arrays(kind, 3, 4, rng)
    layer = kind(3, 4, bidirectional=True).double()
    load_keras(layer, arrays)
    x = rng.normal(size=(2, 6, 3))
    forward = keras_layer(kind, x, *arrays[:3])
    backward = keras_layer(kind, x[:, ::-1], *arrays[3:])[:, ::-1]
    expected = np.concatenate([forward, backward], axis=2)
    np.testing.assert_allclose(layer(torch.from_numpy(x))[0].detach().numpy(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["SimpleRNN", "LSTM", "GRU"])
def test_what_keras_itself_computed(name: str) -> None:
    recorded = json.loads((Path(__file__).parent / "keras.json").read_text(encoding="utf-8"))
    arrays = [np.array(array, np.float32) for array in recorded["layers"][name]["weights"]]
    layer = getattr(recurra, name)(2, 2, bidirectional=True)
    load_keras(layer, arrays)
    outputs, _ = layer(torch.tensor(recorded["x"]))
    np.testing.assert_allclose(outputs.detach(), recorded["layers"][name]["outputs"], rtol=0, atol=2e-6)


def test_a_cell_that_keras_has_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="Keras has no minGRU"):
        load_keras(Recurrent(3, 4, cell="min_gru"), [np.zeros((3, 8)), np.zeros(8)])


def test_arrays_that_do_not_fit_are_refused_and_change_nothing() -> None:
    rng = np.random.default_rng(2)
    layer = GRU(3, 4)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    kernel, recurrent, bias = keras_arrays(GRU, 3, 4, rng)
    for arrays, reason in [
        ([kernel, recurrent], "2 arrays given, 3 needed"),
        ([kernel, recurrent, bias[0]], "reset_after=False"),
        ([kernel[:2], recurrent, bias], r"weight_ih_l0 would be \(12, 2\), not \(12, 3\)"),
        ([kernel, recurrent[:, :7], bias], "7 columns are not 3 gates"),
    ]:
        with pytest.raises(ConfigError, match=reason):
            load_keras(layer, arrays)
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
