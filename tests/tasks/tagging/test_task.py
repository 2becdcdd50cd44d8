"""Tagging from files to answers: learned where a table of words is blind, resumed bit for bit, refused."""

from __future__ import annotations

import csv
import html
import io
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest
import safetensors.numpy
from seqeval.metrics import sequence_labeling
from sklearn.base import clone
from sklearn.model_selection import KFold, cross_val_score

from recurra import store
from recurra.config import Config, load_recipe, updated
from recurra.errors import ConfigError, DataError
from recurra.tasks.fit import Fitted, fit_files
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.tagging.assess import tags_of
from recurra.tasks.tagging.entities import entity_figures
from recurra.tasks.tagging.estimator import SequenceTagger
from recurra.tasks.tagging.prepare import learn, numbered
from recurra.tasks.tagging.schemes import SCHEMES
from recurra.tasks.tagging.sentences import Sentence
from recurra.tasks.tagging.settings import TaggerConfig
from recurra.tasks.tagging.study import STUDY
from recurra.tasks.tagging.task import TASK
from recurra.tasks.use import load
from recurra.train.observer import Observer
from tests.conftest import Run

STEMS = ["ba", "do", "ki", "lu", "me", "po", "ra", "su", "ti", "vo"]


def invented(count: int, seed: int, *, new: bool = False) -> list[list[tuple[str, str]]]:
    """A language in which endings tell nouns from verbs, and `wa` is a verb after a noun, else a particle.

    ``new`` writes stems that the others never have.
    """
    random = np.random.default_rng(seed)
    stems = [f"{a}{b}{'x' if new else ''}" for a in STEMS for b in STEMS]
    found = []
    for _ in range(count):
        words: list[tuple[str, str]] = []
        for _ in range(random.integers(2, 6)):
            kind = random.choice(["NOUN", "VERB", "wa"])
            stem = stems[random.integers(len(stems))]
            if kind == "wa":
                after_noun = bool(words) and words[-1][1] == "NOUN"
                words.append(("wa", "VERB" if after_noun else "PART"))
            else:
                words.append((stem + ("on" if kind == "NOUN" else "ar"), str(kind)))
        found.append(words)
    return found


def conllu(sentences: Sequence[Sequence[tuple[str, str]]]) -> str:
    lines = []
    for sentence in sentences:
        lines += [f"{n}\t{word}\t_\t{tag}\t_\t_\t0\troot\t_\t_" for n, (word, tag) in enumerate(sentence, 1)]
        lines.append("")
    return "\n".join(lines) + "\n"


class Treebank(NamedTuple):
    train: Path
    valid: Path
    test: Path


@pytest.fixture(scope="module")
def treebank(tmp_path_factory: pytest.TempPathFactory) -> Treebank:
    folder = tmp_path_factory.mktemp("treebank")
    sizes = {"train": (240, 1, False), "valid": (40, 2, False), "test": (60, 3, True)}
    for name, (count, seed, new) in sizes.items():
        (folder / f"{name}.conllu").write_text(conllu(invented(count, seed, new=new)), encoding="utf-8")
    return Treebank(*(folder / f"{name}.conllu" for name in sizes))


SMALL = {
    "tagging": {"character_units": 12, "character_embedding": 8, "character_dropout": 0.1},
    "model": {"units": 16, "layers": 1, "embedding": 8, "dropout": 0.1, "head_dropout": 0.1},
    "train": {"epochs": 8, "batch_size": 8, "learning_rate": 0.02},
}
QUICK = {
    "tagging": {"character_units": 3, "character_embedding": 3},
    "model": {"units": 4, "layers": 1, "embedding": 3},
    "train": {"epochs": 2, "batch_size": 32},
}


def config(*layers: dict[str, object]) -> Config:
    return build_config(load_recipe("tagger"), *layers)


