"""Two saved models on the same rows: paired difference, McNemar's test, and the rows that changed."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binomtest

import recurra
from recurra import LanguageModel
from recurra.errors import ConfigError, DataError
from recurra.tasks.fit import Fitted
from tests.conftest import Files, Run


@pytest.fixture(scope="module")
def other(trained: Fitted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trained model with costs, so that it answers some rows otherwise."""
    folder = shutil.copytree(trained.folder, tmp_path_factory.mktemp("other") / "model")
    recurra.decide_files(folder, costs={"neg": {"pos": 1.2}})
    return folder


def test_the_difference_is_that_of_the_predictions(
    run: Run, trained: Fitted, other: Path, sample: Files
) -> None:
    ran = run("compare", trained.folder, other, "--data", sample.test, "--json")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out)
    rows = [
        list(csv.DictReader(io.StringIO(run("predict", model, sample.test).out)))
        for model in (trained.folder, other)
    ]
    truth, a, b = (
        np.array([row[name] for row in part])
        for part, name in ((rows[0], "label"), (rows[0], "predicted_label"), (rows[1], "predicted_label"))
    )
    only = [int(((a == truth) & (b != truth)).sum()), int(((b == truth) & (a != truth)).sum())]
    found = result["comparison"]
    assert [found["only_first"], found["only_second"]] == only
    assert result["values"] == pytest.approx([(a == truth).mean(), (b == truth).mean()])
    if sum(only):
        assert found["p_value"] == pytest.approx(binomtest(only[0], sum(only)).pvalue)
    assert found["low"] <= found["difference"] <= found["high"]
    assert [row["row"] for row in result["changed"]] == (np.flatnonzero(a != b) + 1).tolist()
    assert result["changed_rows"] > 0
    for row in result["changed"]:
        right = {"lost": row["first"], "gained": row["second"]}.get(row["kind"])
        assert right in (None, row["true"])
        assert rows[0][row["row"] - 1]["text"].startswith(row["text"][:20])


def test_the_terminal_says_what_changed(run: Run, trained: Fitted, other: Path, sample: Files) -> None:
    ran = run("compare", trained.folder, other, "--data", sample.test)
    shown = " ".join(ran.out.split())
    assert "McNemar's exact test: p = " in shown
    assert "rows have another answer" in shown
    same = run("compare", trained.folder, trained.folder, "--data", sample.test)
    assert "+0.0 points" in same.out
    assert "another answer" not in same.out


def test_models_of_one_task_with_the_labels_are_needed(
    run: Run, trained: Fitted, other: Path, sample: Files, tmp_path: Path
) -> None:
    language = LanguageModel(units=4, embedding=4, epochs=1, verbose=0).fit(["a b c d e"] * 40)
    language.save(tmp_path / "lm")
    with pytest.raises(ConfigError, match="different tasks, classify and lm"):
        recurra.compare_models(trained.folder, tmp_path / "lm", sample.test)
    strange = tmp_path / "strange.csv"
    strange.write_text("text,label\ngood,purple\nbad,neg\n")
    with pytest.raises(DataError, match="purple"):
        recurra.compare_models(trained.folder, other, strange)
    for arguments in (["--data", sample.test], [other], [other, "--data", sample.test, "--recipes", "lstm"]):
        assert run("compare", trained.folder, *arguments).code == 2
    assert "--recipes" in run("compare", sample.train).err


def test_language_models_are_compared_by_their_figure(tmp_path: Path) -> None:
    texts = [f"the {a} cat sat on the {b} mat" for a in "uvwxy" for b in "uvwxy"] * 3
    (tmp_path / "test.txt").write_text("\n".join(texts[:40]) + "\n")
    short, long = (
        LanguageModel(units=6, embedding=6, epochs=2, learning_rate=rate, experts="recurrent", verbose=0).fit(
            texts
        )
        for rate in (1e-5, 0.02)
    )
    result = recurra.compare_models(short, long, tmp_path / "test.txt")
    assert result.difference is not None
    assert result.difference.shown
    assert "the first model is worse than the second model" in result.difference.sentence
    assert result.comparison is None
    again = recurra.compare_models(long, long, tmp_path / "test.txt")
    assert again.difference is not None
    assert not again.difference.shown


def test_options_of_recipes_are_refused_with_two_models(trained: Fitted, sample: Files, run: Run) -> None:
    ran = run("compare", trained.folder, trained.folder, "--data", sample.test, "--seeds", 3)
    assert ran.code == 2
    assert "--seeds" in ran.err
    assert "is not for two models" in ran.err
