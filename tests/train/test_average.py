"""The average of the weights: its values, and what training validates, keeps and returns."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pytest
import torch
from torch import nn
from train_stand_ins import StandInBatches, loss, make_config, make_model, no_validation

from recurra.train.average import EVERY, WeightAverage
from recurra.train.loop import train


def test_it_is_exponentially_weighted() -> None:
    """The definition, step by step; at first the newest weights count more."""
    torch.manual_seed(0)
    model = nn.Linear(2, 2)
    average, steps = WeightAverage(model, 30), 40 * EVERY
    expected = model.weight.detach().clone()
    for step in range(1, steps + 1):
        nn.init.normal_(model.weight)
        average.update(step)
        if step % EVERY == 0:
            n = step // EVERY
            decay = min(math.exp(-EVERY / 30), (1 + n) / (10 + n))
            expected = decay * expected + (1 - decay) * model.weight.detach()
    torch.testing.assert_close(average.state_dict()["weight"], expected)


def test_training_validates_and_keeps_the_average() -> None:
    seen: list[torch.Tensor] = []

    def validate(model: nn.Module) -> Mapping[str, float]:
        seen.append(model.head.weight.detach().clone())  # type: ignore[union-attr, operator]
        return {"loss": -float(len(seen))}  # every epoch is better than the last

    plain, averaged = make_model(), make_model()
    config = make_config(average=1.0)
    train(plain, StandInBatches(), loss, no_validation, make_config())
    train(averaged, StandInBatches(), loss, validate, config)
    assert torch.equal(averaged.head.weight, seen[-1])
    assert not torch.equal(averaged.head.weight, plain.head.weight)

    # without validation, the average of the last epoch; training itself does not depend on it
    last = make_model()
    train(last, StandInBatches(), loss, no_validation, config)
    assert torch.equal(last.head.weight, seen[-1])


@pytest.mark.parametrize("epochs", [-1.0, float("inf")])
def test_the_number_of_epochs_is_checked(epochs: float) -> None:
    with pytest.raises(ValueError, match="average"):
        make_config(average=epochs)
