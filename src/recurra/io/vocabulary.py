"""The words of an embedding's rows: what pretrained vectors are matched by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recurra.io.tokenizer import PAD, SPECIALS, START, TextTokenizer

__all__ = ["Vocabulary", "spellings", "trained_words"]

_MARK = "▁"  # in front of a subword piece that begins a word


@dataclass(frozen=True)
class Vocabulary:
    """The words of a network that is about to be trained.

    Attributes:
        words: V words by row; row 0 is padding, the first ``specials`` are no words of the texts.
        specials: how many.
        counts: ``(V,)`` int64, how often the training part has each; 0 for what is put in, as start tokens.
    """

    words: list[str]
    specials: int
    counts: NDArray[np.int64]


def trained_words(tokenizer: TextTokenizer) -> list[str]:
    """The words by id, "" for those that training never saw: padding, and an unused start token."""
    unused = {PAD} if tokenizer.config.start_token else {PAD, START}
    words = (tokenizer.word(id) for id in range(tokenizer.vocab_size))
    return ["" if word in unused else word for word in words]


def spellings(word: str) -> list[str]:
    """How a word may be written elsewhere, the nearest first.

    As it stands, then in small letters; a piece that begins a word also as that word, and a word as such a
    piece. A special token has one spelling.

    Example:
        >>> spellings("Great")
        ['Great', '▁Great', 'great', '▁great']
    """
    if word in SPECIALS:
        return [word]
    other = word.removeprefix(_MARK) if word.startswith(_MARK) else _MARK + word
    return [one for one in dict.fromkeys([word, other, word.lower(), other.lower()]) if one]
