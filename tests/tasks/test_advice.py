"""What to try if the baseline is not beaten depends on the training, and each command is complete."""

from __future__ import annotations

import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.main import get_command

from recurra.cli.main import app
from recurra.config import TrainConfig
from recurra.measure.report import ReportData, render
from recurra.tasks.advice import next_steps, still_improving
from recurra.tasks.fit import Fitted, fit_files
from recurra.tasks.settings import build_config
from recurra.train.loop import Outcome
from recurra.train.state import EpochRecord
from tests.conftest import Files
from tests.page import Page


def bundle(task: str = "classify", pretrained: object = None, **record: Any) -> Any:
    """What of a model the advice depends on."""
    usual = {"data": "/d/a b.csv", "valid": None, "best_epoch": 2, "epochs": 4, "stopped": "patience"}
    config = build_config({"task": task})
    return SimpleNamespace(config=config, pretrained=pretrained, metrics={"training": {**usual, **record}})


def commands(*arguments: Any) -> list[str]:
    return [line for step in next_steps(*arguments) for line in step.command.split("\n")]


def test_the_first_step_is_about_the_training() -> None:
    fit = "recurra fit news.csv --out news --overwrite --set train.epochs=4"
    cases = {
        "interrupted": (1, 1, "recurra fit news.csv --out news --set train.epochs=4 --out news --resume"),
        "epochs": (4, 4, "--set train.epochs=20 --out news-longer"),
        "patience": (2, 5, "--set model.dropout=0.3 --out news-dropout"),
    }
    for stopped, (best, epochs, expected) in cases.items():
        given = bundle(stopped=stopped, best_epoch=best, epochs=epochs)
        first = commands(given, Path("news"), fit)[0]
        assert first.endswith(expected), first
        assert "--overwrite" not in first


def test_a_training_that_was_too_short_gets_more_minutes() -> None:
    plan = {"minutes": 1.5, "epochs": 4, "of_epochs": 10, "steps_per_epoch": None, "of_steps_per_epoch": None}
    for stopped, reduced in (("epochs", plan), ("time", {**plan, "epochs": 10})):
        given = bundle(stopped=stopped, best_epoch=4, plan=reduced)
        first = commands(given, Path("news"), "recurra fit news.csv --minutes 1.5")[0]
        assert first == "recurra fit news.csv --minutes 1.5 --out news-longer --minutes 3"
        whole = commands(given, Path("news"))[0]
        assert "--set train.epochs=10 --set train.steps_per_epoch=null" in whole
    given = bundle(stopped="epochs", best_epoch=4, plan={**plan, "epochs": 10})
    assert "train.epochs=20" in commands(given, Path("news"))[0]


def test_without_a_command_the_settings_of_the_model_are_used() -> None:
    first, *_ = commands(bundle(valid="/d/v.csv"), Path("my model"), "recurra demo")
    assert first.startswith("recurra fit '/d/a b.csv' --config 'my model/config.yaml' --valid /d/v.csv --set")
    assert first.endswith("--out 'my model-dropout'")
    assert commands(bundle(), Path("m"), "recurra fit here.csv")[-1].startswith("recurra compare here.csv ")
    assert commands(bundle(), Path("m"), "recurra fit --out m here.csv")[0].startswith(
        "recurra fit '/d/a b.csv'"
    )


@pytest.mark.parametrize(("task", "words"), [("classify", True), ("tag", True), ("forecast", False)])
def test_pretraining_is_for_tasks_with_words(task: str, words: bool) -> None:
    assert any("pretrain" in line for line in commands(bundle(task), Path("m"))) == words
    assert not any("pretrain" in line for line in commands(bundle(task, {"name": "w"}), Path("m")))


@pytest.mark.parametrize("task", ["classify", "tag", "forecast"])
def test_every_command_is_one_of_ours(task: str) -> None:
    for line in commands(bundle(task), Path("m")):
        program, verb, *arguments = shlex.split(line)
        assert program == "recurra"
        command = get_command(app).commands[verb]  # type: ignore[attr-defined]
        command.make_context(verb, arguments)  # refuses unknown options and missing arguments


def test_the_page_says_whether_the_baseline_leads() -> None:
    steps = next_steps(bundle(), Path("m"))
    for kind, said in (("bad", "the baseline is the better choice"), ("", "neither is shown to be better")):
        page = Page(render(ReportData.model_validate({"title": "t", "verdict_kind": kind, "steps": steps})))
        assert said in page.text
        assert "recurra compare '/d/a b.csv' --recipes" in page.text


def trained(values: list[float], stopped: Any = "epochs", name: str = "loss", **settings: Any) -> str:
    """What is said of a training with these validation figures."""
    history = [EpochRecord(n, n, 1.0, 0.1, 1.0, 1.0, {f"valid_{name}": v}) for n, v in enumerate(values, 1)]
    best = 1 + values.index(min(values) if name == "loss" else max(values))
    config = TrainConfig.model_validate({"epochs": len(values), "monitor": name, **settings})
    return still_improving(Outcome(history, best, stopped), config)


def test_a_training_that_ends_while_it_improves_is_said_to() -> None:
    assert trained([0.7, 0.6, 0.52]).startswith("Training ended while still improving")
    assert "from 0.600 to 0.520. Continue with --set train.epochs=6 --resume" in trained([0.7, 0.6, 0.52])
    assert "validation macro-F1 went from 0.500 to 0.600" in trained([0.5, 0.6], name="macro_f1")
    assert trained([0.7, 0.6], "time").endswith(". Allow more time with --minutes")
    # the rate has reached 0
    assert trained([0.7, 0.6], schedule="linear").endswith(". Train with --set train.epochs=4")
    for quiet in (
        trained([0.7, 0.6, 0.61]),
        trained([0.7, 0.5, 0.6, 0.55]),
        trained([0.7]),
        trained([0.7, 0.6], "interrupted"),
        trained([0.7, 0.6], "patience"),
        trained([0.600, 0.599], schedule="cosine"),
    ):
        assert quiet == ""


def test_card_and_report_say_it_and_resuming_continues(sample: Files, tmp_path: Path) -> None:
    settings = {"model": {"units": 4, "embedding": 4}, "train": {"epochs": 2}}
    files: dict[str, Any] = {"valid": sample.valid, "test": sample.test, "baseline": False, "explained": 0}

    def fitted(**train: Any) -> Fitted:
        layers = (settings, {"train": train})
        return fit_files(sample.train, build_config(*layers), tmp_path / "m", resume=bool(train), **files)

    found = fitted()
    said = found.bundle.metrics["training"]["still_improving"]
    assert said.endswith("Continue with --set train.epochs=4 --resume")
    for page in ("README.md", "report.html"):
        assert said in (found.folder / page).read_text(encoding="utf-8")
    assert len(fitted(epochs=4).outcome.history) == 4
