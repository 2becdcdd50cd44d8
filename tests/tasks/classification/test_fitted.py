"""A model of n-grams and a network answers, explains, is saved and is read as one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from recurra import TextClassifier, store
from recurra.config import Config, updated
from recurra.errors import BundleError, ConfigError
from recurra.tasks.classification import outputs
from recurra.tasks.classification.assets import ClassifierBundle
from recurra.tasks.classification.experts import Combination
from recurra.tasks.classification.explaining import explain_text
from recurra.tasks.classification.fitted import FittedExperts
from recurra.tasks.classification.ngrams import NgramModel
from recurra.tasks.classification.outputs import predict_texts
from recurra.tasks.fit import Fitted, fit_files
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config, parse_assignment, recipe_under
from recurra.tasks.use import evaluate_files, load, summary
from tests.conftest import Files, Run

TEXTS = ["It was great, not dull.", "I expected a dull film but it was a delight", "", "zzz qqq", "so " * 90]


@pytest.fixture(scope="module")
def fitted(sample: Files, small_config: Config, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """A model with both experts, whose weights are set so that both count."""
    config = updated(small_config, {"model": {"experts": ["ngrams", "recurrent"]}, "train": {"epochs": 1}})
    out = tmp_path_factory.mktemp("fitted") / "model"
    return fit_files(sample.train, config, out, valid=sample.valid, test=sample.test)


def weighted(bundle: ClassifierBundle, recurrent: float, ngrams: float, constant: float = 0.0) -> Any:
    """The model with other weights."""
    experts = bundle.assets.experts
    assert experts is not None
    changed = replace(experts, combination=Combination(recurrent, ngrams, constant))
    return replace(bundle, assets=replace(bundle.assets, experts=changed))


@pytest.fixture(scope="module")
def both(fitted: Fitted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a model with weights of both experts."""
    folder = tmp_path_factory.mktemp("both") / "model"
    store.save(weighted(fitted.bundle, 0.7, 0.9, 0.1), folder)
    return folder


def test_figures_of_each_expert_stand_beside_those_of_both(fitted: Fitted) -> None:
    found, alone = fitted.assessment, fitted.assessment.experts
    assert [name for name, _ in found.columns] == ["combined model", "LSTM alone", "n-grams alone"]
    assert found.baseline == alone.ngrams
    written = json.loads((fitted.folder / "metrics.json").read_text())
    experts = written["experts"]
    assert set(experts["weights"]) == set(experts["cross_fitted_log_loss"]) - {"both"}
    assert experts["recurrent"]["accuracy"] == alone.network.accuracy
    assert experts["ngrams"]["accuracy"] == written["baseline"]["accuracy"]
    for page in ("report.html", "README.md"):
        text = (fitted.folder / page).read_text(encoding="utf-8")
        assert all(name in text for name in ("LSTM alone", "n-grams alone", "60 validation rows"))
    assert "its n-grams alone" in found.comparison.sentence


def test_without_a_test_file_the_figures_are_cross_fitted(
    sample: Files, small_config: Config, tmp_path: Path
) -> None:
    config = updated(small_config, {"model": {"experts": ["ngrams", "recurrent"]}, "train": {"epochs": 1}})
    found = fit_files(sample.train, config, tmp_path / "model", baseline=False)
    experts = found.bundle.assets.experts
    assert found.assessment.experts.ngrams is not None  # though no baseline was asked for
    assert found.assessment.baseline is None
    assert found.assessment.metrics.log_loss == pytest.approx(experts.losses[experts.chosen], rel=1e-6)


