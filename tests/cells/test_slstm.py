"""sLSTM against its formula without the stabiliser, and numerical gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from recurra.errors import ConfigError
from recurra.layers import Recurrent
from tests.cells.checks import ACTIVATIONS, follows, has_numerical_gradients, sigmoid

SIZES = (3, 8)


def formula(x: Any, entering: Any, state: Any, w: Any, act: Any) -> tuple[Any, ...]:
    """The state of the paper's equations is ``c`` and ``n`` times ``exp(m)``."""
    _, c, n, m = state
    K = len(c) // 4
    blocks = w["weight_hh"].reshape(4, 4, K, K)
    recurrent = [
        block @ part for gate in blocks for block, part in zip(gate, np.split(entering, 4), strict=True)
    ]
    i, f, g, o = np.split(w["weight_ih"] @ x + w["bias_ih"] + np.concatenate(recurrent), 4)
    new_c = sigmoid(f) * c * np.exp(m) + np.exp(i) * act(g)
    new_n = sigmoid(f) * n * np.exp(m) + np.exp(i)
    new_m = np.maximum(np.log(sigmoid(f)) + m, i)
    return sigmoid(o) * new_c / new_n, new_c / np.exp(new_m), new_n / np.exp(new_m), new_m


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_follows_the_formula(activation: str) -> None:
    follows("slstm", formula, activation, sizes=SIZES, positive="n0")


def test_gradients_are_the_numerical_ones() -> None:
    has_numerical_gradients("slstm", sizes=(2, 4), positive="n0")


@pytest.mark.parametrize("size", [300.0, -300.0])
def test_gates_far_from_zero_stay_finite(size: float) -> None:
    """From an empty state, where only the stabiliser keeps exponentials and their quotient in range."""
    layer, x = Recurrent(3, 8, cell="slstm"), torch.randn(2, 5, 3, requires_grad=True)
    with torch.no_grad():
        layer.bias_ih_l0[:8] = size
    outputs, states = layer(x)
    outputs.sum().backward()
    assert outputs.abs().max() <= 1
    for value in (outputs, x.grad, layer.weight_hh_l0.grad, *states[0]):
        assert value.isfinite().all()
    assert outputs[:, 0].abs().min() > 0  # the first step is read, however small its gate


def test_units_are_divided_into_heads() -> None:
    with pytest.raises(ConfigError, match="sLSTM has 4 parts, which 6 units can't be divided into; give a"):
        Recurrent(3, 6, cell="slstm")
    assert Recurrent(3, 8, cell="slstm").weight_hh_l0.shape == (32, 2)
