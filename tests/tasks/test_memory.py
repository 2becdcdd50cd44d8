"""`recurra inspect MODEL memory`: which network, which texts, how far back; and one line for wrong use."""

from __future__ import annotations

import copy
import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import recurra
from recurra import store
from recurra.errors import ConfigError
from recurra.generators import initial_weights
from recurra.layers import Recurrent
from recurra.measure.memory import measure
from recurra.tasks import memory as memory_task
from recurra.tasks.classification.network import Classifier
from recurra.tasks.classification.task import TASK
from recurra.tasks.fit import Fitted
from tests.conftest import Files, Run

STEPS = ("--steps", 20)
FEW = ("--steps", 10, "--texts", 3)


def seen(run: Run, *arguments: object) -> dict[str, Any]:
    ran = run("inspect", *arguments, "--json")
    assert ran.code == 0, ran.err
    assert ran.out.count("\n") == 1
    found = json.loads(ran.out)
    assert isinstance(found, dict)
    return found


def write_texts(path: Path, texts: list[str]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows((text, "ab"[n % 2]) for n, text in enumerate(texts))
    return path


def test_reading_part_of_the_texts_leaves_gradients_recorded(trained: Fitted, sample: Files) -> None:
    vectors = TASK.sequences(trained.bundle, sample.test)
    assert next(iter(vectors)).requires_grad is False
    assert torch.is_grad_enabled()


def test_a_model_is_seen_with_its_training_file_or_another(
    run: Run, trained: Fitted, sample: Files, tmp_path: Path
) -> None:
    own = seen(run, trained.folder, "memory", *STEPS)
    assert own["source"] == str(sample.train)
    assert own["steps"] == 20
    assert len(own["gradient"]["median"]) == 21
    assert set(own["sentences"]) == {"gradient", "matrix", "alone", "gates"}
    assert [gate["name"] for gate in own["parts"][0]["gates"]] == ["input", "forget", "output"]
    other = seen(run, trained.folder, "memory", sample.test, *STEPS, "--texts", 3)
    assert (other["source"], other["gradient"]["texts"]) == (str(sample.test), 3)
    lines = tmp_path / "lines.txt"
    lines.write_text("It was a fine day and we all went out to see the film, which was good. " * 3 + "\n")
    assert seen(run, trained.folder, "memory", lines, *STEPS)["gradient"]["texts"] == 1


def test_a_person_reads_figures_and_sentences(run: Run, trained: Fitted) -> None:
    ran = run("inspect", trained.folder, "memory", *STEPS)
    assert ran.code == 0, ran.err
    assert "gradient 20 back" in ran.out
    assert "Of the gradient of the last word" in ran.out
    assert "opening of the forget gate is 0.7" in ran.out


def test_fresh_is_the_network_that_training_began_with(
    run: Run, trained: Fitted, sample: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Recurrent] = []
    subject = memory_task._subject

    def noted(*arguments: Any) -> Any:
        found = subject(*arguments)
        measured.append(found.stack)
        return found

    monkeypatch.setattr(memory_task, "_subject", noted)
    fresh = seen(run, trained.folder, "memory", "--fresh", *STEPS)
    assert fresh["network"].endswith(", untrained")
    assert fresh["gradient"] != seen(run, trained.folder, "memory", *STEPS)["gradient"]
    config = trained.bundle.config
    with initial_weights(config.train.seed):
        first = Classifier(config.model, trained.bundle.assets.tokenizer.vocab_size, 2, "binary")
    for name, value in measured[0].state_dict().items():
        assert torch.equal(value, first.recurrent.state_dict()[name]), name


def test_a_recipe_stands_for_its_untrained_network(run: Run, sample: Files, tmp_path: Path) -> None:
    alone = seen(run, "gru", "memory", *FEW)
    assert (alone["network"], alone["source"]) == ("gru, untrained", "the built-in sample")
    assert [gate["name"] for gate in alone["parts"][0]["gates"]] == ["reset", "update"]
    assert alone == seen(run, "gru", "memory", *FEW)
    given = seen(run, "simple-rnn", "memory", sample.train, *FEW)
    assert given["source"] == str(sample.train)
    assert given["parts"][0]["gates"] == []


def test_python_gets_the_same_figures_as_a_record(run: Run, trained: Fitted, sample: Files) -> None:
    shown = seen(run, trained.folder, "memory", *STEPS)
    for model in (trained.folder, str(trained.folder)):
        figures = recurra.memory(model, steps=20)
        assert figures.model_dump(mode="json").items() <= shown.items()
    again = recurra.memory(trained.bundle, sample.train, steps=20)
    assert again.gradient.median == pytest.approx(figures.gradient.median)
    fresh = seen(run, trained.folder, "memory", "--fresh", *STEPS)
    assert recurra.memory(trained.folder, fresh=True, steps=20).gradient.median == fresh["gradient"]["median"]
    recipe = recurra.memory("gru", steps=10, texts=3)
    assert recipe.model_dump(mode="json").items() <= seen(run, "gru", "memory", *FEW).items()


def test_an_estimator_and_a_layer_have_a_memory_too() -> None:
    estimator = recurra.TextClassifier("gru", units=4, epochs=1).fit(
        ["a good film", "a bad film"] * 8, [1, 0] * 8
    )
    sequences = [torch.randn(30, estimator.bundle_.model.recurrent.input_size) for _ in range(4)]
    figures = recurra.memory(estimator, sequences, steps=12)
    layer = estimator.bundle_.model.recurrent
    assert figures == recurra.memory(layer, sequences, steps=12) == measure(layer, sequences, 12)
    assert (figures.cell, figures.last.carry.gate) == ("gru", "update")
    assert recurra.memory(layer, sequences).steps == 29
    normed = nn.utils.parametrizations.weight_norm(copy.deepcopy(layer), "weight_hh_l0")
    assert recurra.memory(normed, sequences, steps=12).gradient.half == figures.gradient.half


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((recurra.GRU(3, 4),), r"a layer has no data; pass tensors of shape \(T, E\)"),
        ((recurra.GRU(3, 4), [torch.zeros(5, 3)], 9), "no sequence has more than 9 steps; the longest has 5"),
        ((recurra.GRU(3, 4), [torch.zeros(5, 3)], 0), "steps is 0; use a number of 1 or more"),
        ((recurra.TextClassifier("gru"),), "TextClassifier is not a trained model; give a model's directory"),
        (("no-such-folder",), "no-such-folder"),
    ],
)
def test_a_wrong_call_is_answered(arguments: Any, message: str) -> None:
    model, data, steps = (*arguments, None, None)[:3]
    with pytest.raises(recurra.RecurraError, match=message):
        recurra.memory(model, data, steps=steps)


