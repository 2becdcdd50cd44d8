"""Answers of a model with very many classes have the most probable ones, unless all are asked for."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from recurra import store
from recurra.generators import initial_weights
from recurra.io.labels import Labels
from recurra.io.tokenizer import TextTokenizer
from recurra.tasks.classification.assets import ClassifierAssets, ClassifierBundle, build
from recurra.tasks.classification.settings import ClassifierConfig
from tests.conftest import Run

TEXTS = ["one film", "another plot and a film"]


def saved(folder: Path, count: int, kind: str = "multiclass") -> Path:
    """The directory of a model of ``count`` classes with its initial weights."""
    config = ClassifierConfig.model_validate({"model": {"units": 4, "embedding": 4}})
    tokenizer = TextTokenizer.train(TEXTS, config.tokenizer)
    names = tuple(f"class {n}" for n in range(count))
    assets = ClassifierAssets(tokenizer, labels=Labels(names, kind))
    if kind == "multilabel":
        assets = replace(assets, thresholds=(1.0,) * (count - 1) + (0.0,))  # the last one in every answer
    with initial_weights(config.train.seed):
        model = build(config, assets).eval()
    store.save(ClassifierBundle(config=config, model=model, assets=assets, temperature=1.0), folder)
    return folder


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_an_answer_of_many_classes_has_the_five_most_probable(run: Run, tmp_path: Path, kind: str) -> None:
    texts = [part for text in TEXTS for part in ("--text", text)]
    model = saved(tmp_path / "many", 101, kind)
    sure = ["confidence"] if kind == "multiclass" else []
    ran = run("predict", model, *texts)
    assert ran.code == 0, ran.err
    rows = [*csv.DictReader(ran.out.splitlines())]
    pairs = [f"{what}_{place}" for place in range(1, 6) for what in ("class", "p")]
    assert [*rows[0]] == ["row", "label", *sure, "note", *pairs]

    full = [*csv.DictReader(run("predict", model, *texts, "--all-classes").out.splitlines())]
    assert [*full[0]] == ["row", "label", *sure, "note", *(f"p_class {n}" for n in range(101))]
    short, long = (
        [
            json.loads(line)
            for line in run("predict", model, *texts, "--format", "jsonl", *more).out.splitlines()
        ]
        for more in ([], ["--all-classes"])
    )
    for row, every, some, whole in zip(rows, full, short, long, strict=True):
        assert len(whole["probabilities"]) == 101
        assert "other_classes" not in whole
        best = sorted(whole["probabilities"].values(), reverse=True)[:5]
        kept = [*some["probabilities"].items()]
        assert [p for _, p in kept[:5]] == best
        assert some["probabilities"].items() <= whole["probabilities"].items()
        assert some["other_classes"] == 101 - len(kept)
        assert some["label"] == whole["label"] == row["label"] == every["label"]
        assert some["label"] in some["probabilities"]
        assert [(row[f"class_{n}"], float(row[f"p_{n}"])) for n in range(1, 6)] == kept[:5]
        assert all(row[name] == every[name] == f"{some[name]:.6f}" for name in sure)


def test_up_to_100_classes_are_all_in_the_answer(run: Run, tmp_path: Path) -> None:
    model = saved(tmp_path / "all", 100)
    header = run("predict", model, "--text", "a film").out.splitlines()[0]
    assert header == ",".join(["row", "label", "confidence", "note", *(f"p_class {n}" for n in range(100))])
    record = json.loads(run("predict", model, "--text", "a film", "--format", "jsonl").out)
    assert len(record["probabilities"]) == 100
    assert "other_classes" not in record
