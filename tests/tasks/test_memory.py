"""`recurra inspect MODEL memory`: which network, which texts, how far back; and one line for wrong use."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from recurra import store
from recurra.runtime import seed_everything
from recurra.tasks import memory as memory_task
from recurra.tasks.classification.network import Classifier
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
    looked_at: list[Classifier] = []
    subject = memory_task._subject

    def noted(*arguments: Any) -> Any:
        found = subject(*arguments)
        looked_at.append(found.bundle.model)
        return found

    monkeypatch.setattr(memory_task, "_subject", noted)
    fresh = seen(run, trained.folder, "memory", "--fresh", *STEPS)
    assert fresh["network"].endswith(", untrained")
    assert fresh["gradient"] != seen(run, trained.folder, "memory", *STEPS)["gradient"]
    config = trained.bundle.config
    seed_everything(config.train.seed)
    first = Classifier(config.model, trained.bundle.assets.tokenizer.vocab_size, 2, "binary")
    for name, value in looked_at[0].state_dict().items():
        assert torch.equal(value, first.state_dict()[name]), name


def test_a_recipe_stands_for_its_untrained_network(run: Run, sample: Files, tmp_path: Path) -> None:
    alone = seen(run, "gru", "memory", *FEW)
    assert (alone["network"], alone["source"]) == ("gru, untrained", "the built-in sample")
    assert [gate["name"] for gate in alone["parts"][0]["gates"]] == ["reset", "update"]
    assert alone == seen(run, "gru", "memory", *FEW)
    given = seen(run, "simple-rnn", "memory", sample.train, *FEW)
    assert given["source"] == str(sample.train)
    assert given["parts"][0]["gates"] == []


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
        "training file gone": ([moved, "memory"], "name a file"),
        "file missing": ([model, "memory", folder / "gone.csv"], "gone.csv"),
        "file empty": ([model, "memory", folder / "empty.csv"], "empty.csv"),
        "texts too short": ([model, "memory", short, "--steps", 10], "nothing has more than 10 steps"),
        "cut too short": ([model, "memory", "--steps", 500], "the longest has 60"),
        "no steps": ([model, "memory", "--steps", 0], "--steps is 0"),
        "no texts": ([model, "memory", "--texts", -1], "--texts is -1"),
        "no figure": ([model, "memory", "--out", folder / "figure.pdf"], "end it in .html, .png, .svg"),
    }


NAMES = [
    "no model", "no recipe", "not a model", "another kind", "training file gone", "file missing",
    "file empty", "texts too short", "cut too short", "no steps", "no texts", "no figure",
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
    for option in (["--fresh"], ["--steps", 3], ["--texts", 3], ["--out", "x.svg"]):
        ran = run("inspect", trained.folder, "summary", *option)
        assert ran.code == 2
        assert "only valid with memory" in ran.err
