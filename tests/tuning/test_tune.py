"""A whole search: what it writes, that it goes on, that engines agree, and bad input in one line."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import recurra
from recurra.errors import OutputError
from recurra.tasks.reporter import Reporter
from recurra.tasks.use import load
from tests.conftest import SMALL, Files, Run
from tests.page import Page

TINY: dict[str, Any] = {
    "tokenizer": {"max_tokens": 12},
    "model": {"units": 8, "layers": 1, "bidirectional": False, "embedding": 8, "backend": "reference"},
    "train": {**SMALL["train"], "epochs": 1},
}
del TINY["train"]["learning_rate"]  # varied
TIMES = {"wall", "seconds", "cpu_seconds"}


def search(files: Files, out: Path, **options: Any) -> Any:
    return recurra.tune(
        files.train, out, valid=files.valid, test=files.test, recipe="lstm", settings=TINY,
        **{"minutes": None, "trials": 5, "seeds": 2, "jobs": 1, "engine": "inline", **options},
    )  # fmt: skip


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "trials.csv").open(encoding="utf-8", newline="") as file:
        return [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def done(sample: Files, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return search(sample, tmp_path_factory.mktemp("tuned") / "out")


def test_all_that_is_written(done: Any, sample: Files) -> None:
    found = json.loads((done.folder / "tune.json").read_text(encoding="utf-8"))
    assert sum(found["trials"].values()) == 5
    assert not found["interrupted"]
    assert found["best"]["validation"] >= found["recipe_validation"]
    assert set(found["best"]["settings"]) == set(done.space)
    assert not {"model.units", "tokenizer.max_tokens"} & set(done.space)  # given
    assert 0 <= found["test"]["accuracy"] <= 1
    assert [int(row["trial"]) for row in table(done.folder)] == [0, 1, 2, 3, 4]
    settings = yaml.safe_load((done.folder / "best.yaml").read_text(encoding="utf-8"))
    assert settings["model"]["cell"] == done.best_settings["model.cell"]
    assert settings["data"]["text"] is None  # of the user's file, not of the files of the search
    model = load(done.folder / "model")
    assert model.config.train.seed == 22  # 1 of the search, 2 to 21 at most of the comparison
    assert model.config.train.learning_rate == done.best_settings["train.learning_rate"]
    if done.best[0].number:
        assert found["comparison"]["seeds"] == [2, 3]


def test_the_report(done: Any) -> None:
    page = Page((done.folder / "report.html").read_text(encoding="utf-8"))
    for words in (
        "Search on train.csv", "Better, or luckier?", "What mattered", "Accuracy and cost",
        "CPU seconds of training", "The best trials", "train.learning_rate",
        "what matters most in nearly every search", "Method",
    ):  # fmt: skip
        assert words in page.text, words
    assert done.verdict in page.text
    assert page.tags.count("svg") == 3


def test_best_settings_train_on_the_users_file(done: Any, sample: Files, run: Run, tmp_path: Path) -> None:
    ran = run("fit", sample.train, "--config", done.folder / "best.yaml", "--out", tmp_path / "m", "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["task"] == "classify"


def test_a_finished_search_is_not_tested_again(done: Any, sample: Files) -> None:
    with pytest.raises(OutputError, match="holds a finished search"):
        search(sample, done.folder)


class Stopping(Reporter):
    """Presses Ctrl-C after a trial."""

    def note(self, text: str) -> None:
        if text.startswith("trial 2:"):
            raise KeyboardInterrupt


def test_ctrl_c_keeps_the_best_and_the_search_goes_on_the_same(
    done: Any, sample: Files, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    part = search(sample, out, reporter=Stopping(), seeds=0)
    assert part.interrupted
    assert (out / "best.yaml").is_file()
    assert not (out / "model").exists()
    assert "The search was interrupted" in Page((out / "report.html").read_text(encoding="utf-8")).text
    assert [trial.number for trial in part.trials] == [0, 1, 2]
    search(sample, out, seeds=0)
    assert table(out) == table(done.folder)
    assert (out / "best.yaml").read_bytes() == (done.folder / "best.yaml").read_bytes()


def test_other_data_or_settings_are_refused(done: Any, sample: Files, tmp_path: Path) -> None:
    out = shutil.copytree(done.folder, tmp_path / "out")
    with pytest.raises(OutputError, match="holds another search: metric differ"):
        search(sample, out, metric="macro_f1")


@pytest.mark.slow
def test_processes_give_the_same_search(done: Any, sample: Files, tmp_path: Path) -> None:
    search(sample, tmp_path / "out", engine="processes", seeds=0)
    assert table(tmp_path / "out") == table(done.folder)


def test_rows_are_held_out_for_the_test_if_there_is_no_file(sample: Files, run: Run, tmp_path: Path) -> None:
    given = [f"{section}.{key}={value}" for section, keys in TINY.items() for key, value in keys.items()]
    ran = run(
        "tune", sample.train, "--recipe", "lstm", "--trials", 2, "--seeds", 0, "--engine", "inline",
        "--jobs", 1, "--metric", "macro_f1", "--out", tmp_path / "out", "--json",
        *(part for setting in given for part in ("--set", setting)),
    )  # fmt: skip
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["metric"] == "macro_f1"
    assert found["test"]["rows"] == 30  # a tenth of the 300
    assert found["comparison"] is None
    assert "rows are held out for the test" in ran.err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--metric", "beauty"), "choose one of"),
        (("--set", "model.unit=3"), "did you mean model.units?"),
        (("--test", "missing.csv"), "missing.csv"),
        (("--recipe", "lstmm"), "did you mean lstm?"),
        (("--minutes", "0"), "give more than 0"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    run: Run,
    sample: Files,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    small = (
        "--set",
        "train.epochs=1",
        "--set",
        "model.backend=reference",
        "--set",
        "tokenizer.max_tokens=12",
    )
    more = ("--recipe", "lstm", *small, "--trials", 2, "--engine", "inline", "--jobs", 1)
    ran = run("tune", sample.train, *more, *options)
    assert ran.code == 2
    assert words in ran.err
    assert list(tmp_path.iterdir()) == []


def test_without_optuna_the_error_says_what_to_install(
    run: Run, sample: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    ran = run("tune", sample.train, "--out", tmp_path / "out")
    assert ran.code == 2
    assert "pip install 'recurra[tune]'" in ran.err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT to a process")
def test_ctrl_c_of_the_command_ends_all_processes(sample: Files, tmp_path: Path) -> None:
    out = tmp_path / "out"
    given = [f"{section}.{key}={value}" for section, keys in TINY.items() for key, value in keys.items()]
    typed = [
        "tune", sample.train, "--recipe", "lstm", "--trials", "500", "--jobs", "1", "--out", out,
        *(part for setting in given for part in ("--set", setting)),
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", "from recurra.cli.main import main; main()", *map(str, typed)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    printed = next((line for line in process.stdout if line.strip().startswith("trial 1:")), "")
    os.kill(process.pid, signal.SIGINT)
    rest, err = process.communicate(timeout=120)  # also waits for processes that hold the pipes
    assert printed, err
    assert process.returncode == 130, err
    assert "Traceback" not in err
    assert "the same command goes on from there" in " ".join(rest.split())
    assert json.loads((out / "tune.json").read_text(encoding="utf-8"))["interrupted"]
    assert (out / "best.yaml").is_file()


@pytest.mark.slow
def test_a_search_that_fails_removes_only_what_it_wrote(run: Run, sample: Files, tmp_path: Path) -> None:
    out = tmp_path / "out"
    hidden = out / ".git" / "config"
    hidden.parent.mkdir(parents=True)
    hidden.write_text("mine", encoding="utf-8")
    more = ("--recipe", "lstm", "--set", "train.epochs=1", "--set", "model.backend=reference")
    ran = run(
        "tune", sample.train, *more, "--trials", 1, "--engine", "inline", "--metric", "beauty", "--out", out
    )
    assert ran.code == 2
    assert [path.name for path in out.iterdir()] == [".git"]
    assert hidden.read_text(encoding="utf-8") == "mine"
