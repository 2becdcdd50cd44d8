"""Training that was stopped, however hard, and resumed equals training that never stopped."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from train_stand_ins import (
    StandInBatches,
    TinyModel,
    loss,
    make_config,
    make_model,
    no_validation,
    validate,
)

from recurra.errors import BundleError, ConfigError
from recurra.train.loop import Outcome, train
from recurra.train.observer import Observer

TIMES = ("seconds", "tokens_per_second")


class Interrupter(Observer):
    """Presses Ctrl-C after one batch."""

    def __init__(self, epoch: int, batch: int, times: int = 1) -> None:
        self.place, self.times = (epoch, batch), times

    def on_batch(self, epoch: int, batch: int, loss: float, tokens: int, seconds: float) -> None:
        if (epoch, batch) == self.place:
            for _ in range(self.times):
                os.kill(os.getpid(), signal.SIGINT)


class Start(Observer):
    resumed_from: int | None = -1

    def on_start(self, total_epochs: int, batches_per_epoch: int, resumed_from: int | None) -> None:
        self.resumed_from = resumed_from


def fit(folder: Path | None, **options: Any) -> tuple[TinyModel, Outcome]:
    config = options.pop("config", None) or make_config()
    model = options.pop("model", None) or make_model()
    batches = options.pop("batches", None) or StandInBatches()
    check = options.pop("validate", validate)
    objective = options.pop("objective", loss)
    return model, train(model, batches, objective, check, config, folder=folder, **options)


class Carrying:
    """Its loss is weighted by a number that grows from batch to batch, as a stream's state would change."""

    def __init__(self) -> None:
        self.state = torch.ones(2)

    def __call__(self, model: torch.nn.Module, batch: Any) -> Tensor:
        self.state = self.state * 1.03
        return loss(model, batch) * self.state.mean()

    def state_dict(self) -> dict[str, Tensor]:
        return {"state": self.state}

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        self.state = state_dict["state"]


def assert_same_weights(one: torch.nn.Module, two: torch.nn.Module) -> None:
    first, second = one.state_dict(), two.state_dict()
    assert first.keys() == second.keys()
    for name in first:
        assert torch.equal(first[name], second[name]), name


