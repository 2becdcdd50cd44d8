"""SRU against its formula and numerical gradients, with and without the product of its highway."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from recurra.cells import cell_named
from recurra.kernels.dispatch import recurrence
from recurra.layers import Recurrent
from tests.cells.checks import ACTIVATIONS, FURTHER, follows, has_numerical_gradients, sigmoid

SIZES = [(3, 5), (4, 4)]


def formula(x: Any, entering: Any, state: Any, w: Any, act: Any) -> tuple[Any, ...]:
    _, c = state
    H = len(c)
    n, a_f, a_r = np.split(w["weight_ih"] @ x, 3)
    f = sigmoid(a_f + w["weight_c"][:H] * c + w["bias_ih"][:H])
    r = sigmoid(a_r + w["weight_c"][H:] * c + w["bias_ih"][H:])
    c = f * c + (1 - f) * n
    carried = w["weight_highway"] @ x if len(x) != H else x
    return r * act(c) + (1 - r) * np.sqrt(3) * carried, c


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("activation", [*ACTIVATIONS, *FURTHER])
def test_it_follows_the_formula(activation: str, sizes: tuple[int, int]) -> None:
    follows("sru", formula, activation, masked=False, sizes=sizes)


@pytest.mark.parametrize("sizes", [(2, 3), (3, 3)])
@pytest.mark.parametrize("activation", ["identity", "tanh", torch.nn.functional.softsign])
def test_gradients_are_the_numerical_ones(activation: Any, sizes: tuple[int, int]) -> None:
    has_numerical_gradients("sru", activation, masked=False, sizes=sizes)


def test_the_highway_has_a_matrix_where_the_widths_differ() -> None:
    """3 E H + 4 H parameters, and E H more for the matrix."""
    assert cell_named("sru").parameter_count(4, 4) == 3 * 16 + 16
    assert cell_named("sru").parameter_count(3, 5) == 4 * 15 + 20
    stack = Recurrent(3, [5, 5], cell="sru")
    assert [name for name in stack.state_dict() if "highway" in name] == ["weight_highway_l0"]
    other = Recurrent(3, [5, 5], cell="sru")
    other.load_state_dict(stack.state_dict())
    x = torch.randn(2, 4, 3)
    assert torch.equal(stack(x)[0], other(x)[0])
    call_weights = stack.weights("l1")
    with pytest.raises(ValueError, match="sru of 3 features and 5 units has the parameters weight_ih, w"):
        recurrence("sru", torch.randn(4, 2, 3), None, None, call_weights, activation="identity")
