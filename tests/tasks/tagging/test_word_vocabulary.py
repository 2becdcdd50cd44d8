"""Words and characters are numbered by their counts; a vocabulary is saved and loaded."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.errors import BundleError
from recurra.tasks.tagging.sentences.vocabulary import END, START, UNKNOWN, WordVocabulary
from recurra.tasks.tagging.settings import TaggingConfig

counts = st.dictionaries(st.text(min_size=1, max_size=6), st.integers(1, 5), min_size=1, max_size=20)


@given(counts, st.integers(1, 4), st.booleans())
def test_words_that_occur_often_enough_are_known(counts: dict[str, int], least: int, lowercase: bool) -> None:
    result = WordVocabulary.learn(counts, TaggingConfig(min_count=least, lowercase=lowercase))
    for word in counts:
        key = word.lower() if lowercase else word
        seen = sum(count for other, count in counts.items() if (other.lower() if lowercase else other) == key)
        number = result.word_number(word)
        assert (number != UNKNOWN) == (seen >= least)
        assert number < result.size
        assert number == UNKNOWN or result.words[number - 2] == key
        numbers = result.character_numbers(word).tolist()
        assert (numbers[0], numbers[-1]) == (START, END)
        for character, given_number in zip(word, numbers[1:-1], strict=True):
            often = sum(count * other.count(character) for other, count in counts.items())
            assert (given_number != UNKNOWN) == (often >= 2)
            assert given_number == UNKNOWN or result.characters[given_number - 4] == character
            assert given_number < result.character_size
    assert WordVocabulary.from_json(result.to_json()) == result


def test_a_long_word_is_read_at_both_ends() -> None:
    vocabulary = WordVocabulary.learn({"abcdefgh": 2}, TaggingConfig(max_characters=4))
    numbers = vocabulary.character_numbers("abcdefgh").tolist()
    assert "".join(vocabulary.characters[number - 4] for number in numbers[1:-1]) == "abgh"
    assert len(vocabulary.character_numbers("abcd")) == 6


def test_frequent_words_come_first_in_any_order_of_counting() -> None:
    one = WordVocabulary.learn({"b": 2, "a": 2, "c": 5}, TaggingConfig())
    assert one.words == ("c", "a", "b")
    assert one == WordVocabulary.learn({"c": 5, "a": 2, "b": 2}, TaggingConfig())


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"words": 3, "characters": "", "lowercase": true, "max_characters": 4}',
        '{"words": ["a", "a"], "characters": "", "lowercase": true, "max_characters": 4}',
        '{"words": [], "characters": ["a"], "lowercase": true, "max_characters": 4}',
        '{"words": [], "characters": "aa", "lowercase": true, "max_characters": 4}',
        '{"words": [], "characters": "a", "lowercase": 1, "max_characters": 4}',
    ],
)  # fmt: skip
def test_a_damaged_vocabulary_is_refused(text: str) -> None:
    with pytest.raises(BundleError):
        WordVocabulary.from_json(text)
