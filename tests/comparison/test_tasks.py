"""Every task can be compared: rows and figures of its own, verdicts that know which way is better."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recurra.comparison.arms import parse_arms
from recurra.comparison.rounds import Study
from recurra.comparison.runs import Run
from recurra.comparison.study import compare_files
from recurra.config import updated
from recurra.errors import ConfigError
from recurra.tasks.fit import fit_files
from recurra.tasks.registry import task_named
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.use import evaluate_files
from tests.page import Page
from tests.tasks.forecasting.test_path import hourly_lines
from tests.tasks.language.test_language_task import sentences
from tests.tasks.tagging.test_task import conllu, invented

NETWORK = {"units": 6, "layers": 1, "embedding": 6, "backend": "reference"}
TRAIN = {"epochs": 1, "learning_rate": 0.02, "batch_size": 16, "patience": 1}


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def compared(
    folder: Path, recipes: str, settings: dict[str, Any], test: Path | None, data: Path, **more: Any
) -> tuple[dict[str, Any], list[Run]]:
    """What comparison.json says of a small study, and its runs."""
    arms = parse_arms(recipes)
    study = Study(arms, arms[0].key, seeds=2, settings=(settings,), **more)
    result = compare_files(data, study, folder / "out", test=test, jobs=1)
    lines = (folder / "out" / "runs.jsonl").read_text(encoding="utf-8").splitlines()
    return result.as_json(), [Run.model_validate_json(line) for line in lines]


@pytest.mark.slow
def test_taggers(tmp_path: Path) -> None:
    train = write(tmp_path / "train.conllu", conllu(invented(120, 1)))
    test = write(tmp_path / "test.conllu", conllu(invented(30, 3, new=True)))
    settings = {
        "tagging": {"character_units": 4, "character_embedding": 4, "character_dropout": 0},
        "model": {**NETWORK, "dropout": 0, "head_dropout": 0},
        "train": TRAIN,
    }
    result, runs = compared(tmp_path, "tagger,tagger+model.cell=gru", settings, test, train, sizes=(20, 0))
    assert result["measured_on"] == "30 test sentences"
    assert len(runs) == 2 * 2 * 2 + 2 + 1
    lengths = [len(sentence) for sentence in invented(30, 3, new=True)]
    for run in runs:
        scores = run.row_scores
        assert scores.sizes is not None
        assert scores.sizes.tolist() == lengths
        assert run.score == pytest.approx(scores.values.sum() / sum(lengths))
        assert run.train_rows == (run.size or 108)
    baseline = next(arm for arm in result["arms"] if arm["arm"] == "usual-tag" and arm["all_rows"])
    truth = [tag for sentence in invented(30, 3, new=True) for _, tag in sentence]
    assert 0 < result["majority_accuracy"] < 1
    assert result["majority_accuracy"] in {np.mean([tag == kind for tag in truth]) for kind in set(truth)}
    assert 0 < baseline["accuracy"] < 1
    text = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8")).text
    for words in ("30 test sentences", "Trained on 20 sentences", "Most frequent tag", "training sentences"):
        assert words in text, words


def test_language_models(tmp_path: Path) -> None:
    train = write(tmp_path / "train.txt", "\n".join(sentences(300, 1)) + "\n")
    test = write(tmp_path / "test.txt", "\n".join(sentences(40, 2)) + "\n")
    settings = {"model": NETWORK, "language": {"bptt": 8, "output": "full"}, "train": TRAIN}
    recipes = "language-model,language-model+model.units=24"
    result, runs = compared(tmp_path, recipes, settings, test, train)
    assert result["measured_on"] == "40 test texts"
    by_arm = {arm["arm"]: arm for arm in result["arms"]}
    assert by_arm["n-grams"]["loss"] < by_arm["language-model"]["loss"]
    assert all(run.log_loss is None for run in runs)
    with (tmp_path / "out" / "runs.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows if row["arm"] == "n-grams"] == [by_arm["n-grams"]["loss"]]
    # The figure of a run is that of a model that is fitted and evaluated by itself.
    parts = json.loads((tmp_path / "out" / "data" / "parts.json").read_text(encoding="utf-8"))
    folder = tmp_path / "out" / "data"
    config = build_config(
        *Study(parse_arms(recipes), "language-model", settings=(settings,)).layers(parse_arms(recipes)[0]),
        parts["settings"],
        {"train": {"seed": 1}},
    )
    fitted = fit_files(
        folder / "train.parquet", config, tmp_path / "model", valid=folder / "valid.parquet", baseline=False
    )
    figures = evaluate_files(fitted.folder, folder / "test.parquet", baseline=False, reporter=Reporter())
    alone = next(run for run in runs if run.arm == "language-model" and run.seed == 1)
    assert figures["model"]["nats"] == pytest.approx(alone.score, rel=1e-6)


def test_forecasters(tmp_path: Path) -> None:
    data = write(tmp_path / "hours.csv", "\n".join(hourly_lines(400)) + "\n")
    settings = {
        "series": {"target": "temp", "lookback": "12h", "delay": "3h"},
        "model": {"units": 4, "backend": "reference"},
        "train": TRAIN,
    }
    result, runs = compared(tmp_path, "forecaster,forecaster-plain", settings, None, data)
    assert result["measured_on"].endswith("test windows")
    windows = int(result["measured_on"].split()[0])
    for run in runs:
        sizes = run.row_scores.sizes
        assert sizes is not None
        assert sizes.sum() == windows
        assert run.rows == len(sizes) >= 5
    ridge = next(arm for arm in result["arms"] if arm["arm"] == "ridge")
    assert 0 < ridge["relative_error"] < 1
    text = Page((tmp_path / "out" / "report.html").read_text(encoding="utf-8")).text
    assert "lower is better" in text


@pytest.mark.parametrize(
    ("recipes", "settings", "words"),
    [
        ("lstm,tagger", {}, "tagger is of task tag and lstm of task classify"),
        ("language-model,language-model+tokenizer.level=character", {}, "differ in tokenizer"),
        ("forecaster,forecaster+series.delay=2", {}, "differ in series.delay"),
    ],
)
def test_arms_that_are_not_comparable_are_refused(
    tmp_path: Path, recipes: str, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        compared(tmp_path, recipes, settings, None, tmp_path / "none.csv")


def test_fewer_texts_have_the_vocabulary_of_all(tmp_path: Path) -> None:
    # Each text has words of its own, so that few texts alone would have a smaller vocabulary.
    lines = [f"{line} word{number}" for number, line in enumerate(sentences(300, 1))]
    train = write(tmp_path / "train.txt", "\n".join(lines) + "\n")
    settings = {"model": NETWORK, "language": {"bptt": 8, "output": "full"}, "train": TRAIN}
    recipes = "language-model,language-model+model.units=24"
    result, runs = compared(tmp_path, recipes, settings, None, train, sizes=(50, 0))
    assert {(run.arm, run.size) for run in runs if run.size} == {
        (arm, 50) for arm in (*recipes.split(","), "n-grams")
    }
    for arm in recipes.split(","):
        of_arm = [run for run in runs if run.arm == arm]
        assert len({run.parameters for run in of_arm}) == 1  # of the same vocabulary
        assert {run.train_rows for run in of_arm} == {50, result["arms"][-1]["training_rows"]}
        tokens = [run.row_scores.sizes for run in of_arm]
        assert all(np.array_equal(sizes, tokens[0]) for sizes in tokens)


@pytest.mark.slow
def test_fewer_windows_are_the_last_ones(tmp_path: Path) -> None:
    data = write(tmp_path / "hours.csv", "\n".join(hourly_lines(400)) + "\n")
    settings = {"series": {"target": "temp", "lookback": "12h", "delay": "3h"}, "model": {"units": 4}}
    settings |= {"train": TRAIN}
    _, runs = compared(tmp_path, "forecaster,forecaster-plain", settings, None, data, sizes=(50, 0))
    scores = {(run.arm, run.size, run.seed): run.score for run in runs}
    assert {run.train_rows for run in runs if run.size} == {50}
    assert scores["ridge", 50, 1] == scores["ridge", 50, 2] != scores["ridge", 0, 1]
    whole = build_config({"task": "forecast", **settings})
    task = task_named("forecast")
    every, last = (
        task.prepare(data, config, Reporter())
        for config in (whole, updated(whole, {"series": {"windows": 50}}))
    )
    assert last.train.rows.tolist() == every.train.rows[-50:].tolist()
    assert np.array_equal(last.test.rows, every.test.rows)
