"""Batches of tagged sentences: every word, spelling and tag once an epoch, in an order that resumes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from recurra.io.examples import Examples
from recurra.tasks.tagging.batches import IGNORED, Forms, TaggedBatch, TaggedBatches, TaggedSentences

# A sentence is a list of (form, tag); a form's spelling and word follow from its number.
sentences = st.lists(
    st.lists(st.tuples(st.integers(1, 9), st.integers(-1, 3)), min_size=1, max_size=8),
    min_size=1,
    max_size=30,
)


def spelling(form: int) -> NDArray[np.int64]:
    return np.arange(2, 2 + form)


def made(found: list[list[tuple[int, int]]], tagged: bool = True) -> TaggedSentences:
    forms = Forms([100 + form for form in range(1, 10)], [spelling(form) for form in range(1, 10)])
    examples = Examples.from_arrays([np.array([form for form, _ in sentence]) for sentence in found])
    tags = np.array([tag if tag >= 0 else IGNORED for sentence in found for _, tag in sentence], np.int64)
    return TaggedSentences(examples, forms, tags if tagged else None)


def spelled(batch: TaggedBatch, row: int, place: int) -> list[int]:
    which = int(batch.spelled[row, place])
    characters: list[int] = batch.characters[which].tolist()
    length = int(batch.character_lengths[which])
    assert characters[length:] == [0] * (len(characters) - length)
    return characters[:length]


@given(sentences, st.integers(1, 7), st.booleans(), st.data())
@settings(max_examples=60)
def test_every_word_is_there_once_with_spelling_and_tag(
    found: list[list[tuple[int, int]]], size: int, shuffle: bool, data: st.DataObject
) -> None:
    rows = data.draw(st.lists(st.integers(0, len(found) - 1), unique=True, max_size=len(found)))
    batches = TaggedBatches(made(found), np.array(rows, np.int64), size, shuffle=shuffle, seed=3)
    seen = []
    for batch in batches.epoch(1):
        seen += batch.rows.tolist()
        assert batch.tags is not None
        assert batch.steps == sum(len(found[row]) for row in batch.rows)
        assert batch.size == sum(tag >= 0 for row in batch.rows for _, tag in found[row])
        distinct = {form for row in batch.rows for form, _ in found[row]}
        assert len(batch.characters) - len(distinct) in (0, 1)  # padding is a word of no characters
        for line, row in enumerate(batch.rows.tolist()):
            length = len(found[row])
            assert int(batch.lengths[line]) == length
            assert batch.words[line].tolist()[length:] == [0] * (batch.words.shape[1] - length)
            assert set(batch.tags[line].tolist()[length:]) <= {IGNORED}
            for place, (form, tag) in enumerate(found[row]):
                assert int(batch.words[line, place]) == 100 + form
                assert spelled(batch, line, place) == spelling(form).tolist()
                assert int(batch.tags[line, place]) == (tag if tag >= 0 else IGNORED)
    assert sorted(seen) == sorted(rows)


def same(one: TaggedBatch, other: TaggedBatch) -> bool:
    names: list[Any] = ["words", "lengths", "spelled", "characters", "character_lengths", "tags"]
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in names)


@given(sentences, st.integers(1, 7), st.integers(0, 12), st.integers(0, 4))
@settings(max_examples=40)
def test_an_epoch_goes_on_where_it_stopped(
    found: list[list[tuple[int, int]]], size: int, start: int, epoch: int
) -> None:
    batches = TaggedBatches(made(found), None, size, shuffle=True, seed=5)
    whole = list(batches.epoch(epoch))
    assert len(whole) == len(batches)
    rest = list(TaggedBatches(made(found), None, size, shuffle=True, seed=5).epoch(epoch, start))
    assert len(rest) == len(whole[start:])
    assert all(map(same, rest, whole[start:]))


def test_the_places_of_a_sentence_are_those_of_its_words() -> None:
    found = made([[(1, 0), (2, 1)], [(3, 2)], [(4, 3), (5, 0), (6, 1)]])
    assert found.examples.places(np.array([2, 0])).tolist() == [3, 4, 5, 0, 1]
    assert found.tags is not None
    assert found.tags[found.examples.places(np.array([2, 0]))].tolist() == [3, 0, 1, 0, 1]
    assert made([[(1, 0)]], tagged=False).tags is None
    assert next(TaggedBatches(made([[(1, 0)]], tagged=False), None, 1).epoch(0)).tags is None


def test_what_does_not_fit_is_refused() -> None:
    one = Examples.from_arrays([np.array([1, 1])])
    with pytest.raises(ValueError, match="2 words, but 1 tags"):
        TaggedSentences(one, Forms([5], [np.array([2])]), np.array([0]))
    with pytest.raises(ValueError, match="2 words, but 1 spellings"):
        Forms([5, 6], [np.array([2])])
