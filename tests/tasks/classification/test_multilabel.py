"""Several labels a row: outputs begin with the shares of the labels; thresholds are fitted, saved, used."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from recurra import store
from recurra.config import updated
from recurra.errors import BundleError, ConfigError
from recurra.measure.metrics import classification_metrics
from recurra.tasks.base import PredictRequest
from recurra.tasks.classification import estimator
from recurra.tasks.classification.assess import report_assessment
from recurra.tasks.classification.assets import ClassifierAssets
from recurra.tasks.classification.prepare import prepare
from recurra.tasks.classification.task import TASK
from recurra.tasks.fit import Fitted, fit_files
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config, recipe_under
from recurra.tasks.use import answers_for, evaluate_files, load
from tests.page import Page

SHARES = {"film": 0.5, "plot": 0.2, "score": 0.06}


def rows(count: int, seed: int) -> list[tuple[str, str]]:
    """Texts whose words tell some of their labels."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        labels = [name for name, share in SHARES.items() if rng.random() < share]
        words = [f"the {name}" for name in labels if rng.random() < 0.8]
        made.append((" ".join([f"a text {number % 13}", *words]), "|".join(labels)))
    return made


@pytest.fixture(scope="module")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """A model of three labels, two of them rare, trained for 2 epochs."""
    folder = tmp_path_factory.mktemp("several")
    for name, part in (("train", rows(500, 0)), ("test", rows(200, 1))):
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *part])
    config = build_config(
        {"data": {"label_separator": "|", "valid_fraction": 0.4}},
        {"model": {"units": 4, "embedding": 8}, "tokenizer": {"vocab_size": 60}},
        {"train": {"epochs": 2, "learning_rate": 0.02}},
    )
    return fit_files(folder / "train.csv", config, folder / "model", test=folder / "test.csv")


def test_outputs_begin_with_the_shares_of_the_labels(fitted: Fitted) -> None:
    prepared = prepare(fitted.folder.parent / "train.csv", fitted.bundle.config, Reporter())
    model = TASK.build(prepared.config, prepared.assets)
    TASK.training_setup(prepared, model)
    counts = prepared.train.labels.sum(axis=0)
    shares = (counts + 0.5) / (len(prepared.train) + 1)
    assert 1 / (1 + np.exp(-model.head.bias.detach().numpy())) == pytest.approx(shares, abs=1e-6)


def test_thresholds_are_saved_and_used_by_every_answer(fitted: Fitted) -> None:
    bundle = load(fitted.folder)
    limits = bundle.assets.limits
    assert json.loads((fitted.folder / "thresholds.json").read_text()) == limits.tolist()
    assert limits.shape == (3,)
    assert (limits != 0.5).any()
    test = fitted.folder.parent / "test.csv"
    texts, labels = zip(*rows(200, 1), strict=True)
    answers = list(answers_for(fitted.folder, PredictRequest(texts=list(texts))).records)
    names = list(bundle.assets.labels.names)
    chosen = np.array([[record["probabilities"][name] for name in names] for record in answers]) >= limits
    for record, row in zip(answers, chosen, strict=True):
        expected = [name for name, one in zip(names, row, strict=True) if one]
        assert record["label"] == (expected[0] if len(expected) == 1 else expected)
    model = estimator.TextClassifier.load(fitted.folder)
    assert (model.predict(list(texts)) == chosen).all()
    truth = np.array([[name in label.split("|") for name in names] for label in labels]).astype(int)
    expected_figures = classification_metrics(
        truth, model.predict_proba(list(texts)), names, "multilabel", limits
    )
    found = evaluate_files(fitted.folder, test, baseline=False, reporter=Reporter())
    assert found["model"]["macro_f1"] == pytest.approx(expected_figures.macro_f1)
    assert model.evaluate(list(texts), truth)["micro_f1"] == pytest.approx(expected_figures.micro_f1)


