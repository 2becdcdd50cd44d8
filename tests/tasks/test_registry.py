"""The registry: what derives from its one tuple, and a fifth task that is added by its record alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import recurra
from recurra.cli.options import chosen_config
from recurra.errors import BundleError, ConfigError
from recurra.tasks import registry
from recurra.tasks.fit import Fitted, fit_files, pretrain_files
from recurra.tasks.registry import TASKS
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config, describe_settings, recipe_under
from recurra.tasks.use import load
from tests.conftest import Run
from tests.tasks.toy import INFO

QUICK = {
    "model": {"units": 8, "embedding": 4},
    "train": {"epochs": 2, "batch_size": 8, "learning_rate": 0.02},
}


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth task in the registry and nowhere else."""
    monkeypatch.setattr(registry, "TASKS", (*TASKS, INFO))


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    draw = np.random.default_rng(1)
    path = tmp_path / "lines.vowels"
    path.write_text("".join("".join(draw.choice(list("abcdefio "), 12)) + "\n" for _ in range(60)))
    return path


@pytest.fixture
def fitted(toy: None, lines: Path, tmp_path: Path) -> Fitted:
    config = chosen_config(None, None, None, data=lines)
    assert (config.task, config.recipe) == ("vowels", "gru")
    config = build_config(recipe_under("gru", {"task": "vowels"}), {"task": "vowels"}, QUICK)
    return fit_files(lines, config, tmp_path / "model", command="fit")


def test_a_fifth_task_is_fitted_saved_loaded_and_asked(fitted: Fitted, lines: Path, run: Run) -> None:
    assert fitted.as_json()["task"] == "vowels"
    assert json.loads((fitted.folder / "manifest.json").read_text())["task"] == "vowels"
    assert "counting:\n  letters: aeiou\n" in (fitted.folder / "config.yaml").read_text()
    loaded = load(fitted.folder)
    assert loaded.assets == fitted.bundle.assets
    for name, weight in fitted.bundle.model.state_dict().items():
        assert np.array_equal(loaded.model.state_dict()[name], weight), name
    evaluated = run("evaluate", fitted.folder, lines, "--json", "--report", lines.with_name("page.html"))
    assert json.loads(evaluated.out)["mean_absolute_error"] > 0
    answers = run("predict", fitted.folder, "--text", "abecedari", "--format", "jsonl")
    assert set(json.loads(answers.out)) == {"row", "vowels"}
    assert run("inspect", fitted.folder, "summary").code == 0
    assert run("inspect", fitted.folder, "memory", lines, "--steps", 5).code == 0


def test_what_a_fifth_task_does_not_have_is_refused(
    fitted: Fitted, lines: Path, tmp_path: Path, run: Run
) -> None:
    assert "it is for task lm" in run("predict", fitted.folder, "--next", "3", "--text", "a").err
    assert "task vowels has no words" in run("inspect", fitted.folder, "words", "a").err
    assert "can't be explained" in run("inspect", fitted.folder, "explain", "a").err
    with pytest.raises(ConfigError, match="task vowels has no words for others to begin from"):
        pretrain_files(lines, fitted.bundle.config, tmp_path / "other", reporter=Reporter())
    with pytest.raises(ConfigError, match="the settings of counting are for the task vowels, not for tag"):
        build_config({"task": "tag", "counting": {}})
    with pytest.raises(BundleError, match="is a model of task vowels, and one of tag is needed"):
        load(fitted.folder, task="tag")


def test_the_settings_of_a_fifth_task_are_described(toy: None) -> None:
    assert '| `counting.letters` | `"aeiou"` | the letters to count |' in describe_settings()


@pytest.mark.parametrize("info", TASKS, ids=lambda info: info.name)
def test_the_description_of_a_task_is_that_of_its_modules(info: registry.TaskInfo) -> None:
    assert info.config_class()().task == info.name
    assert (
        build_config(recipe_under(info.recipe, {"task": info.name}), {"task": info.name}).recipe
        == info.recipe
    )
    assert getattr(recurra, info.estimator).task == info.name
    assert (info.load().vocabulary is not None) == info.words


def test_the_registry_imports_nothing_heavy() -> None:
    code = (
        "import sys, recurra.tasks.registry, recurra\n"
        "print([name for name in ('torch', 'numpy', 'pydantic', 'sklearn') if name in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "[]"