def test_the_n_grams_are_trained_once(
    sample: Files, small_config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[int] = []
    plain = NgramModel.fit

    def counted(self: NgramModel, *arguments: Any) -> NgramModel:
        trained.append(1)
        return plain(self, *arguments)

    monkeypatch.setattr(NgramModel, "fit", counted)
    monkeypatch.setenv("RECURRA_CACHE", str(tmp_path / "cache"))
    experts = {"model": {"experts": ["ngrams", "recurrent"]}, "train": {"epochs": 1}}
    for seed in (1, 2):  # as expert and as baseline, and by another run on the same rows
        config = updated(small_config, {**experts, "train": {"epochs": 1, "seed": seed}})
        fit_files(sample.valid, config, tmp_path / str(seed), explained=0, baseline=seed == 1)
    assert len(trained) == 1
    config = updated(config, {"model": {"pieces": True}})
    fit_files(sample.valid, config, tmp_path / "pieces", explained=0, baseline=False)
    assert len(trained) == 2  # with pieces they are others


def test_a_saved_model_answers_the_same(both: Path, fitted: Fitted, run: Run, sample: Files) -> None:
    assert {"experts.json", "ngrams.safetensors"} <= {path.name for path in both.iterdir()}
    expected = predict_texts(weighted(fitted.bundle, 0.7, 0.9, 0.1), TEXTS)
    np.testing.assert_array_equal(predict_texts(load(both), TEXTS), expected)
    np.testing.assert_array_equal(TextClassifier.load(both).predict_proba(TEXTS), expected)
    one_by_one = np.concatenate([predict_texts(load(both), [text]) for text in TEXTS])
    np.testing.assert_allclose(one_by_one, expected, atol=1e-6)
    answer = json.loads(run("predict", both, "--text", TEXTS[1], "--format", "jsonl").out)
    assert answer["probabilities"]["pos"] == pytest.approx(expected[1, 1], abs=1e-6)
    figures = evaluate_files(both, sample.test, reporter=Reporter())
    labels = np.array([row.split(",")[-1] for row in sample.test.read_text().splitlines()[1:]]) == "pos"
    assert figures["model"]["rows"] == len(labels)
    assert figures["baseline"]["accuracy"] == figures["experts"]["ngrams"]["accuracy"]


def test_evaluation_needs_no_training_file(both: Path, sample: Files, tmp_path: Path) -> None:
    bundle = load(both)
    bundle.metrics["training"] = {"data": str(tmp_path / "gone.csv"), "valid": None}
    store.save(bundle, tmp_path / "model")
    figures = evaluate_files(tmp_path / "model", sample.test, reporter=Reporter())
    assert figures["comparison"]["rows"] == 80


def test_an_expert_without_weight_is_not_run(fitted: Fitted, monkeypatch: pytest.MonkeyPatch) -> None:
    ngrams = weighted(fitted.bundle, 0.0, 1.0)
    network = weighted(fitted.bundle, 1.0, 0.0)
    expected = [predict_texts(model, TEXTS) for model in (ngrams, network)]

    def unexpected(*_: Any) -> Any:
        raise AssertionError("this expert has no weight")

    with monkeypatch.context() as changed:
        changed.setattr(outputs, "predict_logits", unexpected)
        np.testing.assert_array_equal(predict_texts(ngrams, TEXTS), expected[0])
    monkeypatch.setattr(NgramModel, "logits", unexpected)
    np.testing.assert_array_equal(predict_texts(network, TEXTS), expected[1])


def test_the_explanation_adds_up(fitted: Fitted) -> None:
    text = "It was great not a dull film"
    bundle = weighted(fitted.bundle, 0.7, 0.9, 0.1)
    found = explain_text(bundle, text)
    p = predict_texts(bundle, [text])[0]
    assert found.probability == pytest.approx(p.max())
    assert sum(found.sums.values()) == pytest.approx(np.log(p.max() / (1 - p.max())))
    assert sum(one.contribution for one in found.ngrams) == pytest.approx(found.sums["n-grams"])
    whole = sum(part.contribution for part in found.parts)
    assert whole == pytest.approx(sum(found.network) + found.sums["n-grams"])
    assert [part.text for part in found.parts] == text.lower().split()
    assert "n-grams" in found.details()[0]
    # The same n-grams alone, and the network alone as it would be without n-grams.
    alone = explain_text(weighted(fitted.bundle, 0.0, 0.9), text)
    assert set(alone.network) == {0.0}
    assert "answer alone" in alone.note


def test_words_beyond_those_that_the_network_reads_are_explained(fitted: Fitted) -> None:
    text = " ".join(["great"] + ["so"] * 80)  # the network reads the last 60 tokens
    found = explain_text(weighted(fitted.bundle, 0.7, 0.9), text)
    assert found.parts[0].text == "great"
    assert found.parts[0].contribution != 0 == found.network[0]
    assert "only the n-grams read the whole text" in found.note


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_several_classes_and_several_labels(kind: str, tmp_path: Path) -> None:
    words = ["red", "green", "blue"]
    texts = [f"{words[n % 3]} {'and ' + words[n // 3 % 3] if n % 2 else 'thing'}" for n in range(90)]
    labels: Any = [text.split()[0] for text in texts]
    if kind == "multilabel":
        labels = np.array([[word in text for word in words] for text in texts]).astype(int)
    model = TextClassifier(units=4, embedding=4, epochs=1, experts=["ngrams", "recurrent"])
    model.fit(texts, labels)
    assert model.score(texts, labels) > 0.9
    bundle = weighted(model.bundle_, 0.5, 1.0)
    text = "a blue thing"
    p, found = predict_texts(bundle, [text])[0], explain_text(bundle, text)
    assert found.label == ("2" if kind == "multilabel" else "blue")
    assert sum(found.sums.values()) == pytest.approx(np.log(p.max() / (1 - p.max())))
    assert sum(one.contribution for one in found.ngrams) == pytest.approx(found.sums["n-grams"])
    assert found.ngrams[0].text in ("blue", "blue thing", "a blue")
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(load(tmp_path / "model").assets.limits, model.bundle_.assets.limits)
    np.testing.assert_array_equal(
        TextClassifier.load(tmp_path / "model").predict_proba(texts), model.predict_proba(texts)
    )


def test_rows_without_weight_teach_the_n_grams_nothing() -> None:
    texts = ["good film", "bad film"] * 20 + ["good film"] * 20
    labels, weights = [1, 0] * 20 + [0] * 20, [1.0] * 40 + [0.0] * 20
    options = {"units": 4, "embedding": 4, "epochs": 1, "experts": ["ngrams", "recurrent"]}
    validation = (texts[:8], labels[:8])
    one = TextClassifier(**options).fit(texts, labels, sample_weight=weights, validation_data=validation)
    other = TextClassifier(**options).fit(texts[:40], labels[:40], validation_data=validation)
    states = [model.bundle_.assets.experts.ngrams.state() for model in (one, other)]
    assert states[0].keys() == states[1].keys()
    for name, values in states[0].items():
        np.testing.assert_array_equal(values, states[1][name])


def test_the_network_alone_has_no_n_grams(sample: Files) -> None:
    model = TextClassifier(units=4, embedding=4, epochs=1, experts="recurrent")
    model.fit(["good film", "bad film"] * 20, [1, 0] * 20)
    assert model.bundle_.assets.experts is None
    assert model.explain("good film").sums == {}


def test_the_summary_shows_the_experts(both: Path, trained: Fitted) -> None:
    experts = summary(both, Reporter())["experts"]
    assert experts["weights"] == {"recurrent": 0.7, "ngrams": 0.9}
    assert experts["ngrams"] > 100
    assert "experts" not in summary(trained.folder, Reporter())


def _no_weight(saved: dict[str, Any]) -> None:
    saved["weights"] = {"recurrent": 0, "ngrams": 0}


@pytest.mark.parametrize(
    "harm",
    [
        lambda saved: saved.pop("weights"),
        lambda saved: saved.update(weights={"recurrent": -1.0, "ngrams": 1.0}),
        lambda saved: saved.update(weights={"recurrent": "1", "ngrams": 1.0}),
        lambda saved: saved.update(weights=[1, 1]),
        lambda saved: saved.update(intercept=float("nan")),
        lambda saved: saved.update(offsets=[1.0, 2.0, 3.0]),
        lambda saved: saved.update(validation_rows=None),
        lambda saved: saved.update(cross_fitted_log_loss={"other": 1.0}),
        lambda saved: saved.update(network_thresholds=[0.5]),
        _no_weight,
    ],
)
def test_weights_that_can_not_be_are_refused(
    both: Path, tmp_path: Path, harm: Callable[[dict[str, Any]], Any]
) -> None:
    folder = Path(shutil.copytree(both, tmp_path / "model"))
    saved = json.loads((folder / "experts.json").read_text())
    harm(saved)
    (folder / "experts.json").write_text(json.dumps(saved))
    _sealed(folder, "experts.json")
    with pytest.raises(BundleError) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("harm", ["classes", "missing", "text", "array", "unlisted"])
def test_n_grams_that_can_not_be_are_refused(both: Path, tmp_path: Path, harm: str) -> None:
    folder = Path(shutil.copytree(both, tmp_path / "model"))
    path = folder / "ngrams.safetensors"
    if harm == "classes":
        other = NgramModel().fit(["a b", "c", "d"], np.arange(3), "multiclass", 3)
        safetensors.numpy.save_file(other.state(), path)
    elif harm == "text":
        path.write_text("not arrays")
    elif harm == "array":
        arrays = safetensors.numpy.load_file(path)
        safetensors.numpy.save_file({name: values for name, values in arrays.items() if name != "idf"}, path)
    elif harm == "missing":
        path.unlink()
    if harm != "missing":
        _sealed(folder, "ngrams.safetensors", drop=harm == "unlisted")
    with pytest.raises(BundleError, match=r"ngrams|n-grams") as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def _sealed(folder: Path, name: str, *, drop: bool = False) -> None:
    """Writes the manifest for a changed file, as someone could who means harm."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = store.fingerprint(folder / name)
    if drop:
        del manifest["files"][name]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_model_without_experts_is_read_as_before(trained: Fitted) -> None:
    assert load(trained.folder).assets.experts is None


def test_only_classification_has_experts() -> None:
    assert build_config(recipe_under("default")).model.experts == ["ngrams", "recurrent"]
    assert build_config(parse_assignment("model.experts=recurrent")).model.experts == ["recurrent"]
    with pytest.raises(ConfigError, match=r"model\.experts is not for the task tag"):
        build_config({"task": "tag"}, parse_assignment("model.experts=[recurrent]"))
    tagger = build_config(recipe_under("default", {"task": "tag"}), {"task": "tag"})
    assert not hasattr(tagger.model, "experts")
    for wrong in ("[ngrams]", "[]", "[recurrent, recurrent]", "[cnn]"):
        with pytest.raises(ConfigError, match=r"model\.experts"):
            build_config(parse_assignment(f"model.experts={wrong}"))


def test_both_files_are_those_of_the_fitted_experts(fitted: Fitted) -> None:
    experts = fitted.bundle.assets.experts
    again = FittedExperts.read(experts.to_json(), experts.ngrams.state(), "binary", 2)
    assert again.as_json() == experts.as_json()
