"""N-grams counted by keys are those counted by strings, whatever the size of blocks and parts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer

from recurra.tasks.classification.ngrams import keys
from recurra.tasks.classification.ngrams.features import Features
from recurra.tasks.classification.ngrams.names import names_of
from recurra.tasks.classification.ngrams.words import Words

RANDOM = np.random.default_rng(0)
TEXTS = [
    "",
    *(" ".join(RANDOM.choice(list("abcde"), size)) for size in RANDOM.integers(1, 20, 30)),
    "a a a a",
    "only here",
    "",
]


def learned(texts: list[str], least: int) -> tuple[Words, Features, np.ndarray]:
    words = Words()
    encoded = words.encode([text.split() for text in texts])
    features, matrix = Features.learn(encoded, words.hashes, least, lambda texts: None)
    assert sorted(names_of(features.keys, encoded, words)) == sorted(strings(texts, least)[0])
    order = np.argsort(names_of(features.keys, encoded, words))
    return words, features, matrix.toarray()[:, order]


def strings(texts: list[str], least: int) -> tuple[list[str], np.ndarray]:
    counter = CountVectorizer(
        tokenizer=str.split, token_pattern=None, lowercase=False, ngram_range=(1, 3), min_df=least
    )
    tfidf = TfidfTransformer(sublinear_tf=True)
    values = tfidf.fit_transform(counter.fit_transform(texts)).toarray()
    return list(counter.get_feature_names_out()), values


@pytest.mark.parametrize("least", [1, 3])
@pytest.mark.parametrize(("block", "partition"), [(1 << 19, 1 << 24), (40, 200), (1, 50)])
def test_features_are_those_of_scikit_learn(
    least: int, block: int, partition: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keys, "_BLOCK", block)
    monkeypatch.setattr(keys, "_PARTITION", partition)
    names, expected = strings(TEXTS, least)
    _, _, found = learned(TEXTS, least)
    assert found == pytest.approx(expected[:, np.argsort(names)], abs=1e-6)


@pytest.mark.parametrize("least", [1, 2, 3])
def test_features_of_some_texts_are_those_learned_from_them(least: int) -> None:
    words = Words()
    split = [text.split() for text in TEXTS]
    whole, matrix = Features.learn(words.encode(split), words.hashes, least, lambda texts: None)
    rows = np.array([1, 2, 5, 6, 7, 11, 20, 25, 31, 32, 33])
    encoded = words.encode([split[row] for row in rows])
    expected, values = Features.learn(encoded, words.hashes, least, lambda texts: None)
    found, part = whole.of_rows(matrix, rows, least)
    assert (found.keys == expected.keys).all()
    assert found.idf == pytest.approx(expected.idf)
    assert part.dtype == values.dtype
    assert part.toarray() == pytest.approx(values.toarray(), abs=1e-6)


def test_all_ngrams_are_taken_if_none_is_frequent() -> None:
    _, features, _ = learned(["a b", "c"], 1)
    words = Words()
    encoded = words.encode([["a", "b"], ["c"]])
    rare, _ = Features.learn(encoded, words.hashes, 2, lambda texts: None)
    assert (rare.keys == features.keys).all()


def test_keys_do_not_depend_on_other_words() -> None:
    one, two = Words(), Words()
    two.encode([["earlier", "words"]])
    found = [
        [keys_of for _, keys_of, _ in keys.ngram_keys(words.hashes[encoded.ids], encoded.lengths)]
        for words in (one, two)
        for encoded in [words.encode([["not", "very", "good"], ["good"]])]
    ]
    for first, second in zip(*found, strict=True):
        assert (first == second).all()


def test_keys_are_the_same_on_every_machine() -> None:
    words = Words()
    encoded = words.encode([["not", "very", "good"]])
    found = keys.ngram_keys(words.hashes[encoded.ids], encoded.lengths)
    assert [keys_of.tolist() for _, keys_of, _ in found] == [
        [25597662206465, 164281421212756, 53555481598095],
        [132367923368953, 231415541168904],
        [223478650112850],
    ]


def test_every_pass_is_reported() -> None:
    words = Words()
    encoded = words.encode([text.split() for text in TEXTS])
    ticks: list[int] = []
    Features.learn(encoded, words.hashes, 2, ticks.append)
    assert sum(ticks) == len(TEXTS) * (keys.passes(encoded) + 1)


def test_a_block_of_too_many_texts_is_refused() -> None:
    with pytest.raises(ValueError, match="65537 texts"):
        keys.occurrences(np.empty(0, np.uint64), np.zeros(65_537, np.int64))
