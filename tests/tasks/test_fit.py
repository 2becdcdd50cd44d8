"""The one path from prepared data to a trained model, and what it records."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from recurra.config import Config
from recurra.tasks import training, training_files
from recurra.tasks.fit import fit_files
from recurra.tasks.registry import task_named
from recurra.tasks.reporter import Reporter, Tick
from recurra.tasks.settings import build_config
from recurra.tasks.training import train_bundle
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


class Recorder(Reporter):
    """Keeps the steps that are counted, and how far they came."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.counted: list[tuple[str, int | None, int]] = []

    def note(self, text: str) -> None:
        self.notes.append(text)

    @contextmanager
    def counting(self, what: str, total: int | None = None) -> Iterator[Tick]:
        done: list[int] = []
        yield done.append
        self.counted.append((what, total, sum(done)))


def test_kernels_are_compiled_while_the_data_are_read_and_what_is_left_is_counted(
    sample: Files, small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[str] = []

    def compile_kernels(cell: str, tick: Tick) -> None:
        assert begun == [cell]  # others have compiled since then
        for _ in range(3):
            tick(1)

    monkeypatch.setattr(training_files, "compile_ahead", begun.append)
    monkeypatch.setattr(training, "to_be_compiled", lambda cell: 3)
    monkeypatch.setattr(training, "compile_kernels", compile_kernels)
    recorder = Recorder()
    config = build_config(small_config.plain(), {"train": {"epochs": 1}})
    fit_files(sample.train, config, tmp_path / "a", baseline=False, reporter=recorder)
    assert begun == ["lstm"]
    assert ("compiling the kernels", 3, 3) in recorder.counted
    assert any(note.startswith("Compiling the recurrence") for note in recorder.notes)

    config = build_config(config.plain(), {"model": {"backend": "torch", "recurrent_dropout": 0.0}})
    fit_files(sample.train, config, tmp_path / "b", baseline=False, reporter=(other := Recorder()))
    assert begun == ["lstm"]
    assert "compiling the kernels" not in [what for what, *_ in other.counted]
