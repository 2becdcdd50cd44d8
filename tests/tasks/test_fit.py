"""The one path from prepared data to a trained model, and what it records."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from recurra.config import Config
from recurra.tasks.fit import fit_files, train_bundle
from recurra.tasks.registry import task_named
from recurra.tasks.reporter import Reporter
from recurra.tasks.use import load
from tests.conftest import Files


def test_the_seconds_of_training_are_those_of_training_alone(
    sample: Files, small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = task_named("classify")

    def slow(*arguments: Any, **options: Any) -> Any:
        time.sleep(0.5)
        return task.prepare(*arguments, **options)

    def slow_baseline(*_: object) -> None:
        time.sleep(0.5)

    slowed = replace(task, prepare=slow, fit_baseline=slow_baseline)
    monkeypatch.setattr("recurra.tasks.classification.task.TASK", slowed)
    fitted = fit_files(sample.train, small_config, tmp_path / "model", valid=sample.valid)
    training = load(tmp_path / "model").metrics["training"]["seconds"]
    assert 0 < training < fitted.seconds - 1


def test_files_and_prepared_data_give_the_same_model(
    sample: Files, small_config: Config, tmp_path: Path
) -> None:
    task = task_named("classify")
    fit_files(sample.train, small_config, tmp_path / "model", valid=sample.valid, baseline=False)
    prepared = task.prepare(sample.train, small_config, Reporter(), valid=sample.valid)
    bundle, loaded = train_bundle(task, prepared).bundle, load(tmp_path / "model")
    assert loaded.temperature == bundle.temperature
    assert loaded.assets.files() == bundle.assets.files()
    for name, weight in bundle.model.state_dict().items():
        assert torch.equal(weight, loaded.model.state_dict()[name]), name
