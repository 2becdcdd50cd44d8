"""The speed of training is measured on some batches, and leaves no trace in what is trained."""

from __future__ import annotations

from typing import Any

import pytest
from test_resume import Interrupter, StatefulLoss, assert_same_weights, fit, records, rows
from torch import Tensor, nn
from train_stand_ins import StandInBatch, StandInBatches, loss, make_config, make_model

from recurra.train.observer import Observer
from recurra.train.trial import Portion, seconds_per_epoch


class Timed:
    """An objective that takes a time for each token, and more in its first call, on a clock of its own."""

    def __init__(self, per_token: float, first: float = 0.0) -> None:
        self.now, self.per_token, self.first, self.calls = 0.0, per_token, first, 0

    def __call__(self, model: nn.Module, batch: StandInBatch) -> Tensor:
        self.calls += 1
        self.now += self.per_token * batch.steps + (self.first if self.calls == 1 else 0.0)
        return loss(model, batch)

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: Any) -> None: ...

    def measure(self, batches: StandInBatches, limit: float, **settings: Any) -> float:
        config = make_config(**settings)
        ticks: list[int] = []
        options: dict[str, Any] = {"limit": limit, "clock": lambda: self.now, "tick": ticks.append}
        found = seconds_per_epoch(make_model(), batches, self, config, **options)
        assert ticks == [1] * self.calls
        return found


class CountedBatches(StandInBatches):
    @property
    def tokens_in_epoch(self) -> int:
        return int(self.lengths.sum())


@pytest.mark.parametrize("limit", [20.0, 50.0, 1e6])
def test_the_time_of_an_epoch_is_that_of_its_tokens(limit: float) -> None:
    batches, objective = CountedBatches(600), Timed(per_token=0.1, first=100.0)
    found = objective.measure(batches, 100 + limit)
    assert found == pytest.approx(0.1 * batches.lengths.sum())
    assert objective.calls < 12 if limit < 50 else objective.calls > 12
    alike = Timed(per_token=0.1)
    assert alike.measure(StandInBatches(600), limit) == pytest.approx(found, rel=0.2)


def test_a_short_training_is_measured_on_few_batches() -> None:
    objective = Timed(per_token=1e-4)
    objective.measure(CountedBatches(600), 60.0)
    assert objective.calls == 3
    long = Timed(per_token=1e-4)
    long.measure(CountedBatches(600), 60.0, epochs=10_000)
    assert long.calls == 75


@pytest.mark.parametrize("unfreeze", [None, 1])
def test_a_trial_changes_nothing(unfreeze: int | None) -> None:
    config = make_config(optimizer="adam", unfreeze_after=unfreeze)
    frozen, tried, objective = make_model(), make_model(), StatefulLoss()
    if unfreeze:
        frozen.embedding.requires_grad_(False)
        tried.embedding.requires_grad_(False)
    seconds_per_epoch(tried, StandInBatches(), objective, config, limit=60.0)
    assert all(weight.grad is None for weight in tried.parameters())
    assert tried.embedding.weight.requires_grad is (unfreeze is None)
    assert_same_weights(tried, make_model())
    model, outcome = fit(None, config=config, model=tried, objective=objective)
    whole, expected = fit(None, config=config, model=frozen, objective=StatefulLoss())
    assert_same_weights(model, whole)
    assert records(outcome) == records(expected)


def test_ctrl_c_in_a_trial_is_not_the_end_of_a_training() -> None:
    class Interrupting(Timed):
        def __call__(self, model: nn.Module, batch: StandInBatch) -> Tensor:
            Interrupter(1, 1).on_batch(1, 1, 0.0, 0, 0.0)
            return super().__call__(model, batch)

    with pytest.raises(KeyboardInterrupt):
        Interrupting(1.0).measure(StandInBatches(), 60.0)


class Countdown:
    """The time left: it is up after some batches."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def __call__(self) -> float:
        self.batches -= 1
        return float(self.batches)


class Epochs(Observer):
    def __init__(self) -> None:
        self.seen: list[int] = []

    def on_epoch(self, record: Any, improved: bool) -> None:
        self.seen.append(record.epoch)


@pytest.mark.parametrize("steps", [3, 8, 13, 16])
def test_training_ends_when_the_time_is_up_and_resumes_as_if_it_had_not(tmp_path: Any, steps: int) -> None:
    """8 batches an epoch: in the first epoch, at its end, in the second, at its end."""
    epochs, config = Epochs(), make_config(schedule="linear")
    model, outcome = fit(tmp_path, config=config, time_left=Countdown(steps), observer=epochs)
    assert outcome.stopped == "time"
    assert outcome.history[-1].step == steps
    assert epochs.seen == [record.epoch for record in outcome.history] == [1, 2][: -(-steps // 8)]
    assert len(rows(tmp_path)[1]) == len(outcome.history)
    losses = [record.metrics["valid_loss"] for record in outcome.history]
    assert losses[outcome.best_epoch - 1] == min(losses)
    assert not model.training

    resumed, then = fit(tmp_path, config=config, model=make_model(9), resume=True)
    whole, expected = fit(None, config=config)
    assert_same_weights(resumed, whole)
    assert records(then) == records(expected)
    assert then.stopped == "epochs"


def test_the_end_of_training_is_not_the_end_of_its_time() -> None:
    assert fit(None, time_left=Countdown(4 * 8))[1].stopped == "epochs"
    patient = make_config(patience=1, learning_rate=1e-12)
    constant = fit(None, config=patient, validate=lambda _: {"loss": 1.0}, time_left=Countdown(16))[1]
    assert constant.stopped == "patience"


def test_an_epoch_may_be_a_part_of_the_batches_and_resumes() -> None:
    batches = StandInBatches()
    part = Portion(batches, 5)
    assert len(part) == 5
    assert len(Portion(batches, 50)) == 8
    for epoch in (1, 2):
        found = [batch.rows.tolist() for batch in part.epoch(epoch)]
        assert found == [batch.rows.tolist() for batch in batches.epoch(epoch)][:5]
        assert [batch.rows.tolist() for batch in part.epoch(epoch, start=2)] == found[2:]
    _, outcome = fit(None, batches=part)
    assert [record.step for record in outcome.history] == [5, 10, 15, 20]
