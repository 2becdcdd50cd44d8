"""Evidence of n-grams in training: cross-fitted weights, groups in one fold, the same after saving."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import recurra
from recurra.io.batcher import Batches
from recurra.io.examples import Examples
from recurra.layers.evidence import NgramEvidence
from recurra.tasks.classification.evidence import fit_evidence, with_evidence
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import Part

VOCABULARY = 40


def part(groups: np.ndarray | None = None, rows: int = 120) -> Part:
    """Texts whose class is decided by whether they have the pair 10, 11."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, rows)
    ids = []
    for label in labels:
        text = rng.integers(12, VOCABULARY, 12)
        text[3:5] = (10, 11) if label else (11, 10)
        ids.append(text.astype(np.int32))
    examples = Examples.from_arrays(ids, labels, groups=groups)
    return Part("training", "", examples, np.arange(0, rows, 2), lambda rows: iter(()))


def test_the_evidence_of_a_row_is_of_a_model_that_was_not_trained_on_it() -> None:
    train = part()
    evidence = fit_evidence(train, "binary", 2, VOCABULARY, 1_000, Reporter())
    assert evidence.weights.shape == (5, len(evidence.keys), 1)
    assert sorted(np.bincount(evidence.model_of)) == [15, 15, 15, 15]
    layer, seen = NgramEvidence(VOCABULARY, 1_000, 1), []

    def loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return logits.sum()

    class Reads(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(
            self, tokens: torch.Tensor, lengths: torch.Tensor, evidence: torch.Tensor
        ) -> torch.Tensor:
            seen.append(evidence)
            return self.weight * evidence.sum()

    objective = with_evidence(layer, evidence, train, loss)
    (batch,) = Batches(train.examples, train.rows, 60).epoch(1)
    objective(Reads(), batch)
    own = layer(batch.tokens)
    for place, row in enumerate(batch.rows):
        fold = evidence.model_of[np.flatnonzero(train.rows == row)[0]]
        layer.set(evidence.keys, evidence.weights[fold], evidence.scales)
        assert torch.equal(layer(batch.tokens)[place], seen[0][place])
    assert not torch.equal(own, seen[0])
    pair = layer.keys_of(torch.tensor([[10, 11]]))[1][0, 1].item()
    column = np.searchsorted(evidence.keys, pair)
    assert evidence.keys[column] == pair
    assert (evidence.weights[:, column, 0] > 0).all()  # it speaks for class 1 in every model


@pytest.mark.parametrize("classes", [2, 3])
def test_the_labels_may_be_probabilities(classes: int) -> None:
    hard = part()
    codes = np.asarray(hard.examples.labels)
    p = np.where(codes > 0, 0.9, 0.2)
    soft = p if classes == 2 else np.stack([1 - p, p, np.zeros(120)], 1)
    train = replace(
        hard, examples=Examples(hard.examples.flat, hard.examples.offsets, soft.astype(np.float32))
    )
    kind, column = ("binary", 0) if classes == 2 else ("multiclass", 1)
    evidence = fit_evidence(train, kind, classes, VOCABULARY, 1_000, Reporter())
    assert evidence.weights.shape == (5, len(evidence.keys), 1 if classes == 2 else 3)
    assert sorted(np.bincount(evidence.model_of)) == [15, 15, 15, 15]
    layer = NgramEvidence(VOCABULARY, 1_000, 1)
    keys = layer.keys_of(torch.tensor([[10, 11, 10]]))[1][0, 1:].numpy()
    speaks = [evidence.weights[:, np.searchsorted(evidence.keys, key), column] for key in keys]
    assert (speaks[0] > 0).all()  # the pair 10, 11
    assert (speaks[1] < 0).all()  # the pair 11, 10
    sure = fit_evidence(hard, "binary", 2, VOCABULARY, 1_000, Reporter())
    assert np.abs(evidence.weights).max() < np.abs(sure.weights).max()  # .9 and .2, not 1 and 0


def test_groups_are_in_one_fold() -> None:
    groups = np.arange(120) // 6
    train = part(groups)
    model_of = fit_evidence(train, "binary", 2, VOCABULARY, 1_000, Reporter()).model_of
    for group in np.unique(groups):
        assert len(set(model_of[groups[train.rows] == group])) == 1


class Notes(Reporter):
    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@pytest.mark.parametrize("grouped", [False, True])
def test_of_many_tokens_rows_are_drawn_and_the_others_get_the_model_of_all_drawn(
    grouped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, notes = part(np.arange(120) // 4 if grouped else None), Notes()
    monkeypatch.setattr("recurra.tasks.classification.evidence._WORK", 12 * 40)
    evidence = fit_evidence(train, "binary", 2, VOCABULARY, 1_000, notes)
    assert notes.said == ["the evidence is fitted on 40 of 60 rows, drawn at random"]
    assert np.bincount(evidence.model_of)[4] == 20
    if grouped:
        for group in np.unique(train.examples.groups):
            assert len(set(evidence.model_of[train.examples.groups[train.rows] == group])) == 1
    monkeypatch.undo()
    drawn = replace(train, rows=train.rows[evidence.model_of < 4])
    alone = fit_evidence(drawn, "binary", 2, VOCABULARY, 1_000, Reporter())
    assert (alone.keys == evidence.keys).all()
    assert alone.weights[4] == pytest.approx(evidence.weights[4], abs=1e-6)


def test_the_most_frequent_n_grams_are_kept() -> None:
    evidence = fit_evidence(part(), "binary", 2, VOCABULARY, 5, Reporter())
    assert len(evidence.keys) == 5
    assert (np.diff(evidence.keys) > 0).all()


@pytest.mark.parametrize("classes", [2, 3])
def test_a_classifier_with_evidence_is_the_same_after_saving(tmp_path: Path, classes: int) -> None:
    words = ["good film", "bad film", "dull book"][:classes]
    texts = [f"a {words[n % classes]} of {n % 7} parts" for n in range(60)]
    labels = [words[n % classes] for n in range(60)]
    model = recurra.TextClassifier(evidence=500, words=20, units=4, embedding=4, epochs=2, pooling="mean")
    model.fit(texts, labels)
    model.save(tmp_path / "model")
    loaded = recurra.TextClassifier.load(tmp_path / "model")
    new = ["a good book", "bad", "", "parts of a dull film"]
    np.testing.assert_array_equal(loaded.predict_proba(new), model.predict_proba(new))
    alone = np.concatenate([model.predict_proba([text]) for text in new])
    np.testing.assert_allclose(alone, model.predict_proba(new), atol=1e-6)
