"""Sentences in arrays are those that were read, from the cache too, and their memory is that of the words."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.config import DataConfig
from recurra.errors import DataError
from recurra.io.formats import Skipped
from recurra.tasks.reporter import Reporter
from recurra.tasks.tagging.batches import TaggedBatches
from recurra.tasks.tagging.prepare import TaggerData, prepare
from recurra.tasks.tagging.sentences import (
    Sentence,
    SentenceSource,
    SentenceTable,
    cached_sentences,
    detect_sentences,
    read_sentences,
)
from recurra.tasks.tagging.settings import TaggerConfig, TaggingConfig
from recurra.tasks.tagging.task import TASK

WORDS = st.text(st.characters(exclude_categories=["Cs", "Zs", "Cc", "Zl", "Zp"]), min_size=1, max_size=4)
SENTENCES = st.lists(
    st.lists(st.tuples(WORDS, st.sampled_from("ABC")), min_size=1, max_size=6).map(
        lambda pairs: Sentence(tuple(word for word, _ in pairs), tuple(tag for _, tag in pairs), len(pairs))
    ),
    max_size=12,
)


@given(SENTENCES, st.data())
@settings(max_examples=60, deadline=None)
def test_a_table_is_the_sequence_of_its_sentences(given_: list[Sentence], data: st.DataObject) -> None:
    table = SentenceTable.of(given_)
    assert list(table) == given_
    rows = sorted(data.draw(st.sets(st.integers(0, max(0, len(given_) - 1)), max_size=len(given_))))
    some, expected = table.take(np.array(rows, np.int64)), [given_[row] for row in rows]
    assert list(some) == expected
    assert list(some[1:]) == expected[1:]
    assert list(some.tag_sequences()) == [list(sentence.tags or ()) for sentence in expected]
    words = [word for sentence in expected for word in sentence.words]
    tags = [tag for sentence in expected for tag in sentence.tags or ()]
    assert list(some.words) == words
    assert some.words.among({"a", "0"}).tolist() == [word in {"a", "0"} for word in words]
    assert some.tag_counts == Counter(tags)
    counts: dict[str, Counter[str]] = {}
    for word, tag in zip(words, tags, strict=True):
        counts.setdefault(word, Counter())[tag] += 1
    found = some.counts()
    assert [*found] == [*counts]  # also in their order
    assert [[*each.items()] for each in found.values()] == [[*each.items()] for each in counts.values()]
    assert [table.forms[number - 1] for number in some.own_forms()] == [*dict.fromkeys(words)]


def test_more_than_65_536_words_and_a_sentence_without_tags() -> None:
    many = [Sentence((f"w{number}", "the"), None, number) for number in range(70_000)]
    table = SentenceTable.of(many)
    assert table.examples.flat.dtype == np.int32
    assert table.tags is None
    assert table[69_999] == many[69_999]


def written(path: Path, sentences: int, broken: bool = False) -> SentenceSource:
    """A file of sentences of eight words, of which there are 500."""
    random = np.random.default_rng(5)
    with path.open("w", encoding="utf-8") as file:
        for words in random.integers(0, 500, (sentences, 8)).tolist():
            file.write("".join(f"word{word}\tT{word % 5}\n" for word in words) + "\n")
        if broken:
            file.write("alone\n\n")
    return detect_sentences(path, DataConfig(), TaggingConfig())


def test_a_file_is_read_once_whether_broken_sentences_are_left_out_or_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECURRA_CACHE", str(tmp_path / "cache"))
    source = written(tmp_path / "a.tsv", 30)
    read = list(read_sentences(source))
    assert list(cached_sentences(source, Skipped())) == read
    monkeypatch.setattr("recurra.tasks.tagging.sentences.table.read_sentences", None)  # the cache alone
    lenient = SentenceSource(**{**vars(source), "skip_bad_rows": True})
    skipped = Skipped()
    assert list(cached_sentences(lenient, skipped)) == read
    assert skipped.count == 0


def test_a_broken_sentence_is_refused_although_the_others_are_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECURRA_CACHE", str(tmp_path / "cache"))
    source = written(tmp_path / "a.tsv", 30, broken=True)
    lenient = SentenceSource(**{**vars(source), "skip_bad_rows": True})
    for _ in range(2):  # read, and from the cache
        skipped = Skipped()
        assert len(cached_sentences(lenient, skipped)) == 30
        assert (skipped.count, len(skipped.examples)) == (1, 1)
    with pytest.raises(DataError, match=r"row 271: the line has 1 columns|the word 'alone' has no tag"):
        cached_sentences(source, Skipped())
    assert len(cached_sentences(lenient, Skipped())) == 30


def prepared(path: Path) -> TaggerData:
    return prepare(path, TaggerConfig(), Reporter())


def test_a_part_has_the_same_batches_as_its_sentences_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECURRA_CACHE", str(tmp_path / "cache"))
    source = written(tmp_path / "a.tsv", 80)
    whole = prepared(source.path)
    from recurra.tasks.tagging.prepare import numbered

    for part in (whole.train, whole.valid):
        alone = numbered("", "", list(part.sentences), whole.assets, whole.config)
        assert alone.sentences.forms != part.sentences.forms
        pairs = zip(
            TaggedBatches(part.numbers, None, 7, shuffle=True, seed=3).epoch(1),
            TaggedBatches(alone.numbers, None, 7, shuffle=True, seed=3).epoch(1),
            strict=True,
        )
        for one, other in pairs:
            for left, right in zip((*one.inputs, one.tags), (*other.inputs, other.tags), strict=True):
                assert left is not None
                assert right is not None
                np.testing.assert_array_equal(left.numpy(), right.numpy())
        np.testing.assert_array_equal(part.tags, alone.tags)


def peak_of(path: Path) -> tuple[int, int]:
    """The bytes at most, and at the end, that preparing and checking a file takes."""
    tracemalloc.start()
    try:
        data = prepared(path)
        assert TASK.check is not None
        TASK.check(path, TaggerConfig(), Reporter())
        held, peak = tracemalloc.get_traced_memory()
        assert len(data.train) > 0
        return peak, held
    finally:
        tracemalloc.stop()


def test_the_memory_does_not_grow_with_the_words_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECURRA_CACHE", str(tmp_path / "cache"))
    prepared(written(tmp_path / "warm.tsv", 50).path)
    few, many = 2_000, 8_000
    small, large = (peak_of(written(tmp_path / f"{n}.tsv", n).path) for n in (few, many))
    # Rows are numbers in a few arrays: 70 bytes a sentence. The eight words and tags were 130 more as lists.
    for before, after in zip(small, large, strict=True):
        assert (after - before) / (many - few) < 130, (small, large)
