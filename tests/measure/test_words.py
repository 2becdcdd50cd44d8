"""Words for n-grams, Chinese by character; and words joined as a reader expects."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recurra.measure.words import join_words, space_between, words_of


def test_chinese_by_character_beside_words() -> None:
    assert words_of("iPhone不错,5星！") == ["iphone", "不", "错", ",", "5", "星", "！"]


@given(st.text())
def test_no_word_holds_a_space(text: str) -> None:
    # n-grams are words joined by spaces: one inside a word would make two of it.
    assert all(word and not any(c.isspace() for c in word) for word in words_of(text))


@pytest.mark.parametrize(
    ("words", "line"),
    [(["(", "a", ")", "b", "."], "(a) b."), (["5", "星", "级"], "5 星级"), (["", "a"], "a"), ([], "")],
)
def test_words_joined_as_a_reader_expects(words: list[str], line: str) -> None:
    assert join_words(words) == line


def test_no_space_next_to_nothing() -> None:
    assert not space_between("", "a")
