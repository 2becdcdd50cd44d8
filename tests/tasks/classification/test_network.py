"""The classifier: what its settings build, that padding never shows, that it learns."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from recurra.config import ModelConfig
from recurra.layers.bigrams import bigram_ids
from recurra.tasks.classification.network import Classifier, classification_loss

LENGTHS = torch.tensor([9, 4, 1])


def tokens(T: int = 9) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    ids = torch.zeros(3, T, dtype=torch.int64)
    ids[:, :9] = torch.randint(1, 20, (3, 9), generator=generator)
    return ids * (torch.arange(T) < LENGTHS[:, None])


@pytest.mark.parametrize("backend", ["reference", "torch"])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention", ["mean", "last", "max"]])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_padding_never_shows(cell: Any, bidirectional: bool, pooling: Any, backend: Any) -> None:
    torch.manual_seed(0)
    config = ModelConfig(
        cell=cell, units=[5, 3], bidirectional=bidirectional, pooling=pooling, embedding=4, backend=backend
    )
    model = Classifier(config, 20, 3, "multiclass").double()

    def solve(ids: torch.Tensor, lengths: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        logits = model(ids, lengths)
        return logits, list(torch.autograd.grad(logits.sin().sum(), list(model.parameters())))

    logits, gradients = solve(tokens(), LENGTHS)
    further, same = solve(tokens(30), LENGTHS)
    torch.testing.assert_close(further, logits, rtol=0, atol=1e-13)
    torch.testing.assert_close(same, gradients, rtol=0, atol=1e-12)
    alone = [solve(tokens()[b : b + 1, :n], LENGTHS[b : b + 1]) for b, n in enumerate(LENGTHS)]
    torch.testing.assert_close(torch.cat([one for one, _ in alone]), logits, rtol=0, atol=1e-13)
    summed = [torch.stack(parts).sum(0) for parts in zip(*(g for _, g in alone), strict=True)]
    torch.testing.assert_close(summed, gradients, rtol=0, atol=1e-12)


def test_padding_never_shows_in_pairs() -> None:
    torch.manual_seed(0)
    config = ModelConfig(units=5, bidirectional=True, pooling=["mean", "max"], embedding=4, bigrams=50)
    model = Classifier(config, 20, 3, "multiclass").double()
    logits = model(tokens(), LENGTHS)
    torch.testing.assert_close(model(tokens(30), LENGTHS), logits, rtol=0, atol=1e-13)
    alone = [model(tokens()[b : b + 1, :n], LENGTHS[b : b + 1]) for b, n in enumerate(LENGTHS)]
    torch.testing.assert_close(torch.cat(alone), logits, rtol=0, atol=1e-13)
    logits.sin().sum().backward()
    assert model.bigrams is not None
    gradient = model.bigrams.table.weight.grad.coalesce()  # type: ignore[union-attr]
    assert 0 not in gradient.indices()[0]
    read = bigram_ids(tokens(), 50)
    assert set(gradient.indices()[0].tolist()) == set(read[read > 0].tolist())


def test_vectors_are_those_of_words_plus_those_of_pairs() -> None:
    model = Classifier(ModelConfig(units=4, embedding=4, bigrams=50), 20, 3, "multiclass")
    ids = tokens()
    assert model.bigrams is not None
    for b, n in enumerate(LENGTHS.tolist()):
        for t in range(n):
            expected = model.embedding.weight[ids[b, t]]
            if t + 1 < n:
                pair = bigram_ids(ids[b : b + 1, t : t + 2], 50)[0, 0]
                assert pair > 0
                expected = expected + model.bigrams.table.weight[pair]
            torch.testing.assert_close(model.vectors(ids)[b, t], expected, rtol=0, atol=0)


@pytest.mark.parametrize("merge_mode", ["concat", "mul"])
def test_several_poolings_are_concatenated(merge_mode: Any) -> None:
    def classifier(pooling: Any) -> Classifier:
        torch.manual_seed(0)
        settings = {"units": 4, "bidirectional": True, "merge_mode": merge_mode, "embedding": 4}
        return Classifier(ModelConfig(**settings, pooling=pooling), 20, 3, "multiclass")

    several = classifier(["max", "last"])
    vectors = []
    for name in ("max", "last"):
        single = classifier(name)
        single.head = torch.nn.Identity()
        vectors.append(single(tokens(), LENGTHS))
    torch.testing.assert_close(several(tokens(), LENGTHS), several.head(torch.cat(vectors, 1)))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_touched_rows_give_the_same_logits_and_gradients(cell: Any, bidirectional: bool) -> None:
    """Those of the vectors written out; with masks from the same seed."""
    config = ModelConfig(cell=cell, units=[5, 3], bidirectional=bidirectional, embedding=4, dropout=0.3)
    found = []
    for rows in ("all", "touched"):
        torch.manual_seed(0)
        model = Classifier(config, 20, 3, "multiclass", embedding_rows=rows).double()
        logits = model(tokens(), LENGTHS)
        gradients = torch.autograd.grad(logits.sin().sum(), list(model.parameters()))
        assert gradients[0].is_sparse == (rows == "touched")
        found.append([logits, *(gradient.to_dense() for gradient in gradients)])
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=1e-13)
    torch.manual_seed(0)
    model = Classifier(config, 20, 3, "multiclass").double()
    states, _ = model.recurrent(model.embedding(tokens()), LENGTHS)
    torch.testing.assert_close(model.head(states), found[0][0], rtol=0, atol=1e-13)


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_settings_reach_the_layers(cell: str) -> None:
    config = ModelConfig(
        cell=cell,
        units=[6, 7],
        activation=["tanh", "relu"],
        bidirectional=True,
        dropout=0.1,
        recurrent_dropout=0.5,
        head_dropout=0.25,
        embedding=9,
        backend="reference",
    )
    stack = (model := Classifier(config, 50, 4, "multiclass")).recurrent
    assert stack.cell == cell
    assert (stack.input_size, stack.units, stack.activations) == (9, [6, 7], ["tanh", "relu"])
    assert (stack.bidirectional, stack.dropout, stack.recurrent_dropout) == (True, 0.1, 0.5)
    assert (stack.backend, model.head_dropout.p, model.head.in_features) == ("reference", 0.25, 14)


@pytest.mark.parametrize(
    ("task", "classes", "width"), [("binary", 2, 1), ("multiclass", 5, 5), ("multilabel", 4, 4)]
)
def test_the_head_has_the_width_of_the_task_and_begins_as_keras_s(
    task: str, classes: int, width: int
) -> None:
    torch.manual_seed(0)
    model = Classifier(ModelConfig(units=200), 50, classes, task)
    assert model(tokens(), LENGTHS).shape == (3, width)
    weight = model.head.weight.detach()
    limit = (6 / (200 + width)) ** 0.5
    assert 0.9 * limit < float(weight.abs().max()) <= limit
    assert not model.head.bias.any()


@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "multilabel"])
def test_it_learns_which_tokens_a_text_has(task: str, pooling: Any) -> None:
    """Texts of random tokens; the label says whether token 1 (and, for several labels, token 2) is there."""
    torch.manual_seed(0)
    T = 6
    ids = torch.randint(1, 8, (128, T))
    lengths = torch.randint(1, T + 1, (128,))
    ids = ids * (torch.arange(T) < lengths[:, None])
    one, two = ((ids == token).any(1) for token in (1, 2))
    labels = {
        "binary": one.long(),
        "multiclass": one.long() + 2 * two.long(),
        "multilabel": torch.stack([one, two], 1).float(),
    }[task]
    config = ModelConfig(cell="gru", units=16, embedding=8, pooling=pooling)
    model = Classifier(config, 8, {"binary": 2, "multiclass": 4, "multilabel": 2}[task], task)
    loss = classification_loss(task)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        loss(model(ids, lengths), labels).backward()
        optimizer.step()
    logits = model(ids, lengths)
    found = logits.argmax(1) if task == "multiclass" else (logits > 0).squeeze(1).to(labels.dtype)
    assert float((found == labels).float().mean()) > 0.97


def test_word_dropout_replaces_words_by_the_unknown_one_in_training_alone() -> None:
    torch.manual_seed(0)
    model = Classifier(ModelConfig(units=4, embedding=4, word_dropout=0.5), 20, 3, "multiclass")
    seen: list[torch.Tensor] = []
    model.word_dropout.register_forward_hook(lambda module, given, found: seen.append(found))
    ids = tokens(30).repeat(50, 1)
    model(ids, LENGTHS.repeat(50))
    model.eval()(ids, LENGTHS.repeat(50))
    changed = seen[0] != ids
    words = (ids != 0) & (ids != 2)
    assert set(seen[0][changed].tolist()) == {2}
    assert not changed[~words].any()
    assert 0.4 < float(changed[words].float().mean()) < 0.6
    assert torch.equal(seen[1], ids)
