"""GRU against its formula, torch.nn.GRU and numerical gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.cells.checks import ACTIVATIONS, SHAPES, equals_torch_nn, follows, has_numerical_gradients, sigmoid


def formula(x: Any, entering: Any, state: Any, w: Any, act: Any) -> tuple[Any, ...]:
    """The mask scales the state inside the product alone; the state that is kept is the unmasked one."""
    (h,) = state
    a_r, a_z, a_n = np.split(w["weight_ih"] @ x + w["bias_ih"], 3)
    u_r, u_z, u_n = np.split(w["weight_hh"] @ entering + w["bias_hh"], 3)
    r, z = sigmoid(a_r + u_r), sigmoid(a_z + u_z)
    return ((1 - z) * act(a_n + r * u_n) + z * h,)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_follows_the_formula(activation: str) -> None:
    follows("gru", formula, activation)


@pytest.mark.parametrize("activation", ["tanh"])
@pytest.mark.parametrize("shape", SHAPES)
def test_outputs_states_and_gradients_equal_torch_nn(shape: tuple[int, ...], activation: str) -> None:
    equals_torch_nn("gru", shape, activation)


@pytest.mark.parametrize("activation", ["tanh", "relu", torch.nn.functional.softsign])
def test_gradients_are_the_numerical_ones(activation: Any) -> None:
    has_numerical_gradients("gru", activation)
