"""Pieces of words are counted beside the n-grams of words, as scikit-learn counts them, and are explained."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import normalize

from recurra.errors import BundleError
from recurra.tasks.classification.ngrams import NgramModel, keys
from recurra.tasks.classification.ngrams.kinds import Kinds, Sequences
from recurra.tasks.classification.ngrams.words import Words, pieces_of

RANDOM = np.random.default_rng(0)
# Words of one or two letters are left out: scikit-learn has the whole word as a piece then.
POOL = ["".join(RANDOM.choice(list("abé"), size)) for size in RANDOM.choice([3, 4, 5, 9], 40)]
TEXTS = ["", *(" ".join(RANDOM.choice(POOL, size)) for size in RANDOM.integers(1, 20, 30)), "aba aba", ""]
PLEASED = ["joyful", "hopeful", "cheerful", "playful"]
DISPLEASED = ["joyless", "hopeless", "cheerless", "senseless"]


def read(texts: list[str]) -> Sequences:
    words = Words()
    return Sequences.of(words.encode([text.split() for text in texts]), words, pieces=True)


def as_written(name: str) -> str:
    """The piece of a name, whose ellipses are where its word goes on."""
    begin, end = ("" if name[0] == "…" else " "), ("" if name[-1] == "…" else " ")
    return begin + name.strip("…") + end


def fitted() -> NgramModel:
    texts = [f"it is {word} work" for word in PLEASED + DISPLEASED] * 3
    return NgramModel(pieces=True).fit(texts, np.array([1, 1, 1, 1, 0, 0, 0, 0] * 3), "binary", 2)


def test_pieces_have_four_characters_of_a_word_and_of_the_spaces_beside_it() -> None:
    assert pieces_of("the") == [" the", "the "]
    assert pieces_of("naïve") == [" naï", "naïv", "aïve", "ïve "]
    assert [pieces_of(word) for word in ("", "!", "好", "is")] == [[], [], [], []]


@pytest.mark.parametrize("least", [1, 3])
@pytest.mark.parametrize("block", [1 << 19, 60, 1])
def test_features_are_those_of_scikit_learn(least: int, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_BLOCK", block)
    split = {"tokenizer": str.split, "token_pattern": None, "ngram_range": (1, 3)}
    parts = [
        TfidfVectorizer(min_df=least, sublinear_tf=True, lowercase=False, **how).fit(TEXTS)
        for how in (split, {"analyzer": "char_wb", "ngram_range": (4, 4)})
    ]
    texts = read(TEXTS)
    ticks: list[int] = []
    kinds, matrix = Kinds.learn(texts, least, ticks.append)
    assert sum(ticks) == len(TEXTS) * texts.passes
    words = len(kinds.ngrams)
    names = kinds.names(np.arange(len(kinds)), texts)
    order = [parts[0].vocabulary_[name] for name in names[:words]]
    order += [words + parts[1].vocabulary_[as_written(name)] for name in names[words:]]
    new = [*TEXTS[3:9], "baba unknown", "éééaaa"]
    found_new = np.concatenate([part.toarray() for part in kinds.matrices(read(new))])
    for documents, found in ((TEXTS, matrix.toarray()), (new, found_new)):
        expected = normalize(hstack([part.transform(documents) for part in parts])).toarray()
        assert found == pytest.approx(expected[:, order], abs=1e-6)


def test_a_new_word_is_known_by_its_pieces() -> None:
    model = fitted()
    assert model.predict_proba(["graceful", "graceless"]).argmax(axis=1).tolist() == [1, 0]
    plain = NgramModel().fit(["it is joyful", "it is joyless"] * 3, np.array([1, 0] * 3), "binary", 2)
    assert len(set(plain.logits(["graceful", "graceless"])[:, 0])) == 1


def test_an_explanation_counts_pieces_with_their_word() -> None:
    model = fitted()
    found = {place: (name, float(value[0])) for name, place, value in model.explain("graceful and joyless")}
    assert found[0, 1][0] == "graceful"
    assert found[0, 1][1] > 0 > found[2, 3][1]
    assert (1, 2) not in found  # neither the word nor a piece of it is known
    score, empty = model.logits(["graceful and joyless", ""])[:, 0]
    assert sum(value for _, value in found.values()) == pytest.approx(score - empty, abs=1e-4)


def test_the_strongest_pieces_are_named_by_where_they_stand_in_a_word() -> None:
    strongest = fitted().strongest(["no", "yes"])
    assert "…ful" in {name for name, _ in strongest["yes"]}
    assert {"…less", "…ess"} & {name for name, _ in strongest["no"]}


def test_models_without_pieces_are_as_before() -> None:
    model = NgramModel().fit(["good film", "bad film"] * 3, np.array([1, 0] * 3), "binary", 2)
    state = model.state()
    assert not {name for name in state if "piece" in name}
    assert not NgramModel.from_state(state).pieces


@pytest.mark.parametrize("name", ["piece_keys", "piece_idf"])
def test_damaged_pieces_are_refused(name: str) -> None:
    state = fitted().state()
    state[name] = state[name][::-1][:-1].copy()
    with pytest.raises(BundleError, match="n-grams are damaged: piece_"):
        NgramModel.from_state(state)