def rows(folder: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The columns of history.csv, and its rows as text without the times."""
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        kept = [{key: row[key] for key in row if key not in TIMES} for row in reader]
        assert reader.fieldnames is not None
        return list(reader.fieldnames), kept


def records(outcome: Outcome) -> list[dict[str, Any]]:
    return [{k: v for k, v in r.row().items() if k not in TIMES} for r in outcome.history]


def test_what_the_objective_carries_goes_on_where_it_was(tmp_path: Path) -> None:
    whole, _ = fit(None, objective=Carrying())
    fit(tmp_path, objective=Carrying(), observer=Interrupter(2, 3))
    resumed, _ = fit(tmp_path, objective=Carrying(), model=make_model(9), resume=True)
    assert_same_weights(whole, resumed)
    forgetful, _ = fit(None)
    assert not torch.equal(forgetful.head.weight, whole.head.weight)


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_killed_twice_and_resumed_equals_never_killed(tmp_path: Path) -> None:
    from train_stand_ins_run import run

    script = Path(__file__).with_name("train_stand_ins_run.py")
    killed = tmp_path / "killed"
    # In the middle of an epoch, then, resumed, in the middle of writing a checkpoint.
    for arguments in (["anew", "batch", "2", "5"], ["resume", "write", "3", "7"]):
        child = subprocess.run(
            [sys.executable, str(script), str(killed), *arguments], capture_output=True, text=True
        )
        assert child.returncode == -signal.SIGKILL, child.stderr
    start = Start()
    resumed_model, resumed = run(killed, resume=True, observer=start)
    assert start.resumed_from == 2 * 11 + 6  # 11 batches an epoch; batch 7's checkpoint was the one cut off

    whole_model, whole = run(tmp_path / "whole", resume=False)
    assert_same_weights(resumed_model, whole_model)
    assert records(resumed) == records(whole)
    assert (resumed.best_epoch, resumed.stopped) == (whole.best_epoch, whole.stopped)
    assert rows(killed) == rows(tmp_path / "whole")
    assert sorted(path.name for path in killed.iterdir()) == ["checkpoint.safetensors", "history.csv"]


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
def test_interrupted_and_resumed_equals_never_interrupted(
    tmp_path: Path, optimizer: str, sparse: bool
) -> None:
    config = make_config(
        optimizer=optimizer, momentum=0.9, weight_decay=0.01, schedule="linear", warmup_steps=3, clip_norm=0.1
    )
    start = make_model(sparse=sparse)
    model, outcome = fit(tmp_path, config=config, model=start, observer=Interrupter(3, 4))
    assert outcome.stopped == "interrupted"
    assert len(outcome.history) == 2
    assert not model.training

    read, other = StandInBatches(), make_model(99, sparse=sparse)
    resumed_model, resumed = fit(tmp_path, config=config, resume=True, model=other, batches=read)
    assert read.read[0] == (3, 4)  # batches that were done are not even read
    whole_model, whole = fit(None, config=config, model=make_model(sparse=sparse))
    assert_same_weights(resumed_model, whole_model)
    assert records(resumed) == records(whole)
    assert (resumed.best_epoch, resumed.stopped) == (whole.best_epoch, "epochs")


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(1, 8), min_size=1, max_size=5))
def test_any_number_of_interruptions_changes_nothing(
    tmp_path_factory: pytest.TempPathFactory, gaps: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("run")
    whole_model, whole = fit(None)
    step, resume = 0, False
    for gap in gaps:
        step += gap
        epoch, batch = (step - 1) // 8 + 1, (step - 1) % 8 + 1
        _, outcome = fit(
            folder, resume=resume, model=make_model(step if resume else 3), observer=Interrupter(epoch, batch)
        )
        resume = True
        if outcome.stopped == "epochs":
            break
    model, outcome = fit(folder, resume=True, model=make_model(99))
    assert_same_weights(model, whole_model)
    assert records(outcome) == records(whole)


def test_an_interruption_leaves_the_best_weights_in_the_model(tmp_path: Path) -> None:
    best_model, best = fit(None, config=make_config(epochs=2))
    assert best.best_epoch == 2
    model, outcome = fit(tmp_path, observer=Interrupter(3, 5))
    assert outcome.best_epoch == 2
    assert_same_weights(model, best_model)


def test_an_interruption_before_any_validation_keeps_the_weights_so_far(tmp_path: Path) -> None:
    model, outcome = fit(tmp_path, observer=Interrupter(1, 3))
    assert (outcome.history, outcome.best_epoch, outcome.stopped) == ([], 1, "interrupted")
    assert int(model.calls) == 3


def test_an_interruption_at_the_end_of_an_epoch_still_validates(tmp_path: Path) -> None:
    _, outcome = fit(tmp_path, observer=Interrupter(2, 8))
    assert (len(outcome.history), outcome.stopped) == (2, "interrupted")
    _, outcome = fit(tmp_path, resume=True, observer=Interrupter(4, 8))
    assert (len(outcome.history), outcome.stopped) == (4, "epochs")


def test_a_second_interruption_stops_at_once_and_handlers_return(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, observer=Interrupter(2, 2, times=2))
    assert signal.getsignal(signal.SIGINT) is before
    model, outcome = fit(tmp_path, resume=True, model=make_model(7))  # from the end of epoch 1
    whole_model, whole = fit(None)
    assert records(outcome) == records(whole)
    assert_same_weights(model, whole_model)


def test_training_in_another_thread_leaves_signals_alone() -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        model, _ = pool.submit(fit, None).result()
    assert_same_weights(model, fit(None)[0])


def test_resuming_a_finished_training_trains_nothing(tmp_path: Path) -> None:
    model, outcome = fit(tmp_path)
    batches = StandInBatches()
    again_model, again = fit(tmp_path, resume=True, model=make_model(5), batches=batches)
    assert batches.read == []
    assert again == outcome
    assert_same_weights(again_model, model)


def test_patience_survives_resuming(tmp_path: Path) -> None:
    config = make_config(epochs=30, patience=2, learning_rate=0.3)
    whole_model, whole = fit(None, config=config)
    assert whole.stopped == "patience"
    assert whole.best_epoch == len(whole.history) - 2
    fit(tmp_path, config=config, observer=Interrupter(len(whole.history), 1))
    model, outcome = fit(tmp_path, config=config, resume=True)
    assert (outcome.stopped, outcome.best_epoch) == ("patience", whole.best_epoch)
    assert_same_weights(model, whole_model)
    _, outcome = fit(tmp_path, config=make_config(epochs=99, patience=2, learning_rate=0.3), resume=True)
    assert (outcome.stopped, len(outcome.history)) == ("patience", len(whole.history))


def test_epochs_may_be_raised(tmp_path: Path) -> None:
    fit(tmp_path, config=make_config(epochs=2))
    model, outcome = fit(tmp_path, config=make_config(epochs=5), resume=True)
    whole_model, whole = fit(None, config=make_config(epochs=5))
    assert records(outcome) == records(whole)
    assert_same_weights(model, whole_model)


def test_without_validation_resuming_goes_on_from_the_last_weights(tmp_path: Path) -> None:
    fit(tmp_path, validate=no_validation, observer=Interrupter(2, 3))
    model, outcome = fit(tmp_path, validate=no_validation, resume=True, model=make_model(4))
    whole_model, _ = fit(None, validate=no_validation)
    assert outcome.best_epoch == 4
    assert_same_weights(model, whole_model)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"config": make_config(learning_rate=0.1)}, "train.learning_rate was 0.05, now 0.1"),
        ({"config": make_config(seed=2)}, "train.seed was 1, now 2"),
        ({"config": make_config(epochs=3)}, "train.epochs was 4, now 3 (it may be raised only)"),
        ({"fingerprint": '{"model": {"units": 64}, "x": 1}'}, "model.units was 100, now 64"),
        ({"fingerprint": '{"model": {}, "x": 1}'}, "model.units was 100, now None"),
        ({"fingerprint": "opaque"}, "the data, the tokenizer or the model differ"),
        ({"batches": StandInBatches(examples=70)}, "an epoch had 8 batches, now 9"),
    ],
)
def test_another_setup_is_refused_by_name(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    before = {"fingerprint": '{"model": {"units": 100}, "x": 1}'}
    fit(tmp_path, **before)
    content = (tmp_path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(ConfigError) as caught:
        fit(tmp_path, resume=True, **{**before, **changes})
    assert said in str(caught.value)
    assert "checkpoint.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == content


def test_another_model_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    fit(tmp_path)
    other = make_model()
    other.head = torch.nn.Linear(6, 2)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(ConfigError, match=r"head.bias was \(1,\), now \(2,\)"):
        fit(tmp_path, resume=True, model=other)
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_there_must_be_something_to_resume(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no checkpoint"):
        fit(tmp_path, resume=True)
    with pytest.raises(ConfigError, match="no folder"):
        fit(None, resume=True)


def test_frozen_weights_stay_and_training_resumes(tmp_path: Path) -> None:
    def frozen() -> TinyModel:
        model = make_model()
        model.embedding.weight.requires_grad_(False)
        return model

    start = frozen().embedding.weight.clone()
    fit(tmp_path, model=frozen(), observer=Interrupter(2, 3))
    model, _ = fit(tmp_path, model=frozen(), resume=True)
    assert torch.equal(model.embedding.weight, start)
    assert_same_weights(model, fit(None, model=frozen())[0])
