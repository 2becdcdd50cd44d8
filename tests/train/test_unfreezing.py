"""Unfreezing after some epochs and layer-wise learning rates, also when training is resumed."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from train_stand_ins import StandInBatches, TinyModel, loss, make_config, make_model, validate

from recurra.train.loop import Outcome, train
from recurra.train.observer import Observer
from recurra.train.optimizers import layer_shares, make_optimizer, set_learning_rate

OPTIMIZERS = ["adam", "adamw", "rmsprop", "sgd"]


class EmbeddingLog(Observer):
    """Records the embedding after each epoch, and sends SIGINT (Ctrl-C) after one batch."""

    def __init__(self, model: TinyModel, stop: tuple[int, int] | None = None) -> None:
        self.model, self.stop = model, stop
        self.after: list[Tensor] = []

    def on_batch(self, epoch: int, batch: int, loss: float, tokens: int, seconds: float) -> None:
        if (epoch, batch) == self.stop:
            os.kill(os.getpid(), signal.SIGINT)

    def on_epoch(self, record: Any, improved: bool) -> None:
        self.after.append(self.model.embedding.weight.detach().clone())


def fit(
    folder: Path | None, stop: tuple[int, int] | None = None, *, sparse: bool = False, **options: Any
) -> tuple[TinyModel, Outcome, list[Tensor]]:
    check = options.pop("validate", validate)
    resume = options.pop("resume", False)
    config = make_config(**{"weight_decay": 0.01, "momentum": 0.9, "schedule": "cosine", **options})
    model = make_model(99 if resume else 3, sparse=sparse)
    model.embedding.weight.requires_grad_(False)
    log = EmbeddingLog(model, stop)
    layers = [model.embedding.parameters(), model.head.parameters()]
    outcome = train(
        model, StandInBatches(), loss, check, config,
        folder=folder, resume=resume, observer=log, layers=[list(layer) for layer in layers],
    )  # fmt: skip
    return model, outcome, log.after


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_frozen_weights_do_not_change_until_they_are_unfrozen(optimizer: str) -> None:
    start = make_model().embedding.weight
    model, _, after = fit(None, optimizer=optimizer, unfreeze_after=2)
    assert [torch.equal(weight, start) for weight in after] == [True, True, False, False]
    assert model.embedding.weight.requires_grad
    model, _, after = fit(None, optimizer=optimizer)
    assert all(torch.equal(weight, start) for weight in after)
    assert torch.equal(model.embedding.weight, start)
    assert not model.embedding.weight.requires_grad


@pytest.mark.parametrize("stop", [(2, 8), (3, 1)], ids=["before", "after"])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("rate", [None, 0.3], ids=["one rate", "layerwise"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_interrupted_around_unfreezing_and_resumed_equals_uninterrupted(
    tmp_path: Path, optimizer: str, sparse: bool, stop: tuple[int, int], rate: float | None
) -> None:
    options = {"optimizer": optimizer, "unfreeze_after": 2, "layerwise_lr": rate, "epochs": 3}
    _, outcome, _ = fit(tmp_path, stop, sparse=sparse, **options)
    assert outcome.stopped == "interrupted"
    resumed, again, _ = fit(tmp_path, sparse=sparse, resume=True, **options)
    whole, once, _ = fit(None, sparse=sparse, **options)
    for name, weight in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], weight), name
    assert again.best_epoch == once.best_epoch


def test_patience_counts_from_unfreezing() -> None:
    def never_better(model: nn.Module) -> Mapping[str, float]:
        return {"loss": 1.0}

    _, outcome, _ = fit(None, validate=never_better, patience=1, unfreeze_after=3, epochs=9)
    assert len(outcome.history) == 4
    assert outcome.stopped == "patience"


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_layer_learning_rates_are_scaled_by_their_share(optimizer: str) -> None:
    """A weight with share 0.25 is updated exactly as with a quarter of the learning rate."""
    config = make_config(optimizer=optimizer, weight_decay=0.01, momentum=0.9)
    low, high, alone = (nn.Parameter(torch.linspace(-1, 1, 6).reshape(3, 2)) for _ in range(3))
    optimizers = make_optimizer([low, high], config, layer_shares([[low], [], [high]], 0.5))
    by_itself = make_optimizer([alone], config)
    for step in range(4):
        set_learning_rate(optimizers, 0.5**step)
        set_learning_rate(by_itself, 0.25 * 0.5**step)
        for weight in (low, high, alone):
            weight.grad = torch.full((3, 2), 0.1 * (step + 1))
        optimizers.step()
        by_itself.step()
    assert torch.equal(low, alone)
    assert not torch.equal(high, alone)


def test_shares_decrease_by_the_factor_from_the_top_down() -> None:
    layers = [[nn.Parameter(torch.zeros(1))], [nn.Parameter(torch.zeros(1)) for _ in range(2)], []]
    shares = layer_shares(layers, 0.5)
    assert [[shares[weight] for weight in layer] for layer in layers] == [[0.25], [0.5, 0.5], []]


def test_a_layerwise_factor_of_1_equals_no_layerwise_rates() -> None:
    plain, same = make_model(), make_model()
    train(plain, StandInBatches(), loss, validate, make_config())
    layers = [list(same.embedding.parameters()), list(same.head.parameters())]
    train(same, StandInBatches(), loss, validate, make_config(layerwise_lr=1.0), layers=layers)
    for name, weight in plain.state_dict().items():
        assert torch.equal(same.state_dict()[name], weight), name
