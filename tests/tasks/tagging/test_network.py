"""The tagger: padding never shows, spelling counts, and dropped words come from torch's generator."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from recurra.config import ModelConfig
from recurra.errors import DataError
from recurra.io.examples import Examples
from recurra.layers.summary import summarize
from recurra.tasks.tagging.batches import IGNORED, Forms, TaggedBatch, TaggedBatches, TaggedSentences
from recurra.tasks.tagging.network import UNKNOWN, Tagger, tag_logits, tagging_loss
from recurra.tasks.tagging.settings import TaggingConfig

WORDS, CHARACTERS, TAGS = 11, 9, 4


def made_model(seed: int = 0, *, tagging: dict[str, Any] | None = None, **settings: Any) -> Tagger:
    torch.manual_seed(seed)
    model = ModelConfig(**{"units": [5, 3], "embedding": 6, "bidirectional": True, **settings})
    mine = TaggingConfig(**{"character_units": 4, "character_embedding": 3, **(tagging or {})})
    network = Tagger(model, mine, WORDS, CHARACTERS, TAGS)
    with torch.no_grad():
        for weight in network.parameters():
            weight += 0.3 * torch.randn_like(weight)
        network.embedding.weight[0] = 0
        if network.spelling is not None:
            network.spelling.embedding.weight[0] = 0
    return network


def made_sentences(lengths: list[int], seed: int = 1) -> TaggedSentences:
    random = np.random.default_rng(seed)
    forms = Forms(
        random.integers(1, WORDS, 12).tolist(),
        [random.integers(1, CHARACTERS, random.integers(1, 7)) for _ in range(12)],
    )
    examples = Examples.from_arrays([random.integers(1, 13, length) for length in lengths])
    return TaggedSentences(examples, forms, random.integers(0, TAGS, sum(lengths)))


def logits(model: nn.Module, batch: TaggedBatch) -> torch.Tensor:
    found: torch.Tensor = model(
        batch.words, batch.lengths, batch.spelled, batch.characters, batch.character_lengths
    )
    return found


@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
@pytest.mark.parametrize("characters", [0, 4])
def test_padding_never_shows(cell: str, characters: int) -> None:
    model = made_model(cell=cell, tagging={"character_units": characters}).eval()
    found = made_sentences([1, 7, 3, 3, 5])
    together = tag_logits(model, TaggedBatches(found, None, 5))
    alone = tag_logits(model, TaggedBatches(found, None, 1))
    assert together.shape == (19, TAGS)
    np.testing.assert_allclose(together, alone, rtol=1e-5, atol=1e-5)
    batch = next(TaggedBatches(found, None, 5).epoch(0))
    further = TaggedBatch(
        functional.pad(batch.words, (0, 4), value=3),
        batch.lengths,
        functional.pad(batch.spelled, (0, 4), value=2),
        functional.pad(batch.characters, (0, 5), value=4),
        batch.character_lengths,
        None,
        batch.rows,
    )
    with torch.no_grad():
        one, other = logits(model, batch), logits(model, further)
    for row, length in enumerate(batch.lengths.tolist()):
        torch.testing.assert_close(one[row, :length], other[row, :length], rtol=1e-5, atol=1e-5)


def test_padding_has_no_gradient() -> None:
    """The gradient of a batch is that of its sentences one by one."""
    model = made_model().train()
    found = made_sentences([1, 6, 2, 4])
    loss = tagging_loss
    (batch,) = TaggedBatches(found, None, 4).epoch(0)
    loss(model, batch).backward()
    together = {
        name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None
    }
    assert len(together) == len(list(model.parameters()))
    model.zero_grad()
    for one in TaggedBatches(found, None, 1).epoch(0):
        (loss(model, one) * one.size / 13).backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None
        torch.testing.assert_close(weight.grad, together[name], rtol=1e-4, atol=1e-5, msg=name)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6), st.data())
@settings(max_examples=20)
def test_logits_come_in_the_order_of_the_rows(lengths: list[int], data: st.DataObject) -> None:
    found = made_sentences(lengths)
    rows = data.draw(st.permutations(range(len(lengths))))
    model = made_model().train()
    mixed = tag_logits(model, TaggedBatches(found, np.array(rows), 2))
    assert model.training
    straight = tag_logits(model, TaggedBatches(found, None, 3))
    np.testing.assert_allclose(mixed, straight[found.examples.places(np.array(rows))], rtol=1e-4, atol=1e-5)


def test_the_loss_is_the_mean_over_words_that_have_a_tag() -> None:
    model = made_model().eval()
    found = made_sentences([2, 3])
    assert found.tags is not None
    found.tags[3] = IGNORED
    (batch,) = TaggedBatches(found, None, 2).epoch(0)
    scores = torch.from_numpy(tag_logits(model, TaggedBatches(found, None, 2))).log_softmax(dim=1)
    expected = -np.mean([float(scores[n, tag]) for n, tag in enumerate(found.tags) if tag >= 0])
    assert float(tagging_loss(model, batch).detach()) == pytest.approx(expected, rel=1e-5)
    bare = TaggedSentences(found.examples, found.forms, None)
    with pytest.raises(DataError, match="no tags"):
        tagging_loss(model, next(TaggedBatches(bare, None, 2).epoch(0)))


def test_unknown_words_differ_by_their_spelling_alone() -> None:
    forms = Forms([UNKNOWN, UNKNOWN], [np.array([2, 5, 3]), np.array([2, 6, 3])])
    found = TaggedSentences(Examples.from_arrays([np.array([1]), np.array([2])]), forms, None)
    spelling = tag_logits(made_model(), TaggedBatches(found, None, 2))
    blind = tag_logits(made_model(tagging={"character_units": 0}), TaggedBatches(found, None, 2))
    assert not np.allclose(spelling[0], spelling[1], atol=1e-3)
    # Two rows of one product: some BLAS round them apart in the last digit.
    np.testing.assert_allclose(blind[0], blind[1], rtol=1e-6)


def test_dropped_words_are_unknown_ones_drawn_from_torch() -> None:
    found = made_sentences([40])
    (batch,) = TaggedBatches(found, None, 1).epoch(0)
    model = made_model(tagging={"word_dropout": 0.4, "character_units": 0})
    used: list[torch.Tensor] = []
    model.embedding.register_forward_hook(lambda _, given, __: used.append(given[0]))
    model.train()
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        logits(model, batch)
    model.eval()
    logits(model, batch)
    assert torch.equal(used[0], used[1])
    assert not torch.equal(used[0], used[2])
    changed = used[0] != batch.words
    assert 0.1 < changed.float().mean() < 0.7
    assert set(used[0][changed].tolist()) == {UNKNOWN}
    assert torch.equal(used[3], batch.words)


@pytest.mark.parametrize("characters", [0, 4])
def test_every_weight_stands_on_one_floor_and_in_the_summary(characters: int) -> None:
    model = made_model(tagging={"character_units": characters}, head_dropout=0.5)
    layer_groups = [id(weight) for group in model.layer_groups() for weight in group]
    assert sorted(layer_groups) == sorted(id(weight) for weight in model.parameters())
    assert len(model.layer_groups()) == 4
    summary = summarize(model)
    assert sum(row.parameters for row in summary.rows) == summary.total
    model.freeze(1)
    frozen = [name for name, weight in model.named_parameters() if not weight.requires_grad]
    assert frozen == ["embedding.weight"]


def test_a_small_set_is_learned() -> None:
    """Tags that hang on a word's spelling and on the next word, which a table of words can't know."""
    random = np.random.default_rng(0)
    forms = Forms([UNKNOWN] * 8, [np.array([2, 4 + number, 3]) for number in range(4)] * 2)
    lines = [random.integers(1, 9, random.integers(1, 6)) for _ in range(60)]
    tags = []
    for line in lines:
        following = [*((form - 1) % 2 for form in line[1:]), 0]
        tags += [2 * ((form - 1) % 4 > 1) + after for form, after in zip(line, following, strict=True)]
    found = TaggedSentences(Examples.from_arrays(lines), forms, np.array(tags, np.int64))
    torch.manual_seed(0)
    model = Tagger(
        ModelConfig(units=16, embedding=2, bidirectional=True), TaggingConfig(character_units=8), 2, 9, 4
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for epoch in range(20):
        for batch in TaggedBatches(found, None, 8, shuffle=True).epoch(epoch):
            optimizer.zero_grad()
            tagging_loss(model, batch).backward()
            optimizer.step()
    right = tag_logits(model, TaggedBatches(found, None, 8)).argmax(axis=1) == found.tags
    assert right.mean() > 0.98


def test_the_layer_of_the_characters_has_the_initial_weights_of_the_settings() -> None:
    torch.manual_seed(0)
    tagging = TaggingConfig(character_units=4, character_embedding=3)
    model = Tagger(ModelConfig(units=5, initial_weights="torch"), tagging, WORDS, CHARACTERS, TAGS)
    assert model.spelling is not None
    weights = model.spelling.recurrent.state_dict()
    assert all(weight.abs().max() <= 4**-0.5 and weight.std() > 0 for weight in weights.values())
