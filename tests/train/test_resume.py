"""Training that is interrupted or killed and then resumed equals uninterrupted training, bit for bit."""

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
    """Sends SIGINT, as Ctrl-C does, after one batch."""

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


class StatefulLoss:
    """Multiplies the loss by a number that grows from batch to batch, as the state of a stream changes."""

    def __init__(self) -> None:
        self.state = torch.ones(2)

    def __call__(self, model: torch.nn.Module, batch: Any) -> Tensor:
        self.state = self.state * 1.03
        return loss(model, batch) * self.state.mean()

    def state_dict(self) -> dict[str, Tensor]:
        return {"state": self.state}

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        self.state = state_dict["state"]


def assert_same_weights(model: torch.nn.Module, expected: torch.nn.Module) -> None:
    actual_weights, expected_weights = model.state_dict(), expected.state_dict()
    assert actual_weights.keys() == expected_weights.keys()
    for name in actual_weights:
        assert torch.equal(actual_weights[name], expected_weights[name]), name


def rows(folder: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Returns the columns of history.csv, and its rows as text without the columns of times."""
    with (folder / "history.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        values = [{key: row[key] for key in row if key not in TIMES} for row in reader]
        assert reader.fieldnames is not None
        return list(reader.fieldnames), values


def records(outcome: Outcome) -> list[dict[str, Any]]:
    return [{k: v for k, v in r.row().items() if k not in TIMES} for r in outcome.history]


def test_the_state_of_the_objective_is_restored(tmp_path: Path) -> None:
    whole, _ = fit(None, objective=StatefulLoss())
    fit(tmp_path, objective=StatefulLoss(), observer=Interrupter(2, 3))
    resumed, _ = fit(tmp_path, objective=StatefulLoss(), model=make_model(9), resume=True)
    assert_same_weights(whole, resumed)
    stateless, _ = fit(None)
    assert not torch.equal(stateless.head.weight, whole.head.weight)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_killed_twice_and_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    from train_stand_ins_run import run

    script = Path(__file__).with_name("train_stand_ins_run.py")
    killed = tmp_path / "killed"
    # First in the middle of an epoch, then, after resuming, while a checkpoint is written.
    for arguments in (["new", "batch", "2", "5"], ["resume", "write", "3", "7"]):
        child = subprocess.run(
            [sys.executable, str(script), str(killed), *arguments], capture_output=True, text=True
        )
        assert child.returncode == -signal.SIGKILL, child.stderr
    start = Start()
    resumed_model, resumed = run(killed, resume=True, observer=start)
    assert start.resumed_from == 2 * 11 + 6  # 11 batches an epoch; the checkpoint of batch 7 was incomplete

    whole_model, whole = run(tmp_path / "whole", resume=False)
    assert_same_weights(resumed_model, whole_model)
    assert records(resumed) == records(whole)
    assert (resumed.best_epoch, resumed.stopped) == (whole.best_epoch, whole.stopped)
    assert rows(killed) == rows(tmp_path / "whole")
    assert sorted(path.name for path in killed.iterdir()) == ["checkpoint.safetensors", "history.csv"]


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "rmsprop", "sgd"])
def test_interrupted_and_resumed_equals_uninterrupted(tmp_path: Path, optimizer: str, sparse: bool) -> None:
    config = make_config(
        optimizer=optimizer, momentum=0.9, weight_decay=0.01, schedule="linear", warmup_steps=3,
        clip_norm=0.1, average=2 if optimizer == "adam" else 0,
        adversarial=0.1 if optimizer == "adam" else 0,
    )  # fmt: skip
    start = make_model(sparse=sparse)
    model, outcome = fit(tmp_path, config=config, model=start, observer=Interrupter(3, 4))
    assert outcome.stopped == "interrupted"
    assert len(outcome.history) == 2
    assert not model.training

    read, other = StandInBatches(), make_model(99, sparse=sparse)
    resumed_model, resumed = fit(tmp_path, config=config, resume=True, model=other, batches=read)
    assert read.read[0] == (3, 4)  # batches that are done are not read
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


def test_after_an_interruption_the_model_has_the_best_weights(tmp_path: Path) -> None:
    best_model, best = fit(None, config=make_config(epochs=2))
    assert best.best_epoch == 2
    model, outcome = fit(tmp_path, observer=Interrupter(3, 5))
    assert outcome.best_epoch == 2
    assert_same_weights(model, best_model)


def test_an_interruption_before_validation_keeps_the_current_weights(tmp_path: Path) -> None:
    model, outcome = fit(tmp_path, observer=Interrupter(1, 3))
    assert (outcome.history, outcome.best_epoch, outcome.stopped) == ([], 1, "interrupted")
    assert int(model.calls) == 3


def test_after_an_interruption_at_the_end_of_an_epoch_validation_runs(tmp_path: Path) -> None:
    _, outcome = fit(tmp_path, observer=Interrupter(2, 8))
    assert (len(outcome.history), outcome.stopped) == (2, "interrupted")
    _, outcome = fit(tmp_path, resume=True, observer=Interrupter(4, 8))
    assert (len(outcome.history), outcome.stopped) == (4, "epochs")


def test_a_second_interruption_raises_and_the_handler_is_restored(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path, observer=Interrupter(2, 2, times=2))
    assert signal.getsignal(signal.SIGINT) is before
    model, outcome = fit(tmp_path, resume=True, model=make_model(7))  # from the end of epoch 1
    whole_model, whole = fit(None)
    assert records(outcome) == records(whole)
    assert_same_weights(model, whole_model)


def test_training_in_another_thread_installs_no_signal_handler() -> None:
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


def test_the_patience_count_is_restored(tmp_path: Path) -> None:
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


def test_epochs_can_be_increased(tmp_path: Path) -> None:
    fit(tmp_path, config=make_config(epochs=2))
    model, outcome = fit(tmp_path, config=make_config(epochs=5), resume=True)
    whole_model, whole = fit(None, config=make_config(epochs=5))
    assert records(outcome) == records(whole)
    assert_same_weights(model, whole_model)


def test_without_validation_training_resumes_from_the_last_weights(tmp_path: Path) -> None:
    fit(tmp_path, validate=no_validation, observer=Interrupter(2, 3))
    model, outcome = fit(tmp_path, validate=no_validation, resume=True, model=make_model(4))
    whole_model, _ = fit(None, validate=no_validation)
    assert outcome.best_epoch == 4
    assert_same_weights(model, whole_model)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config": make_config(learning_rate=0.1)}, "train.learning_rate was 0.05, now 0.1"),
        ({"config": make_config(seed=2)}, "train.seed was 1, now 2"),
        ({"config": make_config(epochs=3)}, "train.epochs was 4, now 3 (it can only be increased)"),
        ({"fingerprint": '{"model": {"units": 64}, "x": 1}'}, "model.units was 100, now 64"),
        ({"fingerprint": '{"model": {}, "x": 1}'}, "model.units was 100, now None"),
        ({"fingerprint": "opaque"}, "the data, the tokenizer or the model differ"),
        ({"batches": StandInBatches(examples=70)}, "an epoch had 8 batches, now 9"),
    ],
)
def test_resuming_with_other_settings_names_the_difference(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    before = {"fingerprint": '{"model": {"units": 100}, "x": 1}'}
    fit(tmp_path, **before)
    content = (tmp_path / "checkpoint.safetensors").read_bytes()
    with pytest.raises(ConfigError) as caught:
        fit(tmp_path, resume=True, **{**before, **changes})
    assert message in str(caught.value)
    assert "checkpoint.safetensors" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == content


def test_another_model_is_refused_and_not_changed(tmp_path: Path) -> None:
    fit(tmp_path)
    other = make_model()
    other.head = torch.nn.Linear(6, 2)
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    with pytest.raises(ConfigError, match=r"head.bias was \(1,\), now \(2,\)"):
        fit(tmp_path, resume=True, model=other)
    for name, tensor in other.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_resuming_without_a_checkpoint_or_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no checkpoint"):
        fit(tmp_path, resume=True)
    with pytest.raises(ConfigError, match="no folder"):
        fit(None, resume=True)


def test_frozen_weights_do_not_change_after_resuming(tmp_path: Path) -> None:
    def frozen() -> TinyModel:
        model = make_model()
        model.embedding.weight.requires_grad_(False)
        return model

    start = frozen().embedding.weight.clone()
    fit(tmp_path, model=frozen(), observer=Interrupter(2, 3))
    model, _ = fit(tmp_path, model=frozen(), resume=True)
    assert torch.equal(model.embedding.weight, start)
    assert_same_weights(model, fit(None, model=frozen())[0])
