"""SimpleRNN against its formula, torch.nn.RNN and numerical gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.cells.checks import ACTIVATIONS, SHAPES, equals_torch_nn, follows, has_numerical_gradients


def formula(x: Any, entering: Any, state: Any, w: Any, act: Any) -> tuple[Any, ...]:
    return (act(w["weight_ih"] @ x + w["weight_hh"] @ entering + w["bias_ih"]),)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_it_follows_the_formula(activation: str) -> None:
    follows("simple_rnn", formula, activation)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("shape", SHAPES)
def test_outputs_states_and_gradients_equal_torch_nn(shape: tuple[int, ...], activation: str) -> None:
    equals_torch_nn("simple_rnn", shape, activation)


@pytest.mark.parametrize("activation", ["tanh", "relu", torch.nn.functional.softsign])
def test_gradients_are_the_numerical_ones(activation: Any) -> None:
    has_numerical_gradients("simple_rnn", activation)
