"""A model that is trained further: weights, words and classes stay, what it forgot is measured."""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import recurra
from recurra import store
from recurra.config import load_recipe
from recurra.errors import ConfigError, DataError
from recurra.tasks.continuing import GoesOn, continued_config
from recurra.tasks.fit import Fitted, fit_files
from recurra.tasks.settings import build_config
from recurra.tasks.use import load
from tests.conftest import SMALL, Run


def write(path: Path, signs: dict[str, str], rows: int, seed: int) -> Path:
    random.seed(seed)
    lines = []
    for number in range(rows):
        label = ("neg", "pos")[number % 2]
        lines.append(
            f"the {random.choice('abcdef')} film is {signs[label]} {random.choice('uvwxyz')},{label}"
        )
    path.write_text("text,label\n" + "\n".join(lines) + "\n")
    return path


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    folder = tmp_path_factory.mktemp("old")
    data = write(folder / "old.csv", {"neg": "dull", "pos": "great"}, 300, 1)
    config = build_config(load_recipe("lstm"), SMALL, {"train": {"epochs": 4, "learning_rate": 0.03}})
    return fit_files(data, config, folder / "model", baseline=False)


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows with other words for the same classes."""
    return write(tmp_path_factory.mktemp("new") / "new.csv", {"neg": "tedious", "pos": "superb"}, 200, 2)


def test_it_learns_new_words_and_tells_what_it_forgot(
    run: Run, old: Fitted, new: Path, tmp_path: Path
) -> None:
    out = tmp_path / "more"
    ran = run("fit", new, "--continue", old.folder, "--out", out, "--no-baseline", "--json")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out.splitlines()[-1])
    assert result["model"]["accuracy"] > 0.9
    assert result["forgotten"]["rows"] == 30
    assert result["forgotten"]["before"] > 0.9
    again = load(out)
    before = old.bundle.assets.words()
    assert again.assets.words()[: len(before)] == before, "the numbers of known words stay"
    assert {"tedious", "superb"} <= set(again.assets.words()) - set(before)
    assert again.metrics["forgotten"]["after"] == result["forgotten"]["after"]
    assert again.pretrained["continued"] is True
    wrong = [row for row in ("tedious", "superb") if row in old.bundle.assets.words()]
    assert wrong == []
    labels = recurra.TextClassifier.load(out).predict(["the a film is superb u", "the a film is tedious u"])
    assert labels.tolist() == ["pos", "neg"]


def test_it_begins_at_the_weights_of_the_model(old: Fitted, new: Path, tmp_path: Path) -> None:
    """Without a step that counts, the answers are those of the model."""
    settings = {"train": {"epochs": 1, "learning_rate": 1e-12}}
    fitted = recurra.continue_files(old.folder, new, tmp_path / "same", settings=settings, baseline=False)
    saved, own = old.bundle.model.state_dict(), fitted.bundle.model.state_dict()
    rows = len(saved["embedding.weight"])
    for name, weight in saved.items():
        torch.testing.assert_close(own[name][:rows] if name == "embedding.weight" else own[name], weight)
    mean = saved["embedding.weight"][3:].mean(dim=0)
    torch.testing.assert_close(
        own["embedding.weight"][rows:], mean.expand(len(own["embedding.weight"]) - rows, -1)
    )
    assert fitted.bundle.metrics["forgotten"]["difference"] == 0


def test_both_experts_go_on(new: Path, tmp_path: Path) -> None:
    data = write(tmp_path / "old.csv", {"neg": "dull", "pos": "great"}, 300, 1)
    both = {"model": {"experts": ["ngrams", "recurrent"], "evidence": 50}}
    config = build_config(load_recipe("lstm"), SMALL, both)
    fit_files(data, config, tmp_path / "both", baseline=False)
    fitted = recurra.continue_files(tmp_path / "both", new, tmp_path / "more", baseline=False)
    old, more = load(tmp_path / "both"), load(tmp_path / "more")
    assert more.assets.tokenizer.vocab_size == old.assets.tokenizer.vocab_size
    np.testing.assert_array_equal(
        more.assets.experts.ngrams.state()["keys"], old.assets.experts.ngrams.state()["keys"]
    )
    torch.testing.assert_close(more.model.evidence.state_dict(), old.model.evidence.state_dict())
    assert fitted.bundle.metrics["forgotten"]["rows"] == 30


def test_what_cannot_be_continued_is_refused(
    run: Run, old: Fitted, new: Path, tmp_path: Path, trained: Fitted
) -> None:
    strange = tmp_path / "strange.csv"
    strange.write_text("text,label\ngood,purple\nbad,neg\n" * 20)
    with pytest.raises(DataError, match="purple"):
        recurra.continue_files(old.folder, strange, tmp_path / "x")
    with pytest.raises(ConfigError, match="replace the one"):
        recurra.continue_files(old.folder, new, old.folder, overwrite=True)
    with pytest.raises(ConfigError, match=r"model\.units is that of the model"):
        recurra.continue_files(old.folder, new, tmp_path / "x", settings={"model": {"units": 3}})
    ran = run("fit", new, "--continue", old.folder, "--recipe", "gru", "--out", tmp_path / "x")
    assert (ran.code, "--recipe" in ran.err) == (2, True)
    assert not (tmp_path / "x").exists()
    other = GoesOn.of(trained.folder, trained.bundle, 5)
    with pytest.raises(ConfigError, match="another one"):
        other.apply(load(old.folder).model, freeze=False)
    assert continued_config(old.bundle, {}).model == old.bundle.config.model


def test_without_the_old_rows_forgetting_is_not_known(old: Fitted, new: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(old.folder, tmp_path / "moved")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["training"]["data"].endswith("old.csv")
    bundle = load(folder)
    bundle.metrics["training"]["data"] = "gone.csv"
    store.save(bundle, folder)
    settings = {"train": {"epochs": 1}}
    fitted = recurra.continue_files(folder, new, tmp_path / "more", settings=settings, baseline=False)
    assert fitted.bundle.metrics["forgotten"] is None


def test_layers_of_a_continued_model_are_not_chosen(old: Fitted, new: Path, run: Run, tmp_path: Path) -> None:
    ran = run("fit", new, "--continue", old.folder, "--freeze", "--out", tmp_path / "x")
    assert ran.code == 2
    assert "--freeze" in ran.err


def write_tagged(path: Path, nouns: str, rows: int, seed: int) -> Path:
    random.seed(seed)
    lines = []
    for _ in range(rows):
        noun = random.choice(nouns.split())
        lines.append(f"the\tDET\n{noun}\tNOUN\n{random.choice(['runs', 'sleeps'])}\tVERB\n")
    path.write_text("\n".join(lines))
    return path


def same_weights(before: Fitted, after: Fitted, longer: tuple[str, ...] = ()) -> None:
    """All weights are the same; tables of vectors may be longer."""
    old, new = before.bundle.model.state_dict(), after.bundle.model.state_dict()
    assert old.keys() == new.keys()
    for name, weight in old.items():
        assert name in longer or new[name].shape == weight.shape
        torch.testing.assert_close(new[name][: len(weight)], weight)


STILL = {"train": {"epochs": 1, "learning_rate": 1e-12}}


def test_a_tagger_goes_on_with_new_words_and_its_tags(run: Run, tmp_path: Path) -> None:
    data = write_tagged(tmp_path / "old.tsv", "dog cat bird", 120, 1)
    small = {"model": {"units": 8, "embedding": 8}, "train": {"epochs": 6, "learning_rate": 0.03}}
    old = fit_files(data, build_config(load_recipe("tagger"), small), tmp_path / "old", baseline=False)
    new = write_tagged(tmp_path / "new.tsv", "zebra quagga dog", 120, 2)

    still = recurra.continue_files(tmp_path / "old", new, tmp_path / "still", settings=STILL, baseline=False)
    same_weights(old, still, ("embedding.weight", "spelling.embedding.weight"))
    words, more = old.bundle.assets.words(), still.bundle.assets.words()
    assert more[: len(words)] == words
    assert set(more) - set(words) == {"zebra", "quagga"}
    assert set(still.bundle.assets.vocabulary.characters) > set(old.bundle.assets.vocabulary.characters)
    assert still.bundle.assets.counts.words["dog"]["NOUN"] > old.bundle.assets.counts.words["dog"]["NOUN"]
    assert still.bundle.metrics["forgotten"]["difference"] == 0
    assert still.bundle.metrics["forgotten"]["rows"] == 12

    ran = run("fit", new, "--continue", tmp_path / "old", "--out", tmp_path / "more", "--json")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out.splitlines()[-1])
    assert result["model"]["words"]["accuracy"] > 0.95
    assert result["forgotten"]["figure"] == "accuracy"
    assert "All weights were those of the model `old`" in (tmp_path / "more" / "README.md").read_text()
    assert load(tmp_path / "more").assets.words() == more

    strange = write_tagged(tmp_path / "strange.tsv", "dog", 20, 3)
    strange.write_text(strange.read_text().replace("VERB", "AUX"))
    with pytest.raises(DataError, match="AUX"):
        recurra.continue_files(tmp_path / "old", strange, tmp_path / "x")


@pytest.mark.parametrize("tie", [False, True])
def test_a_language_model_goes_on_with_its_words(tie: bool, tmp_path: Path) -> None:
    random.seed(4)
    for name, words in (("old", "red green blue"), ("new", "red green violet")):
        lines = [f"a {random.choice(words.split())} ball rolls" for _ in range(200)]
        (tmp_path / f"{name}.txt").write_text("\n".join(lines))
    small = {
        "model": {"units": 8, "embedding": 8, "experts": ["ngrams", "recurrent"] if tie else ["recurrent"]},
        "language": {"tie": tie, "bptt": 8},
        "train": {"epochs": 3, "batch_size": 8},
    }
    config = build_config(load_recipe("language-model"), small)
    old = fit_files(tmp_path / "old.txt", config, tmp_path / "old", baseline=False)
    still = recurra.continue_files(
        tmp_path / "old", tmp_path / "new.txt", tmp_path / "still", settings=STILL, baseline=False
    )
    same_weights(old, still)
    assert "violet" not in still.bundle.assets.words()
    forgotten = still.bundle.metrics["forgotten"]
    if not tie:  # n-grams of the new texts are added to those of a mixture
        assert (forgotten["difference"], forgotten["shown"]) == (pytest.approx(0, abs=1e-6), False)
    more = recurra.continue_files(
        tmp_path / "old", tmp_path / "new.txt", tmp_path / "more", settings={"train": {"epochs": 6}}
    )
    assert more.bundle.metrics["forgotten"]["before"] == pytest.approx(forgotten["before"])
    assert recurra.LanguageModel.load(tmp_path / "more").perplexity(["a red ball rolls"]) > 0


def test_a_forecaster_goes_on_with_its_columns_and_scales(run: Run, tmp_path: Path) -> None:
    random.seed(5)

    def write_series(name: str, level: float) -> Path:
        lines = ["time,load"]
        for hour in range(400):
            value = level + np.sin(hour / 4) + random.gauss(0, 0.1)
            lines.append(f"2024-{1 + hour // 600:02}-{1 + hour // 24:02} {hour % 24:02}:00,{value:.3f}")
        path = tmp_path / name
        path.write_text("\n".join(lines))
        return path

    small = {
        "model": {"units": 6},
        "series": {"target": "load", "lookback": "12h", "delay": "1h"},
        "train": {"epochs": 2},
    }
    config = build_config(load_recipe("forecaster"), small)
    old = fit_files(write_series("old.csv", 10.0), config, tmp_path / "old", baseline=False)
    new = write_series("new.csv", 20.0)
    still = recurra.continue_files(tmp_path / "old", new, tmp_path / "still", settings=STILL, baseline=False)
    same_weights(old, still)
    assert still.bundle.assets.layout == old.bundle.assets.layout
    assert still.bundle.metrics["forgotten"]["difference"] == pytest.approx(0, abs=1e-6)

    command = ["fit", new, "--continue", tmp_path / "old", "--out", tmp_path / "more", "--json"]
    ran = run(*command, "--set", "series.test_fraction=0.3", "--set", "train.epochs=4")
    assert ran.code == 0, ran.err
    result = json.loads(ran.out.splitlines()[-1])
    assert result["forgotten"]["after"] > 0
    assert load(tmp_path / "more").config.series.lookback == old.bundle.config.series.lookback
    ran = run(*command[:-1], "--overwrite", "--set", "series.lookback=5h")
    assert (ran.code, "series.lookback is that of the model" in ran.err) == (2, True)
    gone = tmp_path / "gone.csv"
    gone.write_text(new.read_text().replace("time,load", "time,other"))
    ran = run("fit", gone, "--continue", tmp_path / "old", "--out", tmp_path / "x")
    assert (ran.code, "load" in ran.err) == (2, True)
