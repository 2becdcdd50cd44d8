"""A classifier decides as it was fitted to, at fit or afterwards: in predictions, evaluation, report."""

from __future__ import annotations

import csv
import io
import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

import recurra
from recurra import TextClassifier, store
from recurra.config import load_recipe
from recurra.errors import BundleError, ConfigError, DataError
from recurra.tasks.fit import Fitted, fit_files
from recurra.tasks.settings import build_config
from recurra.tasks.use import load
from tests.conftest import SMALL, Run

SETTINGS = {**SMALL, "train": {**SMALL["train"], "epochs": 4, "monitor": "f1:rare"}}


def write(path: Path, rows: int, seed: int) -> Path:
    """Texts of which a tenth are rare; a word tells them, in most of them."""
    random.seed(seed)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for number in range(rows):
            rare = number % 10 == 0
            sign = "red" if random.random() < (0.8 if rare else 0.1) else "blue"
            writer.writerow([f"{sign} {random.choice('abcdefgh')} {number % 7}", "rare" if rare else "usual"])
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    folder = tmp_path_factory.mktemp("rare")
    counts = {"train": 600, "valid": 400, "test": 300}
    return tuple(  # type: ignore[return-value]
        write(folder / f"{name}.csv", rows, seed) for seed, (name, rows) in enumerate(counts.items())
    )