def test_a_model_that_pools_or_reads_backward_is_said_to(run: Run) -> None:
    assert "mean" in seen(run, "default", "memory", *FEW)["sentences"]["pooling"]
    assert "first word" in seen(run, "bi-lstm", "memory", *FEW)["sentences"]["direction"]


def test_the_distance_is_what_a_few_texts_reach(run: Run, trained: Fitted, tmp_path: Path) -> None:
    words = [" ".join(["good"] * n) for n in (3, 5, 30, 31, 32, 33, 34, 35, 36, 37, 38)]
    path = write_texts(tmp_path / "texts.csv", words)
    found = seen(run, trained.folder, "memory", path)  # 8 texts have 31 or more words and <start>
    assert (found["steps"], found["gradient"]["texts"]) == (31, 8)
    few = write_texts(tmp_path / "few.csv", words[:2])
    assert (few_found := seen(run, trained.folder, "memory", few))["steps"] == 3
    assert few_found["gradient"]["texts"] == 2


@pytest.mark.parametrize("name", ["figure.html", "figure.png", "figure.svg"])
def test_a_figure_is_written(run: Run, trained: Fitted, tmp_path: Path, name: str) -> None:
    found = seen(run, trained.folder, "memory", *STEPS, "--out", tmp_path / "new" / name)
    assert found["out"] == str(tmp_path / "new" / name)
    assert (tmp_path / "new" / name).stat().st_size > 10_000


