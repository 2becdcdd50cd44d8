"""The training loop: its updates, the weights that it keeps, its observer, and its errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from train_stand_ins import (
    StandInBatches,
    cross_entropy,
    loss,
    make_config,
    make_model,
    no_validation,
    validate,
)

from recurra.errors import ConfigError, DataError, OutputError, TrainingError
from recurra.train.loop import train
from recurra.train.objective import supervised
from recurra.train.observer import Observer
from recurra.train.state import EpochRecord


class Log(Observer):
    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def on_start(self, total_epochs: int, batches_per_epoch: int, resumed_from: int | None) -> None:
        self.calls.append(("start", total_epochs, batches_per_epoch, resumed_from))

    def on_batch(self, epoch: int, batch: int, loss: float, tokens: int, seconds: float) -> None:
        self.calls.append(("batch", epoch, batch, loss, tokens))

    def on_epoch(self, record: EpochRecord, improved: bool) -> None:
        self.calls.append(("epoch", record.epoch, improved))

    def on_end(self) -> None:
        self.calls.append(("end",))


def test_sgd_equals_steps_written_out() -> None:
    """Compares with explicit gradient descent steps that draw the same dropout masks from the same seed."""
    config = make_config(optimizer="sgd", learning_rate=0.5, clip_norm=None, epochs=2)
    model = make_model()
    outcome = train(model, StandInBatches(), loss, no_validation, config)

    expected = make_model()
    torch.manual_seed(config.seed)
    weights = list(expected.parameters())
    for epoch in (1, 2):
        losses = []
        for batch in StandInBatches().epoch(epoch):
            value = cross_entropy(expected(batch.tokens, batch.lengths), batch.labels)
            gradients = torch.autograd.grad(value, weights)
            with torch.no_grad():
                for weight, gradient in zip(weights, gradients, strict=True):
                    weight -= 0.5 * gradient
            losses += [value.item()] * len(batch.lengths)
        assert outcome.history[epoch - 1].train_loss == pytest.approx(math.fsum(losses) / 60, rel=1e-6)
    for weight, other in zip(model.parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(weight, other, rtol=1e-5, atol=1e-7)


def test_the_validation_loss_decreases() -> None:
    model = make_model()
    before = validate(model.eval())["loss"]
    outcome = train(model, StandInBatches(), loss, validate, make_config(epochs=10))
    assert min(record.metrics["valid_loss"] for record in outcome.history) < 0.6 * before


def test_the_model_ends_with_the_weights_of_the_best_epoch() -> None:
    model = make_model()
    config = make_config(epochs=12, learning_rate=0.3)
    outcome = train(model, StandInBatches(), loss, validate, config)
    losses = [record.metrics["valid_loss"] for record in outcome.history]
    assert outcome.best_epoch == losses.index(min(losses)) + 1 < 12
    assert validate(model)["loss"] == min(losses)


@pytest.mark.parametrize("monitor", ["loss", "accuracy"])
def test_the_monitor_chooses_the_epoch(monitor: str) -> None:
    results = iter([(0.5, 0.7), (0.4, 0.6), (0.3, 0.9), (0.2, 0.8)])

    def validation(model: nn.Module) -> Mapping[str, float]:
        loss, accuracy = next(results)
        return {"loss": loss, "accuracy": accuracy}

    outcome = train(make_model(), StandInBatches(), loss, validation, make_config(monitor=monitor))
    assert outcome.best_epoch == {"loss": 4, "accuracy": 3}[monitor]


def test_the_observer_receives_all_events_in_order() -> None:
    log, config = Log(), make_config(epochs=2)
    train(make_model(), StandInBatches(), loss, no_validation, config, observer=log)
    kinds = [call[0] for call in log.calls]
    assert kinds == ["start", *["batch"] * 8, "epoch", *["batch"] * 8, "epoch", "end"]
    assert log.calls[0] == ("start", 2, 8, None)
    assert [call[1:3] for call in log.calls[1:9]] == [(1, n) for n in range(1, 9)]
    assert sum(call[4] for call in log.calls[1:9]) == StandInBatches().lengths.sum()


def test_the_observer_receives_the_end_after_an_error() -> None:
    def broken(model: nn.Module) -> Mapping[str, float]:
        raise OSError("validation failed")

    log = Log()
    with pytest.raises(OSError, match="validation failed"):
        train(make_model(), StandInBatches(), loss, broken, make_config(), observer=log)
    assert log.calls[-1] == ("end",)


def test_a_record_counts_steps_and_tokens_without_padding() -> None:
    config = make_config(epochs=2)
    first, second = train(make_model(), StandInBatches(), loss, no_validation, config).history
    assert (first.step, second.step) == (8, 16)
    tokens = first.tokens_per_second * first.seconds
    assert tokens == pytest.approx(StandInBatches().lengths.sum())
    assert first.metrics == {}


def test_the_result_depends_on_the_seed_and_not_on_the_global_random_state() -> None:
    def run(drawn: int, seed: int = 1) -> list[float]:
        model = make_model()
        torch.rand(drawn)
        outcome = train(model, StandInBatches(), loss, validate, make_config(seed=seed))
        return [record.train_loss for record in outcome.history]

    assert run(1) == run(1000)
    assert run(1) != run(1, seed=2)


def test_the_global_random_state_is_restored() -> None:
    model = make_model()
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    train(model, StandInBatches(), loss, no_validation, make_config(epochs=1))
    assert torch.equal(torch.rand(3), expected)


def test_validation_runs_in_evaluation_mode_without_gradients() -> None:
    def check(model: nn.Module) -> Mapping[str, float]:
        assert not model.training
        assert not torch.is_grad_enabled()
        model.eval()
        return {"loss": 1.0}

    model = make_model()
    outcome = train(model, StandInBatches(), loss, check, make_config(epochs=2))
    assert int(model.calls) == 8  # the best epoch is the first: an equal value is not an improvement
    assert outcome.best_epoch == 1
    assert not model.training


def test_a_monitor_that_validation_lacks_is_an_error() -> None:
    with pytest.raises(ConfigError, match="validation computes no auc; choose one of accuracy, loss"):
        train(make_model(), StandInBatches(), loss, validate, make_config(monitor="auc"))


@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_an_error_and_the_checkpoint_stays_valid(
    tmp_path: Path, bad: float, clip_norm: float | None
) -> None:
    steps = 0

    def bad_loss(logits: Tensor, labels: Tensor) -> Tensor:
        nonlocal steps
        steps += 1
        return cross_entropy(logits, labels) * (bad if steps == 13 else 1.0)

    config, model = make_config(clip_norm=clip_norm), make_model()
    with pytest.raises(TrainingError) as caught:
        train(model, StandInBatches(), supervised(bad_loss), validate, config, folder=tmp_path)
    assert f"the loss is {bad} in epoch 2, step 13" in str(caught.value)
    assert "lower train.learning_rate (now 0.05)" in str(caught.value)
    assert all(bool(weight.isfinite().all()) for weight in model.parameters())
    outcome = train(make_model(), StandInBatches(), loss, validate, config, folder=tmp_path, resume=True)
    assert len(outcome.history) == 4


class _BrokenGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return gradient * float("nan")


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path, clip_norm: float | None) -> None:
    """The last step before a checkpoint has a finite loss but gradients that are not finite."""
    steps = 0

    def breaking(logits: Tensor, labels: Tensor) -> Tensor:
        nonlocal steps
        steps += 1
        value = cross_entropy(logits, labels)
        return _BrokenGradient.apply(value) if steps == 16 else value

    config = make_config(clip_norm=clip_norm)
    with pytest.raises(TrainingError, match=r"epoch 2, (after )?step 16"):
        train(make_model(), StandInBatches(), supervised(breaking), no_validation, config, folder=tmp_path)
    resumed, whole = make_model(9), make_model()
    train(resumed, StandInBatches(), loss, no_validation, config, folder=tmp_path, resume=True)
    train(whole, StandInBatches(), loss, no_validation, config)
    assert torch.equal(resumed.embedding.weight, whole.embedding.weight)


def test_a_nan_metric_is_never_the_best() -> None:
    losses = iter([math.nan, 0.5, math.nan, 0.6])
    model = make_model()
    outcome = train(model, StandInBatches(), loss, lambda _: {"loss": next(losses)}, make_config())
    assert outcome.best_epoch == 2
    assert int(model.calls) == 16


def test_nothing_to_train_is_an_error() -> None:
    frozen = make_model().requires_grad_(False)
    with pytest.raises(TrainingError, match="frozen"):
        train(frozen, StandInBatches(), loss, validate, make_config())
    with pytest.raises(DataError, match="no training example"):
        train(make_model(), StandInBatches(examples=0), loss, validate, make_config())
    with pytest.raises(DataError, match="no labels"):
        train(make_model(), StandInBatches(labelled=False), loss, validate, make_config())


def test_a_folder_that_cannot_be_written_is_an_error_before_training(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    batches = StandInBatches()
    with pytest.raises(OutputError, match="file"):
        train(make_model(), batches, loss, validate, make_config(), folder=tmp_path / "file" / "model")
    assert batches.read == []


def test_nothing_is_written_without_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    train(make_model(), StandInBatches(), loss, validate, make_config(checkpoint_minutes=1e-9))
    assert list(tmp_path.iterdir()) == []
