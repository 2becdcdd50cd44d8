"""The ids of texts of ASCII words: those of the tokenizers library, which takes several times as long."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from recurra.config import TokenizerConfig

__all__ = ["PlainIds", "is_plain"]

# What the library's pattern of words matches in a text of ASCII alone, without control characters.
_WORDS = {"keep": re.compile(r"\w+(?:'\w+)*|[^\w ]", re.ASCII), "drop": re.compile(r"\w+(?:'\w+)*", re.ASCII)}
_LONGEST = 50_000  # characters; the library is given longer texts in parts


def is_plain(text: str) -> bool:
    """Returns whether a cleaned text is of ASCII alone, and not very long."""
    return len(text) <= _LONGEST and text.isascii()


class PlainIds(dict[str, int]):
    """The ids of a vocabulary of whole words; that of the unknown word for other words.

    Args:
        vocabulary: the ids by word.
        config: the settings of the tokenizer, whose level is ``word``.
        unknown: the id of the unknown word.

    Example:
        >>> PlainIds({"good": 3, "film": 4}, TokenizerConfig(), 2).of("A GOOD film").tolist()
        [2, 3, 4]
    """

    def __init__(self, vocabulary: Mapping[str, int], config: TokenizerConfig, unknown: int) -> None:
        super().__init__(vocabulary)
        self._words, self._lowercase, self._unknown = _WORDS[config.punctuation], config.lowercase, unknown

    def __missing__(self, word: str) -> int:
        return self._unknown

    def of(self, text: str) -> NDArray[np.int32]:
        """Returns the ids of the words of a text for which `is_plain` is true."""
        words = self._words.findall(text.lower() if self._lowercase else text)
        return np.fromiter(map(self.__getitem__, words), np.int32, len(words))