@pytest.mark.slow
def test_recipes_and_radii_are_shown_side_by_side(run: Run, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    found = seen(run, "simple-rnn", "memory", *FEW, "--beside", "gru", "--radius", "0.9,1.1", "--out", page)
    names = [f"{name}, untrained, radius {radius}" for name in ("simple-rnn", "gru") for radius in (0.9, 1.1)]
    assert [network["network"] for network in found["networks"]] == names
    for network, radius in zip(found["networks"], (0.9, 1.1, 0.9, 1.1), strict=True):
        blocks = network["parts"][-1]["spectral_radius"].values()
        assert all(block == pytest.approx(radius, abs=1e-4) for block in blocks)
    dying, bursting = (network["parts"][-1]["linear"]["norm"] for network in found["networks"][:2])
    assert dying[-1] < dying[0] < bursting[-1]
    assert "A^10 h(0)" in found["networks"][0]["sentences"]["alone"]
    assert page.read_text(encoding="utf-8").count("<svg") == 4
    ran = run("inspect", "simple-rnn", "memory", *FEW, "--radius", "0.9,1.1")
    assert "simple-rnn, untrained, radius 0.9" in ran.out


def mistakes(trained: Fitted, folder: Path) -> dict[str, tuple[list[object], str]]:
    """Arguments after `inspect`, and what the one line must say, by name of the mistake."""
    model = trained.folder
    short = write_texts(folder / "short.csv", ["two words", "a few more words"] * 5)
    (folder / "empty.csv").write_bytes(b"")
    other = Path(shutil.copytree(model, folder / "other"))
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "labels.json").write_text('{"kind": "another"}')
    manifest["files"]["labels.json"] = store.fingerprint(other / "labels.json")
    (other / "manifest.json").write_text(json.dumps(manifest))
    moved = Path(shutil.copytree(model, folder / "moved"))
    metrics = json.loads((moved / "metrics.json").read_text())
    metrics["training"]["data"] = "/nowhere/train.csv"
    (moved / "metrics.json").write_text(json.dumps(metrics))
    manifest["files"] = json.loads((moved / "manifest.json").read_text())["files"]
    manifest["files"]["metrics.json"] = store.fingerprint(moved / "metrics.json")
    (moved / "manifest.json").write_text(json.dumps(manifest))
    (folder / "bare").mkdir()
    return {
        "no model": ([folder / "nowhere", "memory"], "there is no such model directory"),
        "no recipe": (["lstn", "memory"], "lstn"),
        "not a model": ([folder / "bare", "memory"], "no model is in this directory"),
        "another kind": ([other, "memory"], "labels"),
        "training file gone": ([moved, "memory"], "does not exist; give a file"),
        "file missing": ([model, "memory", folder / "gone.csv"], "gone.csv"),
        "file empty": ([model, "memory", folder / "empty.csv"], "empty.csv"),
        "texts too short": ([model, "memory", short, "--steps", 10], "no sequence has more than 10 steps"),
        "cut too short": ([model, "memory", "--steps", 500], "the longest has 60"),
        "no steps": ([model, "memory", "--steps", 0], "--steps is 0"),
        "no texts": ([model, "memory", "--texts", -1], "--texts is -1"),
        "no radius": ([model, "memory", "--radius", "0"], "radius is 0"),
        "no number": ([model, "memory", "--radius", "0.9;1.1"], "numbers separated by commas"),
        "radius twice": ([model, "memory", *STEPS, "--radius", "0.9,0.9"], "given twice"),
        "no neighbour": ([model, "memory", "--beside", folder / "gone"], "there is no such model directory"),
        "no figure": ([model, "memory", "--out", folder / "figure.pdf"], "end it in .html, .png, .svg"),
    }


NAMES = [
    "no model", "no recipe", "not a model", "another kind", "training file gone", "file missing",
    "file empty", "texts too short", "cut too short", "no steps", "no texts", "no figure",
    "no radius", "no number", "radius twice", "no neighbour",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_mistake_is_one_line(run: Run, trained: Fitted, tmp_path: Path, name: str) -> None:
    arguments, said = mistakes(trained, tmp_path)[name]
    ran = run("inspect", *arguments)
    assert ran.code == 2, ran
    assert ran.err.startswith("recurra: ")
    assert said in ran.err
    assert ran.err.count("\n") == 1


def test_every_mistake_is_tried(trained: Fitted, tmp_path: Path) -> None:
    assert sorted(mistakes(trained, tmp_path)) == sorted(NAMES)


def test_options_of_memory_go_with_memory_alone(run: Run, trained: Fitted) -> None:
    for option in (
        ["--fresh"],
        ["--beside", "gru"],
        ["--radius", "1"],
        ["--steps", 3],
        ["--texts", 3],
        ["--out", "x.svg"],
    ):
        ran = run("inspect", trained.folder, "summary", *option)
        assert ran.code == 2
        assert "only valid with memory" in ran.err


@pytest.mark.parametrize("cell", ["SimpleRNN", "GRU"])
@pytest.mark.parametrize("radius", [0.5, 1.5])
def test_the_recurrent_matrices_are_scaled_to_a_radius(cell: str, radius: float) -> None:
    torch.manual_seed(0)
    layer = getattr(recurra, cell)(3, 5, layers=2, bidirectional=True)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    inputs = [torch.randn(12, 3) for _ in range(4)]
    figures = recurra.memory(layer, inputs, radius=radius, steps=8)
    for part in figures.parts:
        assert all(value == pytest.approx(radius, rel=1e-5) for value in part.spectral_radius.values())
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_a_radius_that_can_not_be_had_is_refused() -> None:
    inputs = [torch.randn(12, 3)]
    with pytest.raises(ConfigError, match="radius is 0"):
        recurra.memory(recurra.GRU(3, 5), inputs, radius=0)
    with pytest.raises(ConfigError, match="has no recurrent matrix to scale"):
        recurra.memory(recurra.Recurrent(3, 5, cell="min_gru"), inputs, radius=1.0)
