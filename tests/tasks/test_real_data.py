"""Real files, as they are, through the whole path: fit, evaluate, predict."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from tests.conftest import Run

pytestmark = pytest.mark.data

TINY = (
    "--recipe", "lstm", "--no-baseline", "--json",
    "--set", "model.units=16", "--set", "model.pooling=max", "--set", "model.embedding=16",
    "--set", "train.learning_rate=0.01", "--set", "train.batch_size=256",
)  # fmt: skip


def fit(run: Run, out: Path, *arguments: object) -> dict[str, object]:
    ran = run("fit", *arguments, "--out", out, *TINY)
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert isinstance(found, dict)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("files", "settings", "classes", "rows", "least"),
    [
        (("sst2/train.tsv", "sst2/dev.tsv", "sst2/test.tsv"), (2, 32, 5000), ("0", "1"), 1821, 0.70),
        (
            ("ag_news/train_20k.csv.gz", None, "ag_news/test.csv.gz"),
            (1, 32, 5000),
            ("1", "2", "3", "4"),
            7600,
            0.80,
        ),
        (
            ("chnsenticorp/train.jsonl", "chnsenticorp/validation.jsonl", "chnsenticorp/test.jsonl"),
            (2, 64, 3000),
            ("0", "1"),
            1200,
            0.70,
        ),
    ],
    ids=["sst2", "ag_news", "chnsenticorp"],
)
def test_a_real_set_is_learned_and_answered(
    run: Run,
    tmp_path: Path,
    data_folder: Path,
    files: tuple[str, str | None, str],
    settings: tuple[int, int, int],
    classes: tuple[str, ...],
    rows: int,
    least: float,
) -> None:
    train, valid, test = (data_folder / name if name else None for name in files)
    epochs, tokens, words = settings
    assigned = [f"train.epochs={epochs}", f"tokenizer.max_tokens={tokens}", f"tokenizer.vocab_size={words}"]
    options = [part for one in assigned for part in ("--set", one)]
    if valid is not None:
        options += ["--valid", str(valid)]
    out = tmp_path / "model"
    figures = fit(run, out, train, "--test", test, *options)
    model = figures["model"]
    assert isinstance(model, dict)
    assert model["rows"] == rows
    assert [one["name"] for one in model["classes"]] == list(classes)
    if "chnsenticorp" in files[2]:
        assert isinstance(figures["model_unseen"], dict)
        assert figures["model_unseen"]["rows"] == 1200 - 331
    assert model["accuracy"] > least  # far above chance, far below what more epochs give
    evaluated = json.loads(run("evaluate", out, test, "--no-baseline", "--json").out)
    assert evaluated["model"] == model
    ran = run("predict", out, test)
    assert ran.code == 0, ran.err
    answers = list(csv.DictReader(io.StringIO(ran.out)))
    assert len(answers) == rows
    assert {answer["label"] for answer in answers} == set(classes)


@pytest.mark.slow
def test_imdb_is_split_by_movie_and_learned(run: Run, tmp_path: Path, data_folder: Path) -> None:
    imdb = data_folder / "imdb"
    figures = fit(
        run, tmp_path / "model", imdb / "train.parquet", "--test", imdb / "test.parquet", "--group", "movie",
        "--set", "tokenizer.max_tokens=60", "--set", "train.epochs=1",
    )  # fmt: skip
    assert isinstance(figures["model"], dict)
    assert figures["model"]["rows"] == 25_000
    assert figures["model"]["accuracy"] > 0.70
    config = (tmp_path / "model" / "config.yaml").read_text(encoding="utf-8")
    assert "group: movie" in config
    assert "- text" in config


@pytest.mark.slow
def test_a_large_chinese_set_in_ten_classes_goes_through(run: Run, tmp_path: Path, data_folder: Path) -> None:
    path = data_folder / "zh_shopping" / "online_shopping_10_cats.csv.gz"
    figures = fit(
        run, tmp_path / "model", path, "--set", "data.label=cat", "--set", "tokenizer.max_tokens=30",
        "--set", "train.epochs=1", "--set", "train.class_weight=balanced",
    )  # fmt: skip
    assert isinstance(figures["model"], dict)
    assert figures["evaluated_on"] == "validation"
    assert len(figures["model"]["classes"]) == 10
    assert figures["model"]["accuracy"] > 0.5
