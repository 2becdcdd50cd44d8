"""Text by character, and text that is already tokenized."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from recurra.config import TokenizerConfig
from recurra.io.tokenizer import TextTokenizer

CHARACTERS = TokenizerConfig(level="character", lowercase=False, strip_html=False)
WORDS = TokenizerConfig(level="whitespace")


def test_every_character_is_a_token_spaces_too() -> None:
    tokenizer = TextTokenizer.train(["To be,  or\tnot"], CHARACTERS)
    assert tokenizer.tokens("o  T!") == ["<start>", "o", " ", " ", "T", "<unk>"]
    assert tokenizer.decode(tokenizer.encode(["  To be"]).ids[0]) == "  To be"


@given(st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=40))
def test_characters_are_decoded_to_the_text(text: str) -> None:
    tokenizer = TextTokenizer.train([text], CHARACTERS)
    ids = tokenizer.encode([text]).ids[0]
    whole = tokenizer.decode(ids)
    assert tokenizer.encode([whole]).ids[0].tolist() == ids.tolist()
    assert 2 not in ids


def test_chinese_characters_stay_together_in_a_character_model() -> None:
    config = CHARACTERS.model_copy(update={"chinese": "words"})  # means nothing here
    tokenizer = TextTokenizer.train(["很好 good"], config)
    assert tokenizer.tokens("很好")[1:] == ["很", "好"]


def test_words_of_a_tokenized_text_are_unchanged() -> None:
    tokenizer = TextTokenizer.train(["the <unk> N n't </s> <b> U.S.", "the <unk>"], WORDS)
    words = ["the", "<unk>", "N", "n't", "</s>", "<b>", "U.S."]
    assert tokenizer.tokens(" ".join(words))[1:] == words
    assert tokenizer.vocab_size == 3 + 6  # <unk> is an entry once
    assert tokenizer.encode(["the <unk> n other"]).unknown.tolist() == [3]
    assert tokenizer.surfaces("the other")[1:] == ["the", "other"]


def test_reserved_words_in_a_text_are_neither_padding_nor_start() -> None:
    tokenizer = TextTokenizer.train(["<pad> a <start> b<pad>"], WORDS)
    assert tokenizer.encode(["<pad> a <start> b<pad>"]).ids[0].tolist()[1::2] == [2, 2]
    assert tokenizer.tokens("b<pad>")[1:] == ["b<pad>"]


@given(st.lists(st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=6), max_size=12))
def test_every_word_of_a_tokenized_text_is_one_token(words: list[str]) -> None:
    text = " ".join(words)
    encoded = TextTokenizer.train([text], WORDS).encode([text])
    assert len(encoded.ids[0]) == 1 + len(words)


def test_both_are_saved_and_loaded() -> None:
    for config in (CHARACTERS, WORDS):
        tokenizer = TextTokenizer.train(["a <unk> B c"], config)
        again = TextTokenizer.from_json(tokenizer.to_json(), config)
        assert (
            again.encode(["c B x <unk>"]).ids[0].tolist() == tokenizer.encode(["c B x <unk>"]).ids[0].tolist()
        )