@pytest.fixture(scope="module")
def fitted(files: tuple[Path, Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    train, valid, test = files
    config = build_config(load_recipe("lstm"), SETTINGS, {"predict": {"metric": "recall>=0.7:rare"}})
    return fit_files(train, config, tmp_path_factory.mktemp("fit") / "model", valid=valid, test=test)


@pytest.fixture
def copied(fitted: Fitted, tmp_path: Path) -> Path:
    return shutil.copytree(fitted.folder, tmp_path / "copy")


def answers(run: Run, model: Path, data: Path, *options: object) -> list[dict[str, str]]:
    ran = run("predict", model, data, "--probabilities", *options)
    assert ran.code == 0, ran.err
    return list(csv.DictReader(io.StringIO(ran.out)))


def test_thresholds_of_a_fit_are_used_everywhere(
    run: Run, fitted: Fitted, files: tuple[Path, Path, Path]
) -> None:
    decision = fitted.bundle.assets.decision
    assert decision is not None
    assert load(fitted.folder).assets.decision == decision, "they are saved"
    limit = decision.thresholds[0]
    rows = answers(run, fitted.folder, files[2])
    predicted = ["rare" if float(row["p_rare"]) >= limit else "usual" for row in rows]
    assert [row["predicted_label"] for row in rows] == predicted
    assert 0 < predicted.count("rare") < len(rows)
    own = [row["p_rare"] if row["predicted_label"] == "rare" else row["p_usual"] for row in rows]
    assert [row["confidence"] for row in rows] == own
    result = json.loads(run("evaluate", fitted.folder, files[2], "--no-baseline", "--json").out)
    right = sum(row["label"] == label for row, label in zip(rows, predicted, strict=True))
    assert result["model"]["accuracy"] == pytest.approx(right / len(rows))
    model = TextClassifier.load(fitted.folder)
    assert model.predict([row["text"] for row in rows]).tolist() == predicted
    assert not model.unsure(["red a 1"]).any()
    text = next(row["text"] for row in rows if row["p_rare"] < "0.5" and row["predicted_label"] == "rare")
    assert model.explain(text).label == "rare"
    figures = json.loads((fitted.folder / "metrics.json").read_text())
    assert figures["headline"]["name"] == "macro_f1", "90% of the rows are of one class"
    assert figures["headline"]["low"] < figures["headline"]["value"] < figures["headline"]["high"]
    assert figures["decisions"]["smallest_class"] == "rare"
    page = (fitted.folder / "report.html").read_text(encoding="utf-8")
    assert "Precision and recall of rare" in page
    assert "has a macro-F1 of" in page


def test_the_monitored_metric_may_be_that_of_a_class(fitted: Fitted) -> None:
    history = (fitted.folder / "history.csv").read_text().splitlines()
    assert "valid_f1:rare" in history[0]
    wrong = build_config(load_recipe("lstm"), SETTINGS, {"train": {"monitor": "f1:purple"}})
    texts, labels = ["red a", "blue b"] * 20, ["rare", "usual"] * 20
    with pytest.raises(ConfigError, match="names 'purple'"):
        TextClassifier(monitor="f1:purple", epochs=1, verbose=0).fit(texts, labels)
    assert wrong.train.monitor == "f1:purple"


def test_decisions_are_fitted_afterwards(run: Run, copied: Path, files: tuple[Path, Path, Path]) -> None:
    before = (copied / "report.html").read_bytes()
    found = json.loads(run("decide", copied, "--risk", 0.1, "--json").out)["decision"]
    assert found["thresholds"] == []
    assert found["fitted"]["rows"] == 400
    assert found["fitted"]["bound"] < 0.1
    assert (copied / "report.html").read_bytes() == before
    rows = answers(run, copied, files[2])
    for row in rows:
        best = max(("p_rare", "p_usual"), key=lambda name: float(row[name]))
        sure = float(row[best]) >= found["abstain"] - 1e-6
        assert row["predicted_label"] == (best.removeprefix("p_") if sure else "unsure")
    unsure = [row["predicted_label"] for row in rows].count("unsure")
    ran = run("evaluate", copied, files[2], "--no-baseline")
    assert f"{len(rows) - unsure} of {len(rows)} rows" in " ".join(ran.out.split())
    assert TextClassifier.load(copied).unsure([row["text"] for row in rows]).sum() == unsure
    assert "are unsure" in run("predict", copied, files[2]).err or not unsure
    shown = run("decide", copied)
    assert "the answer is 'unsure'" in " ".join(shown.out.split())
    assert run("decide", copied, "--reset").code == 0
    assert "most probable class" in run("decide", copied).out
    assert load(copied).assets.decision is None


def test_an_option_of_predict_overrides_the_model(
    run: Run, copied: Path, files: tuple[Path, Path, Path]
) -> None:
    rows = answers(run, copied, files[2], "--abstain", 1)
    assert {row["predicted_label"] for row in rows} == {"unsure"}
    assert "unsure" not in {row["predicted_label"] for row in answers(run, copied, files[2], "--abstain", 0)}
    text = run("predict", copied, "--text", "red a", "--abstain", "1", "--format", "jsonl").out
    assert json.loads(text)["label"] == "unsure"
    assert run("predict", copied, files[2], "--abstain", "1.5").code == 2


def test_costs_choose_the_cheaper_class(run: Run, copied: Path, files: tuple[Path, Path, Path]) -> None:
    recurra.decide_files(copied, costs={"rare": {"usual": 9}})
    for row in answers(run, copied, files[2]):
        dear = 9 * float(row["p_rare"]) >= float(row["p_usual"])
        assert row["predicted_label"] == ("rare" if dear else "usual")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--risk", "0.0001"], "no confidence is known to keep the error below 0.01%"),
        (["--metric", "f1:purple"], "names 'purple', which is not a class"),
        (["--costs", "{purple: {rare: 2}}"], "names 'purple'"),
        (["--metric", "macro_f1", "--costs", "{rare: {usual: 2}}"], "exclude each other"),
        (["--risk", "0.1", "--abstain", "0.5"], "exclude each other"),
        (["--risk", "1.5"], "predict.risk"),
        (["--reset", "--risk", "0.1"], "--reset takes no other settings"),
        (["--metric", "precision>=1:rare", "--data", "few.csv"], "no threshold reaches"),
    ],
)
def test_what_cannot_be_fitted_changes_nothing(
    run: Run, copied: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("few.csv").write_text("text,label\n" + "blue a,rare\nred b,usual\n" * 6)
    before = load(copied).assets.decision
    ran = run("decide", copied, *options)
    assert ran.code == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert load(copied).assets.decision == before


def test_decisions_need_rows_that_were_not_trained_on(copied: Path) -> None:
    bundle = load(copied)
    bundle.metrics["training"]["data"] = str(copied / "gone.csv")
    store.save(bundle, copied)
    with pytest.raises(DataError, match="--train"):
        recurra.decide_files(copied, risk=0.1)


def test_a_damaged_decision_is_refused(copied: Path) -> None:
    bundle = load(copied)
    files = {**bundle.assets.files()}
    for change in (
        {"thresholds": [1]},
        {"abstain": 2},
        {"costs": [[0]]},
        {"metric": 3},
        {"thresholds": [0, 1]},
    ):
        broken = {**json.loads(files["decision.json"]), **change}
        with pytest.raises(BundleError, match="decision"):
            type(bundle.assets.decision).from_json(json.dumps(broken), bundle.assets.labels)


def test_labels_get_thresholds_for_a_goal(tmp_path: Path, run: Run) -> None:
    random.seed(1)
    with (tmp_path / "themes.csv").open("w", encoding="utf-8") as file:
        file.write("text,label\n")
        for _ in range(300):
            chosen = [name for name in ("price", "taste", "place") if random.random() < 0.4]
            file.write(f"the {' '.join(chosen) or 'rest'} {random.choice('abc')},{'|'.join(chosen)}\n")
    config = build_config(
        load_recipe("lstm"),
        SMALL,
        {"data": {"label_separator": "|"}, "predict": {"metric": "recall>=0.9:price"}},
    )
    fit_files(tmp_path / "themes.csv", config, tmp_path / "m", baseline=False)
    assets = load(tmp_path / "m").assets
    assert assets.decision is not None
    assert assets.decision.metric == "recall>=0.9:price"
    found = recurra.decide_files(tmp_path / "m", costs={"taste": {"missed": 3, "wrong": 1}})
    assert found["thresholds"][assets.labels.names.index("taste")] == pytest.approx(0.25)
    ran = run("decide", tmp_path / "m", "--risk", "0.1")
    assert (ran.code, "no single confidence" in ran.err) == (2, True)
    assert np.isfinite(found["thresholds"]).all()
