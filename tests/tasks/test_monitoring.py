"""Rows like those of the training are not shifted, other ones are: texts, sentences, and their models."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import recurra
from recurra import Forecaster, LanguageModel, SequenceTagger
from recurra.errors import BundleError, ConfigError, DataError
from recurra.tasks.fit import Fitted
from recurra.tasks.use import load
from tests.conftest import Files, Run


def test_other_texts_are_shifted_and_the_same_are_not(
    run: Run, trained: Fitted, sample: Files, tmp_path: Path
) -> None:
    same = json.loads(run("monitor", trained.folder, sample.test, "--json").out)
    assert same["training_rows"] == 60
    assert same["shifted"] is False
    assert {shift["name"] for shift in same["shifts"]} == {
        *("length", "unknown words", "confidence", "predicted")
    }
    other = tmp_path / "other.csv"
    other.write_text("text\n" + "".join(f"zqx{n} blorp quux\n" for n in range(200)))
    ran = run("monitor", trained.folder, other)
    assert ran.code == 0, ran.err
    shown = " ".join(ran.out.split())
    assert "The rows differ from those of the training (large)" in shown
    assert "unknown words" in shown
    found = recurra.monitor_files(trained.bundle, other)
    assert next(shift for shift in found.shifts if shift.name == "unknown words").effect > 0.9
    few = tmp_path / "few.csv"
    few.write_text("text\nzqx blorp\n")
    assert "too few to tell" in " ".join(run("monitor", trained.folder, few).out.split())


def test_statistics_are_saved_or_computed_from_the_training_file(
    trained: Fitted, sample: Files, tmp_path: Path
) -> None:
    folder = shutil.copytree(trained.folder, tmp_path / "old")
    bundle = load(folder)
    assert bundle.assets.profile is not None
    expected = recurra.monitor_files(bundle, sample.test).as_json()
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["files"]["profile.json"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert load(folder).assets.profile is None
    again = recurra.monitor_files(folder, sample.test).as_json()
    for one, other in zip(expected["shifts"], again["shifts"], strict=True):
        assert one["effect"] == pytest.approx(other["effect"], abs=0.01)
    gone = load(folder)
    gone.metrics["training"]["data"] = "gone.csv"
    with pytest.raises(DataError, match="no statistics"):
        recurra.monitor_files(gone, sample.test)
    with pytest.raises(BundleError):
        recurra.monitor_files(tmp_path / "nothing", sample.test)


def test_sentences_and_streams_of_words_are_monitored(tmp_path: Path) -> None:
    words = [["the", "dog", "runs"], ["a", "cat", "sleeps", "here"]] * 60
    tags = [["D", "N", "V"], ["D", "N", "V", "A"]] * 60
    tagger = SequenceTagger(units=4, embedding=4, epochs=1, verbose=0).fit(words, tags)
    tagger.save(tmp_path / "tagger")
    (tmp_path / "new.txt").write_text("xx yy zz qq ww ee rr tt\n" * 50)
    found = recurra.monitor_files(tmp_path / "tagger", tmp_path / "new.txt")
    if found.before.rows >= 30:
        assert found.shifted
    assert {"length", "unknown words", "confidence", "predicted tags"} == {s.name for s in found.shifts}
    language = LanguageModel(units=4, embedding=4, epochs=1, verbose=0).fit(["the dog runs", "a cat"] * 200)
    found = recurra.monitor_files(language, tmp_path / "new.txt")
    assert {"length", "unknown words", "bits per token"} == {s.name for s in found.shifts}
    forecaster = Forecaster(target="y", lookback=4, horizon=1, units=2, epochs=1, verbose=0)
    forecaster.fit({"y": [float(n % 7) for n in range(200)]})
    with pytest.raises(ConfigError, match="can't be monitored"):
        recurra.monitor_files(forecaster, tmp_path / "new.txt")
