"""The embedding's initial values and its padding row."""

from __future__ import annotations

import pytest
import torch

from recurra.layers import Embedding


def test_values_begin_uniform_and_padding_at_zero() -> None:
    torch.manual_seed(0)
    weight = Embedding(1000, 8).weight.detach()
    assert not weight[0].any()
    assert float(weight.abs().max()) <= 0.05
    assert float(weight[1:].std()) == pytest.approx(0.05 / 3**0.5, rel=0.03)


def test_padding_is_never_trained() -> None:
    table = Embedding(5, 3)
    table(torch.tensor([[1, 2, 0, 0]])).sum().backward()
    assert table.weight.grad.sum(1).tolist() == [0, 3, 3, 0, 0]
