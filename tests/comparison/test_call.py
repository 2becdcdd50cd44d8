"""`recurra.compare`: estimators of other libraries and own cells beside recipes, in every task."""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LinearRegression, SGDClassifier
from sklearn.pipeline import make_pipeline

import recurra
from recurra.comparison.pages import Compared
from recurra.comparison.runs import Run
from recurra.errors import ConfigError, DataError, RecurraError
from tests.comparison.test_study import TINY
from tests.comparison.test_tasks import NETWORK, TRAIN, write
from tests.conftest import Files
from tests.tasks.forecasting.test_path import hourly_lines
from tests.tasks.language.test_language_task import sentences
from tests.tasks.tagging.test_task import conllu, invented

CELL = """
import recurra
from recurra.cells import CellSpec, Parameter, orthogonal, zeros

def step(inputs, state, weights, ops):
    (h,) = state
    return (ops.act(ops.product(ops.enter(h), weights.weight_hh, inputs[0])),)

recurra.register_cell(CellSpec(
    name="plain_of_test", title="Plain", step=step, gates=(), state=("h",),
    parameters=(Parameter("weight_ih", ("H", "E")), Parameter("weight_hh", ("H", "H"), orthogonal),
                Parameter("bias_ih", ("H",), zeros)),
))

def majority():
    from sklearn.dummy import DummyClassifier
    return DummyClassifier()
"""


def runs_of(folder: Path) -> dict[tuple[str, int], Run]:
    lines = (folder / "runs.jsonl").read_text(encoding="utf-8").splitlines()
    runs = [Run.model_validate_json(line) for line in lines]
    return {(run.arm, run.seed): run for run in runs}


def rows_of(path: Path) -> tuple[list[str], list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["label"] for row in rows]


def compared(files: Files, out: Path, arms: Any, **more: Any) -> Compared:
    options: dict[str, Any] = {
        "valid": files.valid,
        "test": files.test,
        "seeds": 2,
        "jobs": 1,
        "settings": TINY,
    }
    return recurra.compare(files.train, arms, out, **{**options, **more})


def test_a_pipeline_has_the_accuracy_it_has_alone(sample: Files, tmp_path: Path) -> None:
    pipeline = make_pipeline(TfidfVectorizer(), SGDClassifier(loss="log_loss"))
    arms = {"LSTM": "lstm", "SGD": pipeline, "GRU of 5": recurra.TextClassifier("gru", units=5)}
    found = compared(sample, tmp_path / "out", arms, stop_early=False)
    runs = runs_of(tmp_path / "out")
    assert set(runs) == {("n-grams", 1), *((arm, seed) for arm in arms for seed in (1, 2))}
    (train_X, train_y), (X, y) = rows_of(sample.train), rows_of(sample.test)
    known = set(train_X)
    kept = [row for row, text in enumerate(X) if text not in known]
    X, y = [X[row] for row in kept], [y[row] for row in kept]
    for seed in (1, 2):
        alone = clone(pipeline).set_params(sgdclassifier__random_state=seed).fit(train_X, train_y)
        assert runs["SGD", seed].score == pytest.approx(alone.score(X, y), abs=1e-12)
        shares = alone.predict_proba(X)[np.arange(len(y)), [list(alone.classes_).index(one) for one in y]]
        assert runs["SGD", seed].log_loss == pytest.approx(-np.log(shares).mean(), rel=1e-6)
    assert runs["GRU of 5", 1].parameters < runs["LSTM", 1].parameters
    record = {arm["arm"]: arm for arm in found.as_json()["arms"]}
    assert record["SGD"]["verdict"] in ("better", "worse", "same", "open")
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "TfidfVectorizer" in page
    # The same call makes no run again.
    before = (tmp_path / "out" / "runs.jsonl").read_bytes()
    compared(sample, tmp_path / "out", arms, stop_early=False)
    assert (tmp_path / "out" / "runs.jsonl").read_bytes() == before


@pytest.mark.slow
def test_a_cell_and_a_function_of_a_module_are_used_in_processes(
    sample: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "module_of_test.py", CELL)
    monkeypatch.syspath_prepend(str(tmp_path))
    import module_of_test  # type: ignore[import-not-found]  # noqa: F401

    arms = {"own cell": "lstm+model.cell=plain_of_test", "majority": "module_of_test:majority"}
    found = [
        compared(sample, tmp_path / engine, arms, engine=engine, baseline=False).figures.arms
        for engine in ("processes", "inline")
    ]
    for first, second in zip(*found, strict=True):
        assert (first.key, first.scores, first.parameters) == (second.key, second.scores, second.parameters)
    assert found[0][0].parameters > 0
    assert found[0][1].parameters == 0
    del sys.modules["module_of_test"]


