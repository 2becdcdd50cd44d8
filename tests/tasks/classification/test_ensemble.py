"""An ensemble: averaged logits, members that learn as they would alone, one saved model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import recurra
from recurra.config import ModelConfig
from recurra.layers.summary import summarize
from recurra.tasks.classification.ensemble import Ensemble, loss_of_members
from recurra.tasks.classification.network import Classifier, classification_loss
from recurra.train.adversary import Adversary

SETTINGS = {"units": 4, "embedding": 6, "pooling": ["mean", "max"], "bidirectional": True}
TOKENS, LENGTHS = torch.tensor([[3, 4, 5, 6], [7, 3, 0, 0]]), torch.tensor([4, 2])


def ensemble(kind: str = "multiclass", **settings: object) -> Ensemble:
    torch.manual_seed(3)
    config = ModelConfig.model_validate({**SETTINGS, "members": 3, **settings})
    made = Ensemble(config, 12, 2 if kind == "binary" else 3, kind)
    if made.evidence is not None:
        keys = np.unique(torch.cat(made.evidence.keys_of(TOKENS)[:2]).numpy())
        weights = np.random.default_rng(1).normal(size=(len(keys), made.evidence.outputs))
        made.evidence.set(keys, weights, np.ones(made.evidence.features))
    return made


@pytest.mark.parametrize("evidence", [0, 20])
@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_logits_are_the_mean_of_the_members(kind: str, evidence: int) -> None:
    model = ensemble(kind, evidence=evidence, bigrams=8).eval()
    read = None if model.evidence is None else model.evidence(TOKENS)
    first = Classifier.forward(model, TOKENS, LENGTHS, read)
    others = [other(TOKENS, LENGTHS, read) for other in model.members()[1:]]
    assert len(others) == 2
    assert not torch.allclose(first, others[0])  # they begin from different weights
    torch.testing.assert_close(model(TOKENS, LENGTHS), (first + others[0] + others[1]) / 3)


def test_padding_has_no_effect() -> None:
    model = ensemble(evidence=20).eval()
    torch.testing.assert_close(model(TOKENS[1:, :2], LENGTHS[1:]), model(TOKENS, LENGTHS)[1:])


def test_a_member_learns_as_it_would_alone() -> None:
    model, loss = ensemble(), classification_loss("multiclass")
    labels, rows = torch.tensor([2, 0]), torch.tensor([0.5, 1.5])
    loss_of_members(loss)(model(TOKENS, LENGTHS), labels, rows).backward()
    last = model.members()[-1]
    together = [weight.grad.clone() for weight in last.parameters() if weight.grad is not None]
    last.zero_grad()
    loss(last(TOKENS, LENGTHS), labels, rows).backward()
    alone = [weight.grad for weight in last.parameters()]
    assert len(together) == len(alone)
    for one, other in zip(together, alone, strict=True):
        assert other is not None
        torch.testing.assert_close(3 * one, other)


def test_every_parameter_is_in_one_layer_group_and_in_the_summary() -> None:
    model = ensemble(bigrams=8)
    grouped = [weight for group in model.layer_groups() for weight in group]
    assert sorted(map(id, grouped)) == sorted(map(id, model.parameters()))
    assert summarize(model).total == sum(weight.numel() for weight in model.parameters())


def test_the_vectors_of_every_member_are_perturbed_and_come_back() -> None:
    model, loss = ensemble(), loss_of_members(classification_loss("multiclass"))
    tables = [member.embedding.weight for member in model.members()]
    before = [table.detach().clone() for table in tables]
    loss(model(TOKENS, LENGTHS), torch.tensor([2, 0])).backward()
    with Adversary(model, 0.2).in_place() as perturbed:
        assert perturbed
        for table, old in zip(tables, before, strict=True):
            assert not torch.equal(table, old)
    for table, old in zip(tables, before, strict=True):
        assert torch.equal(table, old)


def test_the_shares_of_labels_begin_in_every_member() -> None:
    model = ensemble("multilabel")
    model.expect(np.array([0.5, 0.25, 0.1]))
    for member in model.members():
        assert isinstance(member, Classifier)
        torch.testing.assert_close(torch.sigmoid(member.head.bias), torch.tensor([0.5, 0.25, 0.1]))


def test_a_fitted_ensemble_is_saved_and_read(tmp_path: Path) -> None:
    texts = [f"{'good' if row % 2 else 'bad'} number {row % 7}" for row in range(60)]
    labels = ["yes" if row % 2 else "no" for row in range(60)]
    settings = {"model": {"experts": ["recurrent"], "members": 2, "evidence": 100, "words": 5}}
    settings = {**settings, "train": {"epochs": 2}, "rules": False}
    model = recurra.TextClassifier(settings=settings, random_state=1).fit(texts, labels)
    model.save(tmp_path / "model")
    again = recurra.TextClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(model.predict_proba(texts[:9]), again.predict_proba(texts[:9]))
    assert isinstance(model.bundle_.model, Ensemble)


def test_members_begin_from_the_same_pretrained_vectors(tmp_path: Path) -> None:
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("good 1 2 3\nbad 4 5 6\n", encoding="utf-8")
    texts = ["good film", "bad film"] * 8
    settings = {"model": {"experts": ["recurrent"], "members": 2, "units": 3}, "rules": False}
    settings = {**settings, "train": {"epochs": 1, "pretrained": str(vectors), "freeze": True}}
    model = recurra.TextClassifier("lstm", settings=settings, random_state=1).fit(texts, ["yes", "no"] * 8)
    first, second = (member.embedding.weight for member in model.bundle_.model.members())
    assert torch.equal(first, second)
