"""Texts without labels: what is left out, the language model in the cache, the network that begins."""

from __future__ import annotations

import csv
import signal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

from recurra import TextClassifier
from recurra.config import load_recipe
from recurra.tasks.classification.outputs import predict_texts
from recurra.tasks.corpus import HeldOut, corpus_of_texts
from recurra.tasks.fit import Fitted, fit_files
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.use import load
from recurra.train.observer import Observer
from tests.conftest import Files, Run

QUICK = (
    "--no-baseline",
    *(
        word
        for setting in (
            "model.units=8", "model.embedding=6", "tokenizer.vocab_size=400", "train.epochs=1",
            "train.batch_size=32", "unlabeled.samples=50", "unlabeled.batch_size=8", "unlabeled.bptt=16",
            "model.bidirectional=false", "unlabeled.method=both", "model.backend=torch",
        )
        for word in ("--set", setting)
    ),
)  # fmt: skip


def texts_of(path: Path) -> list[str]:
    with path.open(encoding="utf-8", newline="") as file:
        return [row["text"] for row in csv.DictReader(file)]


@pytest.fixture(scope="module")
def more(sample: Files, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Unlabelled texts: those of the training file again, and some of the test and the validation file."""
    texts = texts_of(sample.train)[:150] + texts_of(sample.test)[:7] + texts_of(sample.valid)[:5]
    path = tmp_path_factory.mktemp("more") / "more.parquet"
    pyarrow.parquet.write_table(pa.table({"body": [f" {text.upper()}<br />" for text in texts]}), path)
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("RECURRA_CACHE", str(folder))
    return folder


def test_held_out_texts_are_found_in_other_spellings() -> None:
    held_out = HeldOut()
    held_out.add("validation", ["Good  film.", "bad"])
    held_out.add("test", ["dull <b>plot</b>"])
    corpus = corpus_of_texts(["GOOD film.", "fine", "Dull plot ", "dull", "bad\x85", "fine"], held_out)
    assert list(corpus) == ["fine", "dull", "fine"]
    assert corpus.left_out == {"test": 1, "validation": 2}
    assert corpus.remarks[0] == "1 of 6 unlabelled texts are in the test file: left out"


def test_a_network_begins_from_a_language_model_of_the_texts(
    sample: Files, more: Path, run: Run, tmp_path: Path, cache: Path
) -> None:
    out = tmp_path / "model"
    files = ("--valid", sample.valid, "--test", sample.test, "--unlabeled", more)
    ran = run("fit", sample.train, "--out", out, *files, *QUICK)
    assert ran.code == 0, ran.err
    assert "7 of 162 unlabelled texts are in the test file: left out" in ran.out
    assert "5 of 162 unlabelled texts are among the validation rows: left out" in ran.out
    (learned,) = cache.glob("*.language-model")
    assert not (learned / "training").exists()
    model, source = load(out), load(learned)
    assert model.config.recipe == "unlabeled"
    assert model.pretrained is not None
    assert model.pretrained["layers"] == 1
    assert model.metrics["training"]["unlabeled"] == {
        "name": "more.parquet", "texts": 150, "left_out": {"test": 7, "validation": 5}, "method": "both"
    }  # fmt: skip
    assert model.assets.words() == source.assets.words()
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "150 texts without labels (`more.parquet`) were training rows" in card
    assert "7 more that are in the test file were left out" in card


class Interrupting(Reporter):
    """A Ctrl-C after some batches."""

    def __init__(self, batches: int) -> None:
        self.batches = batches

    def observer(self) -> Observer:
        outer = self

        class Count(Observer):
            def on_batch(self, *args: object) -> None:
                outer.batches -= 1
                if outer.batches == 0:
                    signal.raise_signal(signal.SIGINT)

        return Count()


def fitted(sample: Files, seed: int = 1, reporter: Reporter | None = None) -> TextClassifier:
    texts = texts_of(sample.train)
    model = TextClassifier(
        units=8,
        embedding=6,
        epochs=2,
        unfreeze_after=1,
        vocab_size=60,
        random_state=seed,
        bidirectional=False,
        backend="torch",
        settings={
            "unlabeled": {"method": "language_model", "samples": 20, "batch_size": 2, "bptt": 5, "epochs": 2}
        },
    )
    validation = (texts[40:50], [0, 1] * 5)
    more = texts[45:75]
    return model.fit(texts[:40], [0, 1] * 20, validation_data=validation, unlabeled=more, reporter=reporter)


def test_an_interrupted_language_model_goes_on_and_is_learned_once(
    sample: Files, cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(KeyboardInterrupt, match="the same command goes on from there"):
        fitted(sample, reporter=Interrupting(9))
    (folder,) = cache.glob("*.language-model")
    assert (folder / "training" / "checkpoint.safetensors").exists()
    resumed = fitted(sample)
    assert not (folder / "training").exists()
    other = fitted(sample, seed=2)
    assert [*cache.glob("*.language-model")] == [folder]
    monkeypatch.setenv("RECURRA_CACHE", str(tmp_path / "other"))
    whole = fitted(sample)
    assert resumed.bundle_.pretrained == other.bundle_.pretrained == whole.bundle_.pretrained
    pairs = zip(resumed.bundle_.model.parameters(), whole.bundle_.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def test_what_does_not_go_together_is_refused(sample: Files, more: Path, run: Run, tmp_path: Path) -> None:
    files = ("fit", sample.train, "--out", tmp_path / "model", "--unlabeled", more)
    for options, said in (
        (("--pretrained", tmp_path, "--set", "unlabeled.method=both"), "choose one of them"),
        (("--set", "unlabeled.method=language_model"), "reads in one direction"),
        (("--task", "tag"), "task tag can't use unlabelled texts"),
    ):
        ran = run(*files, *options)
        assert ran.code == 2
        assert said in ran.err.splitlines()[-1]
    assert not (tmp_path / "model").exists()


def test_an_interrupted_fit_with_soft_labels_goes_on_to_the_same_weights(
    sample: Files, more: Path, tmp_path: Path, cache: Path
) -> None:
    settings = {
        "rules": False,
        "model": {"evidence": 300, "words": 50, "units": 6, "backend": "torch"},
        "tokenizer": {"vocab_size": 300},
        "train": {"epochs": 2, "batch_size": 32, "minutes": None},
        "unlabeled": {"vectors": 8, "passes": 2},
    }

    def fitted_to(name: str, reporter: Reporter | None = None, *, resume: bool = False) -> Fitted:
        return fit_files(
            sample.train, build_config(load_recipe("unlabeled"), settings), tmp_path / name,
            valid=sample.valid, test=sample.test, unlabeled=more, baseline=False, explained=0,
            reporter=reporter, resume=resume,
        )  # fmt: skip

    first = fitted_to("model", Interrupting(17))
    assert first.outcome.stopped == "interrupted"
    (labels,) = cache.glob("*.soft-labels.safetensors")
    written = labels.stat().st_ino  # the time is that of the last use
    resumed = fitted_to("model", resume=True)
    assert resumed.outcome.stopped == "epochs"
    assert labels.stat().st_ino == written
    whole = fitted_to("other")
    pairs = zip(resumed.bundle.model.parameters(), whole.bundle.model.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
    layer, of_whole = resumed.bundle.model.evidence, whole.bundle.model.evidence
    assert torch.equal(layer.weights, of_whole.weights)
    assert (layer.weights != 0).any()
    texts = [f"{text} again" for text in texts_of(sample.test)[:3]]
    one, other = (predict_texts(each.bundle, texts) for each in (resumed, whole))
    assert (one == other).all()