class Usual:
    """Gives every word the tag `X0`, of any sentence."""

    def fit(self, X: list[list[str]], y: list[list[str]], validation_data: Any) -> None:
        assert len(X) == len(y)
        assert [len(row) for row in X] == [len(row) for row in y]
        assert len(validation_data[0]) == len(validation_data[1]) > 0
        counts: dict[str, int] = {}
        for tag in (tag for row in y for tag in row):
            counts[tag] = counts.get(tag, 0) + 1
        self.tag = max(counts, key=lambda tag: counts[tag])

    def predict(self, X: list[list[str]]) -> list[list[str]]:
        return [[self.tag] * len(row) for row in X]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {}


def test_taggers(tmp_path: Path) -> None:
    train = write(tmp_path / "train.conllu", conllu(invented(60, 1)))
    test = write(tmp_path / "test.conllu", conllu(invented(30, 3, new=True)))
    settings = {"model": {**NETWORK, "dropout": 0, "head_dropout": 0}, "train": TRAIN}
    arms = {"tagger": "tagger", "usual": Usual()}
    found = recurra.compare(train, arms, tmp_path / "out", test=test, seeds=2, settings=settings)
    usual = next(arm for arm in found.figures.arms if arm.key == "usual")
    assert usual.scores == pytest.approx([found.figures.majority] * 2, abs=1e-12)


def test_forecasters(tmp_path: Path) -> None:
    data = write(tmp_path / "series.csv", "\n".join(hourly_lines(300)) + "\n")
    settings = {
        "series": {"target": "temp", "lookback": "12h", "delay": "2h"},
        "model": {"units": 4, "layers": 1, "backend": "reference"},
        "train": TRAIN,
    }
    arms = {"GRU": "forecaster", "linear": LinearRegression(), "mean": DummyRegressor()}
    found = recurra.compare(data, arms, tmp_path / "out", seeds=2, settings=settings, task="forecast")
    scores = {arm.key: arm.scores for arm in found.figures.arms}
    assert scores["linear"][0] == scores["linear"][1]  # no randomness
    assert scores["linear"][0] < scores["mean"][0]


class Uniform:
    """Each of ten words has the same probability, and so has the end of a text."""

    def fit(self, X: list[str], y: None) -> None:
        assert y is None
        assert all(isinstance(text, str) for text in X)

    def score_samples(self, X: list[str]) -> list[float]:
        return [-np.log(10) * (len(text.split()) + 1) for text in X]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return {}


def test_language_models(tmp_path: Path) -> None:
    data = write(tmp_path / "texts.txt", "\n".join(sentences(200, 1)) + "\n")
    arms = {"LSTM": "language-model", "uniform": Uniform()}
    settings = {"model": {**NETWORK, "dropout": 0}, "train": TRAIN, "task": "lm"}
    found = recurra.compare(data, arms, tmp_path / "out", seeds=2, settings=settings)
    uniform = next(arm for arm in found.figures.arms if arm.key == "uniform")
    assert uniform.score == pytest.approx(np.log(10), rel=1e-9)


class Broken(DummyClassifier):  # type: ignore[misc]
    def predict(self, X: Any) -> Any:
        return super().predict(X)[1:]


@pytest.mark.parametrize(
    ("arms", "options", "kind", "words"),
    [
        ({"a": "lstm"}, {}, ConfigError, "there is nothing to compare"),
        ({"a": "lstm", "b": object()}, {}, ConfigError, "arm b is no estimator: object"),
        ({"a": "lstm", "b": DummyClassifier}, {}, ConfigError, "arm b is no estimator"),
        ({"a": "lstm", "b": "no_module_of_test:f"}, {}, ConfigError, "can't be imported"),
        ({"a": "lstm", "b": "sklearn.dummy:nothing"}, {}, ConfigError, "has no function 'nothing'"),
        ({"a": "lstm", "b": "sklearn.pipeline:Pipeline"}, {}, ConfigError, "needs arguments"),
        ({"a": "lstm", "b": DummyClassifier()}, {"engine": "processes"}, ConfigError, "this process only"),
        ({"n-grams": "lstm", "b": DummyClassifier()}, {}, ConfigError, "the name of the baseline"),
        ({"a": DummyClassifier(), "b": Broken()}, {}, DataError, "arm b: predict returned an array of shape"),
        ({"a": "lstm", "b": recurra.TextClassifier(units=0)}, {}, ConfigError, "units"),
        ({"a": "lstm", "b": "gru"}, {"against": "c"}, ConfigError, "'c' is not compared"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(
    sample: Files, tmp_path: Path, arms: Any, options: Any, kind: type[RecurraError], words: str
) -> None:
    with pytest.raises(kind) as caught:
        compared(sample, tmp_path / "out", arms, **options)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