@pytest.fixture(scope="module")
def fitted(treebank: Treebank, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    out = tmp_path_factory.mktemp("fitted") / "model"
    return fit_files(treebank.train, config(SMALL), out, valid=treebank.valid, test=treebank.test)


def test_words_never_seen_are_tagged_by_their_spelling_and_place(fitted: Fitted) -> None:
    figures = fitted.as_json()
    model, baseline = figures["model"], figures["baseline"]
    assert figures["task"] == "tag"
    assert figures["evaluated_on"] == "test"
    assert model["known"]["count"] + model["unknown"]["count"] == model["words"]["count"]
    assert model["unknown"]["accuracy"] > 0.97
    assert model["known"]["accuracy"] > 0.95  # all of these are `wa`, whose tag hangs on the word before
    assert baseline["known"]["accuracy"] < 0.8
    assert baseline["unknown"]["accuracy"] < 0.7
    assert figures["comparison"]["shown"]
    assert figures["comparison"]["difference"] == pytest.approx(
        model["words"]["accuracy"] - baseline["words"]["accuracy"]
    )


def test_what_lies_in_the_directory_tells_the_same(fitted: Fitted, treebank: Treebank, run: Run) -> None:
    page = (fitted.folder / "report.html").read_text(encoding="utf-8")
    card = (fitted.folder / "README.md").read_text(encoding="utf-8")
    accuracy = f"{100 * fitted.as_json()['model']['words']['accuracy']:.2f}%"
    for text in (page, card):
        assert accuracy in text
        assert "most frequent tag" in text
    assert "<h2>Tags</h2>" in page
    saved = load(fitted.folder)
    assert saved.task == "tag"
    assert saved.assets.labels.names == ("NOUN", "PART", "VERB")
    assert len(saved.assets.words()) == saved.model.embedding.num_embeddings
    (fitted.folder.parent / "moved.conllu").write_bytes(treebank.test.read_bytes())
    ran = run("evaluate", fitted.folder, fitted.folder.parent / "moved.conllu", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    assert found["model"] == fitted.as_json()["model"]
    assert found["baseline"] == fitted.as_json()["baseline"]
    report = fitted.folder.parent / "page.html"
    ran = run("evaluate", fitted.folder, treebank.test, "--no-baseline", "--report", report)
    assert ran.code == 0
    assert "none: spans are not measured" in " ".join(ran.out.split())
    assert accuracy in report.read_text(encoding="utf-8")


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_answers_stand_beside_their_words(
    fitted: Fitted, treebank: Treebank, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentences = invented(60, 3, new=True)
    plain = tmp_path / "plain.txt"
    plain.write_text("\n".join(" ".join(w for w, _ in s) for s in sentences) + "\n", encoding="utf-8")
    answers = rows(run("predict", fitted.folder, treebank.test).out)
    words = [(str(n), str(at), w) for n, s in enumerate(sentences, 1) for at, (w, _) in enumerate(s, 1)]
    assert [(a["sentence"], a["position"], a["word"]) for a in answers] == words
    right = [a["tag"] == tag for a, (_, tag) in zip(answers, (w for s in sentences for w in s), strict=True)]
    assert np.mean(right) == pytest.approx(fitted.as_json()["model"]["words"]["accuracy"])
    assert all(1 / 3 <= float(a["probability"]) <= 1 for a in answers)
    assert rows(run("predict", fitted.folder, plain).out) == answers
    for content in (plain.read_bytes(), treebank.test.read_bytes()):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        piped = rows(run("predict", fitted.folder, "-").out)
        assert [(a["word"], a["tag"]) for a in piped] == [(a["word"], a["tag"]) for a in answers]
    run("predict", fitted.folder, plain, "--jobs", 2, "--out", tmp_path / "shared.csv")
    assert rows((tmp_path / "shared.csv").read_text(encoding="utf-8")) == answers
    run("predict", fitted.folder, plain, "--out", tmp_path / "tags.parquet")
    assert [row["tag"] for row in pq.read_table(tmp_path / "tags.parquet").to_pylist()] == [
        answer["tag"] for answer in answers
    ]
    assert "no columns" in run("predict", fitted.folder, plain, "--keep", "word").err
    text = run("predict", fitted.folder, "--text", "baxbaxon, wa!", "--format", "jsonl")
    found = [json.loads(line) for line in text.out.splitlines()]
    assert [one["word"] for one in found] == ["baxbaxon", ",", "wa", "!"]
    assert found[0]["tag"] == "NOUN"


def test_answers_have_the_numbers_of_lines_texts_and_sentences(
    fitted: Fitted, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers can be joined with the input by number: what has no words has a number, but no answer."""

    def numbers(*arguments: object) -> list[tuple[str, str]]:
        ran = run("predict", fitted.folder, *arguments)
        assert ran.code == 0, ran.err
        return [(answer["sentence"], answer["word"]) for answer in rows(ran.out)]

    def piped(content: str) -> list[tuple[str, str]]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
        return numbers("-")

    lines = tmp_path / "lines.txt"
    for content, expected in {
        "baon\n\nwa\n \n\t\nbaar wa\n\n": [("1", "baon"), ("3", "wa"), ("6", "baar"), ("6", "wa")],
        "\n\r\nbaon\r\n": [("3", "baon")],
    }.items():
        lines.write_text(content, newline="")
        assert numbers(lines) == expected
        assert piped(content) == expected
    assert piped("\n \n") == piped("") == []
    sentences = "\n\n" + "\n\n".join(conllu([[(word, "NOUN")]]) for word in ("baon", "wa", "baar"))
    treebank = tmp_path / "a.conllu"
    treebank.write_text(sentences)
    expected = [("1", "baon"), ("2", "wa"), ("3", "baar")]
    assert numbers(treebank) == expected
    assert piped(sentences) == expected
    assert numbers("--text", "", "--text", "baon", "--text", " ", "--text", "wa") == [
        ("2", "baon"),
        ("4", "wa"),
    ]
    ran = run("predict", fitted.folder, "--text", " ")
    assert (ran.code, rows(ran.out)) == (0, [])
    assert "text 1 has no words, and no answers" in ran.err


def test_settings_of_the_file_hold_for_files_and_streams(
    fitted: Fitted, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = b"baon/X wa\n\xff/X\nbaon/X\n"
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    options = ["--set", "tagging.format=brown", "--skip-bad-rows"]
    for file in (path, "-"):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
        ran = run("predict", fitted.folder, file, *options)
        assert ran.code == 0, ran.err
        found = [(answer["sentence"], answer["word"]) for answer in rows(ran.out)]
        assert found == [("1", "baon"), ("1", "wa"), ("3", "baon")]
        assert "skipped 1 broken row: row 2: is not UTF-8" in ran.err


class Stopping(Observer):
    """Fails at a batch, as a machine may."""

    def __init__(self, batches: int) -> None:
        self.left = batches

    def on_batch(self, epoch: int, batch: int, loss: float, tokens: int, seconds: float) -> None:
        self.left -= 1
        if not self.left:
            raise RuntimeError("broken off")


class Failing(Reporter):
    def __init__(self, batches: int) -> None:
        self.batches = batches

    def observer(self) -> Observer:
        return Stopping(self.batches)


def test_a_broken_off_fit_goes_on_to_the_same_bytes(treebank: Treebank, tmp_path: Path) -> None:
    """Dropped words and masks come from the generator whose state the checkpoint has."""
    often = {
        "train": {"checkpoint_minutes": 1e-6},
        "tagging": {"word_dropout": 0.3, "character_dropout": 0.3},
    }
    mine = config(QUICK, often)
    files = {"valid": treebank.valid, "baseline": False}
    whole = fit_files(treebank.train, mine, tmp_path / "whole", **files)
    with pytest.raises(RuntimeError, match="broken off"):
        fit_files(treebank.train, mine, tmp_path / "broken", reporter=Failing(11), **files)
    assert not store.is_bundle(tmp_path / "broken")
    resumed = fit_files(treebank.train, mine, tmp_path / "broken", resume=True, **files)
    one, other = (safetensors.numpy.load_file(f.folder / "model.safetensors") for f in (whole, resumed))
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)
    with pytest.raises(ConfigError, match="tagging"):
        fit_files(
            treebank.train, config(QUICK, often, {"tagging": {"word_dropout": 0.1}}), tmp_path / "broken",
            resume=True, **files,
        )  # fmt: skip


def test_sentences_are_held_out_and_columns_do_as_well(tmp_path: Path, run: Run) -> None:
    lines = ["\n".join(f"{word} x {tag}" for word, tag in sentence) for sentence in invented(60, 5)]
    data = tmp_path / "train.txt"
    data.write_text("\n\n".join(lines).replace("NOUN", "B-N").replace("VERB", "I-N").replace("PART", "O"))
    settings = [f"{s}.{k}={v}" for s, some in QUICK.items() for k, v in some.items()]
    options = [part for one in settings for part in ("--set", one)]
    ran = run("fit", data, "--task", "tag", "--out", tmp_path / "m", "--json", *options)
    assert ran.code == 0, ran.err
    figures = json.loads(ran.out)
    assert figures["evaluated_on"] == "validation"
    assert figures["model"]["sentences"]["count"] == 6
    assert figures["scheme"] == figures["model"]["entities"]["scheme"] == "IOB2"
    assert figures["model"]["entities"]["entities"] > 0
    assert figures["baseline"]["entities"]["strict"]["entities"] > 0
    answers = rows(run("predict", tmp_path / "m", data).out)
    assert [a["word"] for a in answers] == [word for sentence in invented(60, 5) for word, _ in sentence]


def spans(count: int) -> list[list[tuple[str, str]]]:
    """Sentences in which a name is one or two words, tagged in IOBES."""
    names = [[("ann", "S-PER")], [("ann", "B-PER"), ("lee", "E-PER")]]
    return [[*names[n % 2], ("runs", "O")] for n in range(count)]


def test_the_scheme_is_said_wherever_the_figures_are(tmp_path: Path, run: Run) -> None:
    data = tmp_path / "spans.txt"
    data.write_text("\n".join(" ".join(f"{word}/{tag}" for word, tag in sentence) for sentence in spans(40)))
    options = [f"--set={s}.{k}={v}" for s, some in QUICK.items() for k, v in some.items()]
    ran = run("fit", data, "--out", tmp_path / "m", *options)
    assert ran.code == 0, ran.err
    said = " ".join(ran.out.split())
    assert "format a sentence a line, words as word/tag" in said
    assert "scheme IOBES: spans are measured" in said
    assert "F1 of spans (IOBES)" in said
    assert re.search(r"F1 of spans, strict( \d\.\d{3} \(\d\.\d{3} to \d\.\d{3}\)){2}", said)
    written = json.loads((tmp_path / "m" / "metrics.json").read_text())
    spans_found = written["model"]["entities"]
    low, high = spans_found["f1_interval"]
    assert low <= spans_found["f1"] <= high
    verdict = written["span_comparison"]["sentence"]
    assert verdict.startswith("F1 of spans: ")
    interval = f"{spans_found['f1']:.3f} ({low:.3f} to {high:.3f})"
    assert verdict in said
    assert interval in said
    for page in ("README.md", "report.html"):
        shown = html.unescape((tmp_path / "m" / page).read_text())
        assert verdict in shown
        assert interval in shown
    assert load(tmp_path / "m").config.tagging.scheme == "iobes"
    assert written["scheme"] == "IOBES"
    assert "Scheme of spans: IOBES" in (tmp_path / "m" / "README.md").read_text()
    assert "The tags have the scheme IOBES" in (tmp_path / "m" / "report.html").read_text()
    # A file whose tags alone would be read as another scheme is measured in that of training.
    single = tmp_path / "single.tsv"
    single.write_text("ann\tB-PER\nruns\tO\n")
    ran = run("evaluate", tmp_path / "m", single, "--json")
    assert ran.code == 0, ran.err
    assert json.loads(ran.out)["scheme"] == "IOBES"
    ran = run("fit", data, "--task", "tag", "--out", tmp_path / "n", *options, "--set", "tagging.scheme=iob2")
    assert ran.code == 2
    assert "tagging.scheme: the tag 'E-PER' is not of the scheme IOB2; remove the setting" in ran.err


def test_the_estimator_measures_spans() -> None:
    sentences = spans(40)
    X, y = ([[pair[part] for pair in sentence] for sentence in sentences] for part in (0, 1))
    quick = SequenceTagger(units=3, layers=1, embedding=3, character_units=2, epochs=1).fit(X, y)
    assert quick.bundle_.config.tagging.scheme == "iobes"
    found = quick.evaluate(X, y)
    predicted = quick.predict(X)
    known = [sequence_labeling.get_entities(tags) for tags in (y, predicted)]
    right = len(set(known[0]) & set(known[1]))
    assert found["span_recall"] == right / len(known[0])
    assert found["span_precision"] == (right / len(known[1]) if known[1] else 0)
    assert found["accuracy"] == quick.score(X, y)
    assert "span_f1" not in clone(quick).set_params(scheme="none").fit(X, y).evaluate(X, y)


def test_the_files_of_a_study_are_read_whatever_the_training_file_was(tmp_path: Path) -> None:
    data = tmp_path / "a.txt"
    rows = [[(word, "x", tag, "O") for word, tag in sentence] for sentence in spans(20)]
    data.write_text("\n\n".join("\n".join(" ".join(row) for row in sentence) for sentence in rows))
    mine = config(QUICK, {"tagging": {"column": 3, "format": "columns"}})
    prepared = TASK.prepare(data, mine, Reporter())
    written = STUDY.write(prepared, tmp_path)
    again = TASK.prepare(tmp_path / written.train, updated(mine, written.settings), Reporter())
    assert again.assets.labels == prepared.assets.labels
    assert again.config.tagging.scheme == prepared.config.tagging.scheme == "iobes"


def test_tags_without_a_scheme_are_named_as_such(fitted: Fitted) -> None:
    assert fitted.as_json()["scheme"] is None
    assert fitted.as_json()["model"]["entities"] is None
    assert "Scheme of spans: none" in (fitted.folder / "README.md").read_text()
    assert "none: spans are not measured" in (fitted.folder / "report.html").read_text()


def test_spans_with_tags_that_training_has_not_are_missed() -> None:
    part = numbered(
        "test", "here", [Sentence(("a", "b"), ("B-X", "B-NEW"), 1)],
        learn([Sentence(("a", "b"), ("B-X", "O"), 1)] * 2, [Sentence(("a", "b"), ("B-X", "O"), 1)],
              TaggerConfig()),
        updated(TaggerConfig(), {"tagging": {"unknown_tags": "wrong"}}),
    )  # fmt: skip
    true, said = tags_of(part, np.eye(2)[[0, 1]], ("B-X", "O"))
    found = entity_figures(true, said, SCHEMES["iob2"])
    assert (found.entities, found.predicted, found.recall) == (2, 1, 0.5)


def test_tags_that_training_has_not(treebank: Treebank, fitted: Fitted, tmp_path: Path, run: Run) -> None:
    strange = tmp_path / "strange.conllu"
    strange.write_text(conllu([[("baon", "NOUN"), ("wa", "VERB")], [("baar", "VERB"), ("ha", "INTJ")]]))
    ran = run("evaluate", fitted.folder, strange)
    assert ran.code == 2
    assert f"{strange}, row 4: the sentence has 'ha' tagged 'INTJ', which is not among the 3 tags" in ran.err
    lenient = config(QUICK, {"tagging": {"unknown_tags": "wrong"}})
    found = fit_files(treebank.train, lenient, tmp_path / "m", valid=strange, test=strange).as_json()
    assert found["model"]["foreign"] == 1
    assert found["model"]["words"]["accuracy"] <= 0.75


@pytest.mark.parametrize(
    ("content", "settings", "complaint"),
    [
        (conllu([[("a", "X")], [("b", "_")]]), [], "row 3: the word 'b' has no UPOS tag"),
        (conllu([[("a", "X")], [("b", "X")]]), [], "there is only one tag ('X')"),
        (conllu([[("a", "X"), ("b", "Y")]]), [], "one sentence can't be split"),
        (conllu([[("a", f"X{n}")] for n in range(1_001)]), [], "1,001 different tags of 1,001 words"),
        (conllu([[("a", "X")], [("b", "Y")]]), ["model.pooling=max"], "model.pooling: is not a setting"),
        (conllu([[("a", "X")], [("b", "Y")]]), ["data.text=[a]"], "data.text: is not a setting of taggers"),
        (conllu([[("a", "X")], [("b", "Y")]]), ["train.class_weight=balanced"], "tags have no class weights"),
        (conllu([[("a", "X")], [("b", "Y")]]), ["train.monitor=auc"], "auc"),
    ],
)  # fmt: skip
def test_mistakes_are_one_line_and_leave_nothing(
    tmp_path: Path, run: Run, content: str, settings: list[str], complaint: str
) -> None:
    data = tmp_path / "a.conllu"
    data.write_text(content)
    options = [part for one in settings for part in ("--set", one)]
    ran = run("fit", data, "--task", "tag", "--out", tmp_path / "m", *options)
    assert ran.code == 2
    assert complaint in ran.err.splitlines()[-1]
    assert not store.is_bundle(tmp_path / "m")


def test_words_begin_from_vectors(treebank: Treebank, tmp_path: Path) -> None:
    vectors = tmp_path / "some.vec"
    vectors.write_text("2 3\nwa 1 2 3\nbabaon 4 5 6\n", encoding="utf-8")
    frozen = {"train": {"pretrained": str(vectors), "freeze": True, "epochs": 1}, "model": {"units": 4}}
    small = {"tagging": QUICK["tagging"], "model": {"layers": 1}}
    mine = build_config({"task": "tag"}, small, frozen)
    found = fit_files(treebank.train, mine, tmp_path / "m", valid=treebank.valid, baseline=False)
    bundle = load(found.folder)
    table = bundle.model.embedding.weight.detach()
    assert table[bundle.assets.vocabulary.word_number("wa")].tolist() == [1, 2, 3]
    assert table[1].tolist() == table[bundle.assets.vocabulary.word_number("kilutiar")].tolist()
    assert found.as_json()["pretrained"]["words"] == 1 + (bundle.assets.vocabulary.word_number("babaon") > 1)
    trained = [name for name, weight in bundle.model.named_parameters() if weight.requires_grad]
    assert "embedding.weight" not in trained
    assert any("spelling" in name for name in trained)


def test_the_estimator_is_the_command_lines_tagger(tmp_path: Path) -> None:
    both = invented(200, 1), invented(40, 3, new=True)
    (X, y), (new, truth) = (
        ([[w for w, _ in s] for s in some], [[t for _, t in s] for s in some]) for some in both
    )
    tagger = SequenceTagger(units=16, layers=1, embedding=8, character_units=12, epochs=8, batch_size=8,
                            learning_rate=0.02, dropout=0.1, head_dropout=0.1)  # fmt: skip
    tagger.fit(X, y)
    assert tagger.score(new, truth) > 0.9
    found = tagger.predict(new)
    assert [len(tags) for tags in found] == [len(words) for words in new]
    shares = tagger.predict_proba([*new[:2], [], new[2]])
    assert [len(share) for share in shares] == [len(new[0]), len(new[1]), 0, len(new[2])]
    assert all(np.allclose(share.sum(axis=1), 1) for share in shares)
    assert tagger.predict([[], []]) == [[], []]
    tagger.save(tmp_path / "m")
    again = SequenceTagger.load(tmp_path / "m")
    assert again.predict(new) == found
    assert again.get_params()["character_units"] == 12
    assert "character_lstm" in again.summary()
    quick = clone(tagger).set_params(epochs=1, units=3, character_units=2)
    assert len(cross_val_score(quick, X[:40], y[:40], cv=KFold(2), error_score="raise")) == 2


@pytest.mark.parametrize(
    ("X", "y", "complaint"),
    [
        ("a b", ["X", "Y"], "one string"),
        ([["a"]], [["X"], ["Y"]], "^1 sentences have 2 lists of tags"),
        ([["a"], "b"], [["X"], ["Y"]], "^X, row 2: the sentence is one string, not a list of words; "),
        ([["a"], ["b", "c"]], [["X"], ["Y"]], "^y, row 2: 2 words have 1 tags"),
        ([["a"], []], [["X"], []], "^X, row 2: the sentence has no words"),
        ([], [], "^X: there are no sentences"),
        ([["a"], [3]], [["X"], ["Y"]], "^X, row 2: one of the words is 3; give strings"),
        ([["a"], [" "]], [["X"], ["Y"]], "^X, row 2: one of the words is ' '; give strings"),
        ([["a"], ["b"]], [["X"], [None]], "^y, row 2: one of the tags is missing; give strings"),
        ([["a"], ["\udc80"]], [["X"], ["Y"]], "^X, row 2: the word has half of a surrogate pair"),
        ([["a"], ["b"]], [["X"], ["\udc80"]], "^y, row 2: the tag has half of a surrogate pair"),
        ([["a"], None], [["X"], ["Y"]], "^X, row 2: the words are missing; leave the sentence out"),
        ((words for words in [["a"]]), [["X"]], "^X: a generator was given for a list; .* give list"),
        ([["a"], (word for word in "b")], [["X"], ["Y"]], "^X, row 2: a generator was given for a list; "),
        ([["a"], ["b"]], None, "^y: None was given for a list; "),
    ],
)
def test_the_estimator_refuses_in_words(X: object, y: object, complaint: str) -> None:
    with pytest.raises(DataError, match=complaint):
        SequenceTagger().fit(X, y)  # type: ignore[arg-type]


def test_sentences_are_read_from_every_form() -> None:
    X, y = [["a", "b"], ["c"]] * 4, [["X", "Y"], ["Z"]] * 4
    quick = SequenceTagger(units=3, layers=1, embedding=3, character_units=2, epochs=1)
    expected = quick.fit(X, y, validation_data=(X, y)).predict(X)
    for form in (pd.Series, pl.Series, lambda rows: np.array(rows, dtype=object)):
        arrays = [np.array(words) for words in X]
        for sentences in (form(X), arrays):
            again = clone(quick).fit(sentences, form(y), validation_data=(form(X), form(y)))
            assert again.predict(sentences) == expected
    with pytest.raises(DataError, match=r"^validation_data: 8 sentences have 3 lists of tags"):
        clone(quick).fit(X, y, validation_data=(X, y[:3]))


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.parametrize(("column", "least"), [("upos", 0.80), ("xpos", 0.70)])
def test_a_real_treebank_is_learned(
    tmp_path: Path, data_folder: Path, run: Run, column: str, least: float
) -> None:
    files = [data_folder / "ud_ewt" / f"{part}.conllu.gz" for part in ("train", "dev", "test")]
    ran = run(
        "fit", files[0], "--valid", files[1], "--test", files[2], "--out", tmp_path / "m", "--json",
        "--set", "model.units=32", "--set", "model.layers=1", "--set", "tagging.character_units=16",
        "--set", "model.dropout=0.1", "--set", "model.head_dropout=0.1", "--set", "train.epochs=1",
        "--set", f"tagging.column={column}", "--set", "tagging.unknown_tags=wrong",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    figures = json.loads(ran.out)
    assert figures["model"]["words"]["count"] == 25_094
    assert figures["model"]["words"]["accuracy"] > least
    if column == "upos":
        assert figures["model"]["sentences"]["count"] == 2_077
        assert figures["model"]["unknown"]["count"] == 2_292
        assert figures["baseline"]["words"]["accuracy"] == pytest.approx(0.862, abs=0.001)
