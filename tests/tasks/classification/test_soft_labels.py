"""Soft labels of unlabelled texts: probabilities of the n-grams, kept; the loss of labels between 0 and 1."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from recurra import TextClassifier
from recurra.config import load_recipe
from recurra.measure.calibration import probabilities
from recurra.tasks.classification import soft_labels, teacher
from recurra.tasks.classification.assess import fit_baseline
from recurra.tasks.classification.network import classification_loss
from recurra.tasks.classification.prepare import prepare
from recurra.tasks.classification.soft_labels import with_soft_labels
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from tests.conftest import SMALL, Files


class Told(Reporter):
    """Keeps the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_texts_are_training_rows_with_the_probabilities_of_the_ngrams(
    sample: Files, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECURRA_CACHE", str(tmp_path))
    config = build_config(
        load_recipe("unlabeled"), SMALL, {"data": {"label_kind": kind}, "unlabeled": {"vectors": 0}}
    )
    quiet = Reporter()
    prepared = prepare(sample.train, config, quiet, test=sample.test, unlabeled=sample.valid)
    found = with_soft_labels(prepared, quiet)
    soft, train, corpus = found.soft, found.train, found.corpus
    assert soft is not None
    assert corpus is not None
    assert len(soft) == len(train) + len(corpus)
    labels, texts = soft.labels, list(corpus)
    hard = np.eye(2)[train.labels] if kind == "multiclass" else train.labels
    np.testing.assert_array_equal(labels[: len(train)], hard)
    p = probabilities(fit_baseline(prepared, quiet).logits(texts), kind)
    np.testing.assert_allclose(labels[len(train) :], p[:, 1] if kind == "binary" else p, rtol=1e-6)
    ids = prepared.assets.tokenizer.encode(texts[-1:]).ids[0]
    np.testing.assert_array_equal(soft.examples.ids(len(soft) - 1), ids)
    assert found.key != prepared.key  # a resumed run must have the same labels

    monkeypatch.setattr(soft_labels, "fit_baseline", None)  # the second time they are in the cache
    again = with_soft_labels(replace(prepared), quiet)
    assert again.soft is not None
    np.testing.assert_array_equal(again.soft.labels, labels)


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_document_vectors_label_the_texts_together_with_the_ngrams(
    sample: Files, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECURRA_CACHE", str(tmp_path))
    monkeypatch.setattr(teacher, "_VISITS", 0)
    settings = {"data": {"label_kind": kind}, "unlabeled": {"vectors": 16, "passes": 30}}
    prepared = prepare(
        sample.train, build_config(load_recipe("unlabeled"), SMALL, settings), Told(), unlabeled=sample.test
    )
    told = Told()
    found = with_soft_labels(prepared, told)
    corpus, soft, before = found.corpus, found.soft, len(found.train)
    assert corpus is not None
    assert soft is not None
    hard = np.eye(2)[found.train.labels] if kind == "multiclass" else found.train.labels
    np.testing.assert_array_equal(soft.labels[:before], hard)
    p = probabilities(fit_baseline(prepared, Reporter()).logits(list(corpus)), kind)
    ngrams, labels = (p[:, 1] if kind == "binary" else p), soft.labels[before:]
    assert labels.shape == ngrams.shape
    assert np.abs(labels - ngrams).max() > 0.01
    assert 0 <= labels.min() <= labels.max() <= 1
    assert "labelled by document vectors (30 passes" in told.notes[-1]
    if kind == "multiclass":
        np.testing.assert_allclose(labels.sum(axis=1), 1, rtol=1e-5)

    monkeypatch.setattr(soft_labels, "logits_of_texts", None)  # the second time they are in the cache
    again = with_soft_labels(replace(prepared), Reporter())
    assert again.soft is not None
    np.testing.assert_array_equal(again.soft.labels, soft.labels)
    (file,) = tmp_path.glob("*.soft-labels.safetensors")
    file.write_bytes(b"damaged")
    with pytest.raises(TypeError):  # it is not read, and what would replace it is not there
        with_soft_labels(replace(prepared), Reporter())


def test_groups_of_labelled_rows_are_those_of_all_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECURRA_CACHE", str(tmp_path))
    rows = [
        (f"{'good' if i % 2 else 'bad'} film number {i}", "no" if i % 2 else "yes", i // 4) for i in range(60)
    ]
    (tmp_path / "train.csv").write_text(
        "text,label,film\n" + "\n".join(f"{text},{label},{film}" for text, label, film in rows),
        encoding="utf-8",
    )
    (tmp_path / "more.txt").write_text("\n".join(f"good book {i}" for i in range(9)), encoding="utf-8")
    settings = {"data": {"group": "film"}, "unlabeled": {"vectors": 4, "passes": 1}}
    config = build_config(load_recipe("unlabeled"), SMALL, settings)
    prepared = prepare(tmp_path / "train.csv", config, Reporter(), unlabeled=tmp_path / "more.txt")
    soft = with_soft_labels(prepared, Reporter()).soft
    assert soft is not None
    groups, train = soft.examples.groups, prepared.train
    assert groups is not None
    assert train.examples.groups is not None
    np.testing.assert_array_equal(groups[: len(train)], train.examples.groups[train.rows])
    assert len(set(groups[len(train) :].tolist()) - set(groups[: len(train)].tolist())) == 9


@pytest.mark.parametrize("weights", [None, (0.5, 2.0)])
def test_the_loss_of_a_soft_label_is_the_mean_over_the_classes(weights: tuple[float, ...] | None) -> None:
    logits, p = torch.tensor([[0.3], [-1.2]]), torch.tensor([0.2, 0.9])
    binary = classification_loss("binary", weights)
    zeros, ones = torch.zeros(1), torch.ones(1)
    for row in range(2):
        z, share = logits[row : row + 1], p[row : row + 1]
        if weights is None:
            expected = (1 - share) * binary(z, zeros) + share * binary(z, ones)
            assert torch.allclose(binary(z, share), expected)
        both = classification_loss("multiclass", weights)
        pair = torch.cat([torch.zeros(1, 1), z], 1)
        assert torch.allclose(both(pair, torch.stack([1 - share, share], 1)), binary(z, share))
        assert torch.allclose(both(pair, torch.eye(2)[1:]), both(pair, torch.tensor([1])))


def test_texts_given_from_python_are_labelled_too() -> None:
    texts = [f"{'good' if n % 2 else 'bad'} film of {n % 9} parts" for n in range(60)]
    labels = ["yes" if n % 2 else "no" for n in range(60)]
    told = Told()
    model = TextClassifier(
        units=4, embedding=4, epochs=1, evidence=200, words=20, backend="torch",
        settings={"rules": False, "unlabeled": {"vectors": 8, "passes": 5}},
    )  # fmt: skip
    model.fit(texts, labels, unlabeled=[f"good book {n}" for n in range(20)], reporter=told)
    assert any("labelled by document vectors" in note for note in told.notes)
    assert model.predict_proba(["a good book", ""]).shape == (2, 2)
