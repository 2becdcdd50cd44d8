"""Optimizers compared with their formulas in float64, learning rate schedules, and clipping."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from train_stand_ins import make_config

from recurra.config import TrainConfig
from recurra.train.optimizers import (
    RMSprop,
    clip_by_global_norm,
    learning_rate,
    make_optimizer,
    set_learning_rate,
)

STEPS, SHAPE = 5, (7, 3)


def adam(w: Any, gradients: Any, lr: float, decay: float) -> Any:
    m, v = np.zeros(SHAPE), np.zeros(SHAPE)
    for t, g in enumerate(gradients, 1):
        g = g + decay * w
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = w - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-7)
    return w


def adamw(w: Any, gradients: Any, lr: float, decay: float) -> Any:
    m, v = np.zeros(SHAPE), np.zeros(SHAPE)
    for t, g in enumerate(gradients, 1):
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        w = w - lr * decay * w - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-7)
    return w


def rmsprop(w: Any, gradients: Any, lr: float, decay: float) -> Any:
    v = np.zeros(SHAPE)
    for g in gradients:
        g = g + decay * w
        v = 0.9 * v + 0.1 * g**2
        w = w - lr * g / np.sqrt(v + 1e-7)  # epsilon inside the root, as in Keras and TensorFlow
    return w


def sgd(w: Any, gradients: Any, lr: float, decay: float) -> Any:
    velocity = np.zeros(SHAPE)
    for g in gradients:
        velocity = 0.8 * velocity + g + decay * w
        w = w - lr * velocity
    return w


@pytest.mark.parametrize("size", [1.0, 1e-4, 1e-7], ids=["large", "small", "tiny"])
@pytest.mark.parametrize("decay", [0.0, 0.03])
@pytest.mark.parametrize("formula", [adam, adamw, rmsprop, sgd], ids=lambda f: f.__name__)
def test_optimizers_follow_their_formulas(formula: Any, decay: float, size: float) -> None:
    rng = np.random.default_rng(4)
    start = rng.normal(size=SHAPE)
    gradients = size * rng.normal(size=(STEPS, *SHAPE))
    config = make_config(optimizer=formula.__name__, learning_rate=0.01, momentum=0.8, weight_decay=decay)
    weight = torch.nn.Parameter(torch.tensor(start, dtype=torch.float64))
    optimizer = make_optimizer([weight], config)
    for gradient in gradients:
        weight.grad = torch.tensor(gradient)
        optimizer.step()
    np.testing.assert_allclose(weight.detach().numpy(), formula(start, gradients, 0.01, decay), rtol=1e-9)


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop", "sgd"])
def test_weight_decay_does_not_apply_to_vectors(name: str) -> None:
    matrix, vector = torch.nn.Parameter(torch.ones(3, 2)), torch.nn.Parameter(torch.ones(3))
    optimizer = make_optimizer([vector, matrix], make_config(optimizer=name, weight_decay=0.1))
    matrix.grad, vector.grad = torch.zeros(3, 2), torch.zeros(3)
    optimizer.step()
    assert bool((matrix < 1).all())
    assert bool((vector == 1).all())


def test_a_weight_without_gradient_does_not_change() -> None:
    used, unused = torch.nn.Parameter(torch.ones(2, 2)), torch.nn.Parameter(torch.ones(2, 2))
    optimizer = RMSprop([used, unused])
    used.grad = torch.ones(2, 2)
    optimizer.step()
    assert bool((used < 1).all())
    assert bool((unused == 1).all())


def test_the_learning_rate_that_is_set_is_used() -> None:
    weight = torch.nn.Parameter(torch.zeros(2, 1))
    optimizer = make_optimizer([weight], make_config(optimizer="sgd"))
    set_learning_rate(optimizer, 0.25)
    weight.grad = torch.ones(2, 1)
    optimizer.step()
    assert weight.tolist() == [[-0.25], [-0.25]]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(["constant", "linear", "cosine"]),
    st.integers(0, 30),
    st.integers(1, 60),
    st.floats(1e-6, 10),
)
def test_a_schedule_increases_during_warmup_and_never_afterwards(
    schedule: Any, warmup: int, total: int, peak: float
) -> None:
    config = TrainConfig(schedule=schedule, warmup_steps=warmup, learning_rate=peak)
    rates = [learning_rate(config, step, total) for step in range(total)]
    assert all(0 < rate <= peak for rate in rates)
    rising, falling = rates[:warmup], rates[warmup:]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
    if falling:
        assert falling[0] == peak
    if schedule == "constant":
        assert set(falling) <= {peak}


def test_the_cosine_schedule_has_half_the_rate_in_the_middle() -> None:
    config = TrainConfig(schedule="cosine", learning_rate=2.0, warmup_steps=10)
    assert learning_rate(config, 60, 110) == pytest.approx(1.0)
    assert learning_rate(config, 35, 110) == pytest.approx(1 + math.cos(math.pi / 4))


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=5), min_size=1, max_size=4),
    st.floats(0.01, 200),
)
def test_clipping_keeps_the_direction_and_bounds_the_norm(values: list[list[float]], max_norm: float) -> None:
    gradients = [torch.tensor(value, dtype=torch.float64) for value in values]
    before = torch.cat(gradients)
    expected = float(np.linalg.norm(before.numpy()))
    assert clip_by_global_norm(gradients, max_norm) == pytest.approx(expected)
    after = torch.cat(gradients)
    if expected <= max_norm:
        assert torch.equal(after, before)
    else:
        torch.testing.assert_close(after, before * (max_norm / expected))


def test_a_norm_that_is_not_finite_is_returned_without_scaling() -> None:
    for bad in (math.nan, math.inf):
        gradients = [torch.tensor([1.0, bad]), torch.tensor([3.0])]
        norm = clip_by_global_norm(gradients, 1.0)
        assert not math.isfinite(norm)
        assert gradients[1].item() == 3.0
    assert clip_by_global_norm([], 1.0) == 0.0


@pytest.mark.parametrize("name", ["Adadelta", "Adagrad", "Adamax", "ASGD", "NAdam", "RAdam", "Rprop"])
def test_torchs_other_optimizers_are_chosen_by_name(name: str) -> None:
    config = TrainConfig(optimizer=name.lower(), learning_rate=0.05)  # type: ignore[arg-type]
    ours, theirs = (torch.nn.Parameter(torch.linspace(-1, 1, 6).reshape(2, 3)) for _ in range(2))
    chosen = make_optimizer([ours], config)
    reference = getattr(torch.optim, name)([theirs], lr=0.05)
    for step in range(STEPS):
        for weight, optimizer in ((ours, chosen), (theirs, reference)):
            weight.grad = torch.full_like(weight, 0.3) * (step + 1)
            optimizer.step()
    assert torch.equal(ours, theirs)
    assert not torch.equal(ours, torch.linspace(-1, 1, 6).reshape(2, 3))
