"""Pooling against the same thing written row by row, and blind to padding."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recurra.layers import AttentionPooling, JoinedPooling, MaxPooling, MeanPooling

LENGTHS = torch.tensor([6, 1, 3])


def poolings() -> list[nn.Module]:
    torch.manual_seed(0)
    return [MeanPooling(), MaxPooling(), AttentionPooling(5).double()]


def by_row(pooling: nn.Module, row: torch.Tensor) -> torch.Tensor:
    if isinstance(pooling, MeanPooling):
        return row.mean(0)
    if isinstance(pooling, MaxPooling):
        return row.max(0).values
    weight, bias, vector = pooling.projection.weight, pooling.projection.bias, pooling.score.weight[0]
    scores = torch.stack([vector @ torch.tanh(weight @ step + bias) for step in row])
    return (torch.exp(scores) / torch.exp(scores).sum()) @ row


@pytest.mark.parametrize("number", range(3))
def test_each_row_is_pooled_over_its_true_steps(number: int) -> None:
    pooling = poolings()[number]
    states = torch.randn(3, 6, 5, dtype=torch.float64) - 3  # below 0: a padded 0 would win a max
    expected = torch.stack([by_row(pooling, states[b, :n]) for b, n in enumerate(LENGTHS)])
    torch.testing.assert_close(pooling(states, LENGTHS), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("garbage", [0.0, 50.0])
@pytest.mark.parametrize("number", range(3))
def test_padding_never_shows(number: int, garbage: float) -> None:
    pooling = poolings()[number]
    states = torch.randn(3, 6, 5, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(3, 5, dtype=torch.float64)
    further = torch.cat([states.detach(), torch.zeros(3, 4, 5)], 1)
    inside = torch.arange(10)[None] < LENGTHS[:, None]
    further[~inside] = garbage
    further.requires_grad_()
    torch.testing.assert_close(pooling(further, LENGTHS), pooling(states, LENGTHS), rtol=0, atol=1e-12)
    (short,) = torch.autograd.grad((pooling(states, LENGTHS) * upstream).sum(), states)
    (long,) = torch.autograd.grad((pooling(further, LENGTHS) * upstream).sum(), further)
    torch.testing.assert_close(long[:, :6], short, rtol=0, atol=1e-12)
    assert not long[~inside].any()


@pytest.mark.parametrize("number", range(3))
def test_an_empty_row_gives_zeros_and_a_finite_gradient(number: int) -> None:
    pooling = poolings()[number]
    states = torch.randn(2, 4, 5, dtype=torch.float64, requires_grad=True)
    pooled = pooling(states, torch.tensor([0, 4]))
    assert not pooled[0].any()
    pooled.sum().backward()
    assert states.grad.isfinite().all()
    assert not states.grad[0].any()


def test_attention_weights_are_shares_of_the_true_steps() -> None:
    pooling = poolings()[2]
    weights = pooling.weights(torch.randn(3, 6, 5, dtype=torch.float64), LENGTHS)[:, :, 0]
    torch.testing.assert_close(weights.sum(1), torch.ones(3, dtype=torch.float64))
    for row, n in enumerate(LENGTHS):
        assert (weights[row, :n] > 0).all()
        assert not weights[row, n:].any()


def test_joined_poolings_are_one_after_another() -> None:
    states, last = torch.randn(3, 6, 5, dtype=torch.float64), torch.randn(3, 5, dtype=torch.float64)
    mean, largest, attention = poolings()
    found = JoinedPooling([largest, None, attention, mean])(states, LENGTHS, last)
    expected = [largest(states, LENGTHS), last, attention(states, LENGTHS), mean(states, LENGTHS)]
    torch.testing.assert_close(found, torch.cat(expected, 1), rtol=0, atol=0)