def test_f1_is_in_the_headline_of_fit_report_and_card(fitted: Fitted) -> None:
    found = fitted.assessment
    sentence = found.f1_sentence()
    assert (
        f"micro-F1 of {found.metrics.micro_f1:.3f} (n-gram baseline {found.baseline.micro_f1:.3f})"
        in sentence
    )
    assert f"macro-F1 of {found.metrics.macro_f1:.3f}" in sentence

    said: list[str] = []
    reporter = Reporter()
    reporter.note = said.append
    report_assessment(found, reporter)
    assert sentence in said
    page = Page((fitted.folder / "report.html").read_text(encoding="utf-8"))
    assert sentence in page.text
    assert "Threshold" in page.text
    card = (fitted.folder / "README.md").read_text(encoding="utf-8")
    assert "micro-F1" in card
    assert f"{found.metrics.micro_f1:.3f}" in card


@pytest.mark.parametrize(
    "text", ["[0.5, 0.5]", "[0.5, 0.5, 1.5]", "[0.5, 0.5, NaN]", '[0.5, 0.5, "1"]', "{}", "[0.5, 0.5, true]"]
)
def test_damaged_thresholds_are_refused(fitted: Fitted, text: str) -> None:
    saved = store.read(fitted.folder)
    with pytest.raises(BundleError, match="thresholds"):
        ClassifierAssets.read(fitted.bundle.config, {**saved.files, "thresholds.json": text})


def test_a_model_without_thresholds_predicts_from_a_half_on(fitted: Fitted) -> None:
    saved = store.read(fitted.folder)
    files = {name: text for name, text in saved.files.items() if name != "thresholds.json"}
    assert ClassifierAssets.read(fitted.bundle.config, files).limits.tolist() == [0.5] * 3


def test_the_default_recipe_has_settings_for_several_labels_which_the_user_can_change(fitted: Fitted) -> None:
    above = {"train": {"learning_rate": 0.001, "epochs": 1}, "data": {"label_separator": "|"}}
    config = build_config(recipe_under("default", above), above)
    path = fitted.folder.parent / "train.csv"
    found = prepare(path, config, Reporter()).config
    assert (found.model.pooling, found.train.monitor, found.train.patience) == ("max", "macro_f1", 3)
    assert (found.train.learning_rate, found.train.epochs) == (0.001, 1)
    assert {"model.pooling=max (several labels a row)", "train.monitor=macro_f1 (several labels a row)"} <= {
        *found.set_by_rule
    }
    assert "model.pooling=max (several labels a row)" in found.to_yaml()
    one = updated(config, {"data": {"label_separator": None, "label_kind": "auto"}})
    lines = path.read_text(encoding="utf-8").replace("|", " and ").splitlines()
    (path.parent / "one.csv").write_text("\n".join(line for line in lines if not line.endswith(",")) + "\n")
    found = prepare(path.parent / "one.csv", one, Reporter()).config
    assert (found.model.pooling, found.train.monitor) == (["mean", "max"], "loss")  # the rule of few rows


def test_micro_f1_chooses_the_epoch_of_several_labels_only(fitted: Fitted, tmp_path: Path) -> None:
    path = fitted.folder.parent / "train.csv"
    config = updated(fitted.bundle.config, {"train": {"monitor": "micro_f1"}})
    found = fit_files(path, config, tmp_path / "several")
    with (found.folder / "history.csv").open(encoding="utf-8", newline="") as file:
        values = [float(row["valid_micro_f1"]) for row in csv.DictReader(file)]
    assert len(values) == 2
    assert found.bundle.metrics["training"]["best_epoch"] == 1 + values.index(max(values))
    one = updated(config, {"data": {"label_separator": None, "label_kind": "auto"}})
    lines = path.read_text(encoding="utf-8").replace("|", " and ").splitlines()
    single = tmp_path / "one.csv"
    single.write_text("\n".join(line for line in lines if not line.endswith(",")) + "\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="validation computes no micro_f1"):
        fit_files(single, one, tmp_path / "one")


def test_the_estimator_takes_them_too() -> None:
    texts, labels = zip(*rows(120, 2), strict=True)
    several = [label.split("|") if label else [] for label in labels]
    model = estimator.TextClassifier(units=4, embedding=8, vocab_size=60, epochs=1, pooling="last")
    config = model.fit(list(texts), several).bundle_.config
    assert (config.model.pooling, config.train.epochs) == ("last", 1)
    assert (config.train.learning_rate, config.train.monitor) == (0.005, "macro_f1")


def test_recipes_of_other_tasks_are_without_them() -> None:
    assert "rules" not in recipe_under("default", {"task": "tag"})
