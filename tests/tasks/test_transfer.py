"""Transfer: pretraining, matching of words, copied layers, freezing."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recurra import TextClassifier
from recurra.config import load_recipe
from recurra.layers.summary import summarize
from recurra.store import Bundle
from recurra.tasks.fit import pretrain_files
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.use import load
from tests.conftest import SMALL, Files, Ran, Run

QUICK = ("--recipe", "lstm", "--no-baseline", "--set", "train.epochs=2", "--set", "train.batch_size=16")
TWIN = ("--set", "model.units=12")  # the pretrained network's


@pytest.fixture(scope="module")
def big(sample: Files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pretrained model of 8 numbers a word, whose tokenizer keeps capitals."""
    config = build_config(load_recipe("lstm"), SMALL, {"tokenizer": {"lowercase": False}})
    out = tmp_path_factory.mktemp("big") / "emb"
    pretrain_files(sample.train, config, out, reporter=Reporter())
    return out


@pytest.fixture(scope="module")
def small(sample: Files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few rows, with a word that the large set doesn't have."""
    path = tmp_path_factory.mktemp("small") / "small.csv"
    with sample.valid.open(encoding="utf-8", newline="") as source, path.open("w", newline="") as file:
        header, *rows = csv.reader(source)
        assert header == ["text", "label"]
        csv.writer(file).writerows([header, *([f"{text} quux", label] for text, label in rows)])
    return path


def embedding(bundle: Bundle) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
    table = bundle.model.embedding.weight.detach().numpy()
    return {bundle.assets.tokenizer.word(id): row for id, row in enumerate(table)}


def fitted(run: Run, small: Path, out: Path, *options: object) -> Bundle:
    ran = run("fit", small, "--out", out, *QUICK, *options)
    assert ran.code == 0, ran.err
    return load(out)


def test_a_pretrained_model_is_a_model_without_figures_of_a_test(big: Path, run: Run) -> None:
    assert {path.name for path in big.iterdir()} == {
        "manifest.json", "config.yaml", "model.safetensors", "tokenizer.json", "labels.json",
        "metrics.json", "source.json", "profile.json", "history.csv", "README.md", "training",
    }  # fmt: skip
    assert "--pretrained" in (big / "README.md").read_text(encoding="utf-8")
    assert run("predict", big, "--text", "It was great").code == 0


def test_the_verb_says_what_it_made(sample: Files, tmp_path: Path, run: Run) -> None:
    quick = (
        "--recipe",
        "gru",
        "--set",
        "model.units=4",
        "--set",
        "train.epochs=1",
        "--set",
        "model.embedding=6",
    )
    ran = run("pretrain", sample.test, "--out", tmp_path / "emb", "--json", *quick)
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert (found["width"], found["epochs"], found["stopped"]) == (6, 1, "epochs")
    assert found["words"] == load(tmp_path / "emb").assets.tokenizer.vocab_size
    assert run("pretrain", sample.test, "--out", tmp_path / "emb", *quick).code == 2


def test_words_are_matched_and_strangers_get_the_mean(
    run: Run, big: Path, small: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    ran = run("fit", small, "--out", out, *QUICK, "--pretrained", big, "--freeze", "--json")
    assert ran.code == 0, ran.err
    found, source = load(out), embedding(load(big))
    vectors = embedding(found)
    assert found.config.model.embedding == 8
    assert not vectors["<pad>"].any()
    plain = [word for word in vectors if not word.startswith("<")]
    shared = [word for word in plain if word in source]
    # The large set's tokenizer keeps capitals, and this one has none: "It" is not found by "it".
    assert len(shared) > 20
    for word in [*shared, "<start>", "<unk>"]:
        np.testing.assert_array_equal(vectors[word], source[word], err_msg=word)
    mean = np.mean([source[word] for word in shared], axis=0)
    np.testing.assert_allclose(vectors["quux"], mean, rtol=1e-5, atol=1e-7)

    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    digest = json.loads((big / "manifest.json").read_text(encoding="utf-8"))["files"]["model.safetensors"]
    origin = manifest["pretrained"]
    assert origin["name"] == "emb"  # and not the way to it
    assert origin["sha256"] == digest["sha256"]
    assert (origin["words"], origin["vocabulary"]) == (len(shared), len(plain))
    assert json.loads(ran.out)["pretrained"] == origin
    assert f"{len(shared):,} of {len(plain):,} found" in ran.err
    assert f"{100 * origin['token_share']:.1f}% of the training tokens have a pretrained vector" in ran.err
    assert digest["sha256"] in (out / "README.md").read_text(encoding="utf-8")


def test_the_share_of_tokens_is_that_of_the_training_rows(tmp_path: Path) -> None:
    vectors = tmp_path / "v.txt"
    vectors.write_text("good 1 2\nfilm 3 4\n", encoding="utf-8")
    texts = ["good film good", "good bad dull"] * 10
    model = TextClassifier(
        pretrained=vectors, units=4, epochs=1, settings={"tokenizer": {"start_token": True}}
    )
    validation = (["film film film film"], [0])
    model.fit(texts, [0, 1] * 10, validation_data=validation)
    origin = model.bundle_.pretrained
    assert origin is not None
    assert origin["token_share"] == pytest.approx(4 / 6)
    assert (origin["words"], origin["vocabulary"]) == (2, 4)


def test_a_frozen_embedding_stays_and_is_shown_so(run: Run, big: Path, small: Path, tmp_path: Path) -> None:
    more = ("--set", "train.optimizer=adamw", "--set", "train.weight_decay=0.1", "--pretrained", big)
    frozen = fitted(run, small, tmp_path / "frozen", *more, "--freeze")
    tuned = fitted(run, small, tmp_path / "tuned", *more)
    source, kept, moved = (embedding(b) for b in (load(big), frozen, tuned))
    shared = set(source) & set(kept)
    assert all(np.array_equal(kept[word], source[word]) for word in shared)
    assert not all(np.array_equal(moved[word], source[word]) for word in shared)
    assert [row.trainable for row in summarize(frozen.model).rows] == [False, True, True]
    assert [row.trainable for row in summarize(tuned.model).rows] == [True, True, True]
    ran = run("inspect", tmp_path / "frozen", "summary", "--json")
    found = json.loads(ran.out)
    assert [layer["trainable"] for layer in found["layers"]] == [False, True, True]
    assert found["frozen"] == frozen.model.embedding.weight.numel()


@pytest.mark.parametrize("backend", ["auto", "torch", "reference"])
def test_recurrent_layers_come_too_and_freeze_too(
    run: Run, big: Path, small: Path, tmp_path: Path, backend: str
) -> None:
    more = ("--pretrained", big, "--pretrained-layers", "--freeze", "--set", f"model.backend={backend}")
    stacked = ("--set", "model.units=[12, 5]", "--set", "model.layers=2")
    found = fitted(run, small, tmp_path / "model", *more, *stacked)
    source = load(big)
    for name, weight in source.model.recurrent.named_parameters():
        assert torch.equal(found.model.recurrent.get_parameter(name), weight), name
    assert [row.trainable for row in summarize(found.model).rows] == [False, False, True, True]
    assert found.pretrained is not None
    assert found.pretrained["layers"] == 1


def test_unfreezing_and_rates_by_layer_resume_exactly(
    run: Run, big: Path, small: Path, tmp_path: Path
) -> None:
    more = (
        "--pretrained",
        big,
        "--pretrained-layers",
        *TWIN,
        "--unfreeze-after",
        "1",
        "--layerwise-lr",
        "0.4",
        "--set",
        "train.learning_rate=0.03",
        "--valid",
        small,  # so that later epochs are the better ones
    )
    whole = fitted(run, small, tmp_path / "whole", *more, "--set", "train.epochs=4")
    fitted(run, small, tmp_path / "part", *more, "--set", "train.epochs=1")
    resumed = fitted(run, small, tmp_path / "part", *more, "--set", "train.epochs=4", "--resume")
    for name, weight in whole.model.state_dict().items():
        assert torch.equal(resumed.model.state_dict()[name], weight), name
    assert not np.array_equal(embedding(whole)["the"], embedding(load(big))["the"])
    assert whole.config.train.unfreeze_after == 1


def test_resuming_from_other_vectors_is_refused(run: Run, big: Path, small: Path, tmp_path: Path) -> None:
    out = tmp_path / "model"
    vectors = tmp_path / "v.txt"
    vectors.write_text("the 1 2 3 4 5 6 7 8\n", encoding="utf-8")
    fitted(run, small, out, "--pretrained", big)
    ran = run("fit", small, "--out", out, *QUICK, "--pretrained", vectors, "--resume")
    assert ran.code == 2
    assert "pretrained.sha256" in ran.err


def test_a_subword_vocabulary_finds_whole_words(big: Path, small: Path, tmp_path: Path, run: Run) -> None:
    pieces = ("--set", "tokenizer.level=subword", "--set", "tokenizer.vocab_size=400")
    found = fitted(run, small, tmp_path / "model", "--pretrained", big, "--freeze", *pieces)
    source, vectors = embedding(load(big)), embedding(found)
    whole = [word for word in vectors if word.startswith("▁") and word[1:] in source]
    assert len(whole) > 10
    for word in whole:
        np.testing.assert_array_equal(vectors[word], source[word[1:]])


def refused(ran: Ran) -> str:
    assert ran.code == 2
    lines = ran.err.strip().splitlines()
    assert len(lines) == 1, ran.err
    return lines[0]


def test_what_does_not_go_together_is_refused_in_one_line(
    run: Run, big: Path, small: Path, tmp_path: Path
) -> None:
    out = tmp_path / "model"
    vectors = tmp_path / "v.vec"
    vectors.write_text("2 3\nthe 1 2 3\n", encoding="utf-8")

    def fit(*options: object) -> str:
        line = refused(run("fit", small, "--out", out, *QUICK, *options))
        assert not out.exists()
        return line

    assert "16, and the vectors of emb have 8" in fit("--pretrained", big, "--set", "model.embedding=16")
    assert "model.units is 12 there and 100 here" in fit("--pretrained", big, "--pretrained-layers")
    gru = ("--set", "model.cell=gru", *TWIN)
    assert "model.cell is lstm there" in fit("--pretrained", big, "--pretrained-layers", *gru)
    assert "no recurrent layers" in fit("--pretrained", vectors, "--pretrained-layers")
    assert "nothing pretrained" in fit("--freeze")
    assert "both set" in fit("--pretrained", big, "--freeze", "--unfreeze-after", "1")
    assert "there is no such file" in fit("--pretrained", tmp_path / "none.vec")
    assert "v.vec, row 1: is cut short" in fit("--pretrained", vectors)
    assert "not a file of word vectors" in fit("--pretrained", small)
    vectors.write_text("zzz 1 2 3\n", encoding="utf-8")
    assert "no vector for any word" in fit("--pretrained", vectors)


def test_tasks_begin_from_each_other_as_far_as_they_mean_the_same(
    run: Run, big: Path, small: Path, tmp_path: Path
) -> None:
    """A tagger begins from a classifier's words; its layers read spellings too, and a series has no words."""
    tagged = tmp_path / "a.conllu"
    words = ["It", "was", "good", "."]
    lines = [f"{n}\t{word}\t_\tX{n % 2}" + "\t_" * 6 for n, word in enumerate(words, 1)]
    tagged.write_text("\n".join([*lines, ""] * 20) + "\n", encoding="utf-8")
    quick = ("--set", "train.epochs=1", "--set", "model.units=12", "--set", "model.layers=1")
    one_way = ("--set", "model.bidirectional=false", "--set", "tagging.character_units=4")
    ran = run("fit", tagged, "--out", tmp_path / "tagger", *quick, *one_way, "--pretrained", big, "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["pretrained"]["words"] == 3  # the classifier's recipe drops marks
    both = ("--pretrained", big, "--pretrained-layers")
    line = refused(run("fit", tagged, "--out", tmp_path / "no", *quick, *one_way, *both))
    assert "the layers of a tagger have the character layer as input" in line
    layers = ("--pretrained", tmp_path / "tagger", "--pretrained-layers", *TWIN)
    line = refused(run("fit", small, "--out", tmp_path / "no", *QUICK, *layers))
    assert "the pretrained layers don't fit: weight_ih_l0 is (48, 16) there and (48, 8) here" in line
    assert not (tmp_path / "no").exists()

    series = tmp_path / "s.csv"
    rows = (f"2020-01-{1 + n // 24:02d} {n % 24:02d}:00,{n % 24}" for n in range(240))
    series.write_text("\n".join(["time,T", *rows]) + "\n", encoding="utf-8")
    short = ("--set", "series.lookback=6h", "--set", "series.delay=1h", "--set", "model.units=4")
    forecast = ("--target", "T", "--set", "train.epochs=1", *short)
    assert run("fit", series, *forecast, "--out", tmp_path / "series").code == 0
    assert "has no vectors of words" in refused(
        run("fit", small, "--out", tmp_path / "no", *QUICK, "--pretrained", tmp_path / "series")
    )
    assert "no words that could begin from vectors" in refused(
        run("fit", series, *forecast, "--out", tmp_path / "no", "--pretrained", big)
    )
    assert "no words for others to begin from" in refused(
        run("pretrain", series, "--task", "forecast", "--out", tmp_path / "no")
    )
    for verb in ("words", "explain"):
        assert "forecast" in refused(run("inspect", tmp_path / "series", verb, "good"))


def test_the_estimator_does_the_same(big: Path, tmp_path: Path) -> None:
    texts = ["It was good .", "It was bad ."] * 12
    model = TextClassifier(
        "lstm", pretrained=big, pretrained_layers=True, freeze=True, units=12, epochs=2
    ).fit(texts, [1, 0] * 12)
    source, vectors = embedding(load(big)), embedding(model.bundle_)
    assert np.array_equal(vectors["good"], source["good"])
    assert [row.trainable for row in summarize(model.bundle_.model).rows] == [False, False, True]
    model.save(tmp_path / "model")
    loaded = TextClassifier.load(tmp_path / "model")
    assert loaded.bundle_.pretrained == model.bundle_.pretrained
    assert (loaded.freeze, loaded.pretrained) == (True, str(big))
    np.testing.assert_array_equal(loaded.predict_proba(texts[:2]), model.predict_proba(texts[:2]))


@pytest.mark.data
def test_a_real_set_pretrains_another(run: Run, tmp_path: Path, data_folder: Path) -> None:
    many, few = data_folder / "sst2" / "train.tsv", data_folder / "sst2" / "dev.tsv"
    cut = ("--set", "tokenizer.max_tokens=20", "--set", "train.epochs=1", "--set", "train.batch_size=512")
    tiny = ("--recipe", "simple-rnn", "--set", "model.units=4", "--set", "model.embedding=4")
    assert run("pretrain", many, "--out", tmp_path / "emb", *cut, *tiny).code == 0
    found = fitted(run, few, tmp_path / "model", "--pretrained", tmp_path / "emb", "--freeze", *cut)
    assert found.pretrained is not None
    assert found.pretrained["token_share"] > 0.9
    assert found.pretrained["words"] > 2_500
