"""LSTM against its formula, torch.nn.LSTM and numerical gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.cells.checks import ACTIVATIONS, SHAPES, equals_torch_nn, follows, has_numerical_gradients, sigmoid


def formula(x: Any, entering: Any, state: Any, w: Any, act: Any) -> tuple[Any, ...]:
    _, c = state
    sums = w["weight_ih"] @ x + w["weight_hh"] @ entering + w["bias_ih"]
    i, f, g, o = np.split(sums, 4)
    c = sigmoid(f) * c + sigmoid(i) * act(g)
    return sigmoid(o) * act(c), c


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_follows_the_formula(activation: str) -> None:
    follows("lstm", formula, activation)


@pytest.mark.parametrize("activation", ["tanh"])
@pytest.mark.parametrize("shape", SHAPES)
def test_outputs_states_and_gradients_equal_torch_nn(shape: tuple[int, ...], activation: str) -> None:
    equals_torch_nn("lstm", shape, activation)


@pytest.mark.parametrize("activation", ["tanh", "relu", torch.nn.functional.softsign])
def test_gradients_are_the_numerical_ones(activation: Any) -> None:
    has_numerical_gradients("lstm", activation)
