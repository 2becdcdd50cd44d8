"""QRNN of window 1 and 2 against its formula, the convolution of the paper, and numerical gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import conv1d, pad

from recurra.layers import Recurrent
from tests.cells.checks import ACTIVATIONS, FURTHER, follows, has_numerical_gradients, sigmoid

CELLS = ["qrnn", "qrnn1"]


def formula(x: Any, entering: Any, state: Any, w: Any, act: Any) -> tuple[Any, ...]:
    _, c, *last = state
    a_n, a_f, a_o = np.split(w["weight_ih"] @ x + w["bias_ih"] + (np.concatenate(last) if last else 0), 3)
    f = sigmoid(a_f)
    c = f * c + (1 - f) * act(a_n)
    return (sigmoid(a_o) * c, c, *(np.split(w["weight_last"] @ x, 3) if last else ()))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("activation", [*ACTIVATIONS, *FURTHER])
def test_it_follows_the_formula(activation: str, cell: str) -> None:
    follows(cell, formula, activation, masked=False)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("activation", ["tanh", "linear_sigmoid", torch.nn.functional.softsign])
def test_gradients_are_the_numerical_ones(activation: Any, cell: str) -> None:
    has_numerical_gradients(cell, activation, masked=False)


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_window_2_is_a_masked_convolution_in_both_directions(backend: str) -> None:
    """Each row alone, so that its own last step is the first one of the backward direction."""
    torch.manual_seed(0)
    layer = Recurrent(3, 4, cell="qrnn", bidirectional=True, initial_weights="torch", backend=backend)
    x, lengths = torch.randn(3, 6, 3), torch.tensor([6, 2, 1])
    outputs, _ = layer(x, lengths)
    for row, length in enumerate(lengths.tolist()):
        for d, suffix in enumerate(["l0", "l0_reverse"]):
            w = layer.weights(suffix)
            seen = x[row, :length].flip(0) if d else x[row, :length]
            kernel = torch.stack([w.weight_last, w.weight_ih], dim=2)
            sums = conv1d(pad(seen.t()[None], (1, 0)), kernel, w.bias_ih)[0].t()
            n, f, o = torch.tanh(sums[:, :4]), *torch.sigmoid(sums[:, 4:]).chunk(2, dim=1)
            c, expected = torch.zeros(4), []
            for t in range(length):
                c = f[t] * c + (1 - f[t]) * n[t]
                expected.append(o[t] * c)
            found = outputs[row, :length, 4 * d : 4 * d + 4]
            torch.testing.assert_close(
                found.flip(0) if d else found, torch.stack(expected), rtol=0, atol=1e-6
            )


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_a_text_in_pieces_gives_what_it_gives_as_a_whole(backend: str) -> None:
    """Also where a row ends within a piece, and where a piece has none of a row's steps."""
    layer = Recurrent(3, 4, cell="qrnn", layers=2, initial_weights="torch", backend=backend)
    x, lengths = torch.randn(3, 7, 3), torch.tensor([7, 4, 2])
    whole, expected = layer(x, lengths)
    state, pieces = None, []
    for begin, stop in [(0, 3), (3, 4), (4, 7)]:
        outputs, state = layer(x[:, begin:stop], (lengths - begin).clamp(0, stop - begin), state)
        pieces.append(outputs)
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=0, atol=1e-6)
    for parts, others in zip(state, expected, strict=True):
        for part, other in zip(parts, others, strict=True):
            torch.testing.assert_close(part, other, rtol=0, atol=1e-6)
