"""MLflow and Weights & Biases get the settings and every epoch once, also of a resumed training."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from recurra.config import load_recipe
from recurra.errors import DependencyError, OutputError
from recurra.tasks.fit import fit_files
from recurra.tasks.settings import build_config
from recurra.train.observer import Observer
from recurra.train.state import EpochRecord
from recurra.train.trackers import TRACKERS, MlflowLog, trackers
from tests.conftest import SMALL, Files

SETTINGS = {"task": "classify", "model": {"units": [8, 4]}, "train": {"epochs": 2}}


def record(epoch: int) -> EpochRecord:
    return EpochRecord(epoch, 8 * epoch, 1 / epoch, 0.1, 1.0, 9.0, {"valid_loss": 2 / epoch})


def follow(observer: Observer, epochs: range, resumed_from: int | None = None) -> None:
    observer.on_start(3, 8, resumed_from)
    for epoch in epochs:
        observer.on_epoch(record(epoch), improved=True)
    observer.on_end()


@pytest.mark.filterwarnings("default")
def test_a_resumed_run_of_mlflow_is_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    folder = tmp_path / "model" / "training"
    follow(MlflowLog(folder, "model", SETTINGS), range(1, 3))
    follow(MlflowLog(folder, "model", {**SETTINGS, "train": {"epochs": 3}}), range(3, 4), resumed_from=16)
    client = mlflow.MlflowClient()
    (experiment,) = client.search_experiments()
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "model"
    assert run.info.status == "FINISHED"
    assert run.data.params == {"task": "classify", "model.units": "[8, 4]", "train.epochs": "2"}
    found = client.get_metric_history(run.info.run_id, "valid_loss")
    assert [(metric.step, metric.value) for metric in found] == [
        (8, 2.0),
        (16, 1.0),
        (24, pytest.approx(2 / 3)),
    ]


@pytest.mark.filterwarnings("default")
def test_a_fit_with_mlflow(sample: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri((tmp_path / "store").as_uri())
    config = build_config(load_recipe("lstm"), SMALL, {"train": {"trackers": ["mlflow"], "epochs": 1}})
    fit_files(sample.train, config, tmp_path / "reviews", valid=sample.valid, baseline=False)
    client = mlflow.MlflowClient()
    (run,) = client.search_runs([client.search_experiments()[0].experiment_id])
    assert run.info.run_name == "reviews"
    assert run.data.params["model.units"] == "12"
    assert 0 < run.data.metrics["valid_accuracy"] <= 1


@pytest.mark.filterwarnings("default")
def test_weights_and_biases_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("WANDB_SILENT", "true")
    folder = tmp_path / "model" / "training"
    follow(TRACKERS["wandb"](folder, "model", SETTINGS), range(1, 3))
    first = (folder / "wandb-run.txt").read_text(encoding="utf-8")
    (log,) = (tmp_path / "wandb").glob("offline-run-*/*.wandb")
    assert first.strip() in log.name
    for _ in range(100):  # a process of the library writes it
        if b"valid_loss" in (written := log.read_bytes()):
            break
        time.sleep(0.1)
    assert b"valid_loss" in written
    assert b"model.units" in written
    follow(TRACKERS["wandb"](folder, "model", SETTINGS), range(3, 4), resumed_from=16)
    assert (folder / "wandb-run.txt").read_text(encoding="utf-8") == first


@pytest.mark.parametrize("name", TRACKERS)
def test_a_library_that_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DependencyError, match=rf"{name} is not installed; pip install 'recurra\[{name}\]'"):
        trackers([name], None, "model", SETTINGS)


class Refusing:
    """A library whose server does not answer."""

    def active_run(self) -> None:
        return None

    def start_run(self, **options: Any) -> None:
        raise RuntimeError("the server does not answer\nTraceback")


def test_a_tracker_that_does_not_answer_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", Refusing())
    (observer,) = trackers(["mlflow"], tmp_path, "model", SETTINGS)
    with pytest.raises(OutputError, match=r"mlflow can't begin a run \(the server does not answer\)"):
        observer.on_start(1, 1, None)
    observer.on_end()
    assert not list(tmp_path.iterdir())


class Failing(Refusing):
    """A library whose server answers at the beginning only."""

    calls = 0

    def start_run(self, **options: Any) -> Any:
        return SimpleNamespace(info=SimpleNamespace(run_id="7"))

    def log_params(self, settings: dict[str, Any]) -> None:
        pass

    def log_metrics(self, values: dict[str, float], step: int) -> None:
        Failing.calls += 1
        raise RuntimeError("the server is gone")


def test_a_tracker_that_fails_later_does_not_end_the_training(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", Failing())
    (observer,) = trackers(["mlflow"], tmp_path, "model", SETTINGS)
    with pytest.warns(UserWarning, match=r"mlflow can't log an epoch \(the server is gone\)"):
        follow(observer, range(1, 4))
    assert Failing.calls == 1
