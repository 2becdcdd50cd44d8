"""minLSTM against its formula and numerical gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from recurra.kernels.dispatch import recurrence
from tests.cells.checks import ACTIVATIONS, FURTHER, follows, has_numerical_gradients, sigmoid
from tests.problems import make_problem


def formula(x: Any, entering: Any, state: Any, w: Any, act: Any) -> tuple[Any, ...]:
    (h,) = state
    a_f, a_i, a_n = np.split(w["weight_ih"] @ x + w["bias_ih"], 3)
    f, i = sigmoid(a_f), sigmoid(a_i)
    return (f / (f + i) * h + i / (f + i) * act(a_n),)


@pytest.mark.parametrize("activation", [*ACTIVATIONS, *FURTHER])
def test_it_follows_the_formula(activation: str) -> None:
    follows("min_lstm", formula, activation, masked=False)


@pytest.mark.parametrize("activation", ["linear_sigmoid", "tanh", torch.nn.functional.softsign])
def test_gradients_are_the_numerical_ones(activation: Any) -> None:
    has_numerical_gradients("min_lstm", activation, masked=False)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
@pytest.mark.parametrize(
    ("f", "i", "kept"), [(-200.0, -150.0, 0.0), (-150.0, -200.0, 1.0), (-300.0, -300.0, 0.5)]
)
def test_gates_too_small_for_float32_have_their_true_ratio(
    f: float, i: float, kept: float, backend: str
) -> None:
    p = make_problem("min_lstm", 1, 1, 1, 1, dtype=torch.float32)
    (call,) = p.calls(p.tensors)
    call.weights["weight_ih"].zero_()
    call.weights["bias_ih"].copy_(torch.tensor([f, i, 0.0]))
    outputs, _ = recurrence(
        "min_lstm", call.x, None, (torch.ones(1, 1),), call.weights, activation="identity", backend=backend
    )
    assert float(outputs) == pytest.approx(kept, abs=1e-6)
