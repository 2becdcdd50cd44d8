"""A row gets the same bits alone and in any batch: recurrent kernels, pooling and linear outputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recurra.kernels.rowwise import can_compute_rows, linear_of_rows, pool_rows
from recurra.layers import MaxPooling, MeanPooling, Recurrent


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn"])
@pytest.mark.parametrize(("E", "H"), [(1, 1), (5, 7), (32, 16), (35, 20), (9, 48), (33, 130)])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_row_of_a_recurrent_layer(cell: str, E: int, H: int, bidirectional: bool) -> None:
    torch.manual_seed(E * H)
    layers = Recurrent(E, [H, H], cell=cell, bidirectional=bidirectional)
    assert layers.has_independent_rows
    with torch.no_grad():
        for B, T in ((13, 3), (2, 40), (65, 9)):
            x, lengths = torch.randn(B, T, E), torch.randint(1, T + 1, (B,))
            lengths[:2] = torch.tensor([T, 1])
            outputs, states = layers(x, lengths)
            for row in {0, 1, B // 2, B - 1}:
                steps = int(lengths[row])
                alone, last = layers(x[row : row + 1, :steps], torch.tensor([steps]))
                assert torch.equal(alone[0], outputs[row, :steps])
                for one, among in zip(last, states, strict=True):
                    assert all(torch.equal(a[0], b[row]) for a, b in zip(one, among, strict=True))


@pytest.mark.parametrize("F", [1, 15, 16, 50])
def test_pooling_equals_that_of_torch(F: int) -> None:
    states, lengths = torch.randn(7, 30, F), torch.tensor([30, 1, 0, 17, 29, 2, 30])
    found = pool_rows(states, lengths, ["mean", "max"])
    mean, largest = MeanPooling(), MaxPooling()
    recorded = states.clone().requires_grad_()  # with a gradient, torch's own operations are used
    torch.testing.assert_close(found[:, :F], mean(recorded, lengths).detach(), atol=1e-6, rtol=1e-6)
    assert torch.equal(found[:, F:], largest(recorded, lengths).detach())
    assert torch.equal(pool_rows(states, lengths, ["max"]), found[:, F:])
    for row, steps in enumerate(lengths.tolist()):
        one = pool_rows(states[row : row + 1, : max(1, steps)], lengths[row : row + 1], ["mean", "max"])
        assert torch.equal(one[0], found[row])
    states[3, 5] = torch.nan
    assert pool_rows(states, lengths, ["mean", "max"])[3].isnan().all()


def test_a_length_outside_the_steps_is_refused() -> None:
    for wrong in (-1, 4):
        with pytest.raises(ValueError, match="from 0 to 3"):
            pool_rows(torch.ones(1, 3, 2), torch.tensor([wrong]), ["mean"])


def test_linear_outputs_equal_a_product_in_float64() -> None:
    for B, F, C in ((1, 1, 1), (9, 17, 3), (65, 256, 5)):
        x, weight, bias = torch.randn(B, F), torch.randn(C, F), torch.randn(C)
        found = linear_of_rows(x, weight, bias)
        expected = x.double() @ weight.double().T + bias.double()
        np.testing.assert_allclose(found.numpy(), expected.numpy(), atol=2e-5)
        assert torch.equal(torch.cat([linear_of_rows(row[None], weight, bias) for row in x]), found)


def test_gradients_and_other_types_are_left_to_torch() -> None:
    values = torch.ones(2, 3)
    assert not can_compute_rows(values)  # gradients may be recorded
    with torch.no_grad():
        assert can_compute_rows(values)
        assert not can_compute_rows(values, values.double())
        assert not can_compute_rows(values.to("meta"))
