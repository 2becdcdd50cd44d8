"""Text cut into words for n-grams, and words written as text again."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["join_words", "space_between", "words_of"]

_TOKEN = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
# Scripts written without spaces: kana, Han (with its extensions), Thai, Lao, Myanmar, Khmer.
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff])"
)


def words_of(text: str) -> list[str]:
    """Lower-cased words, single characters of unspaced scripts, and punctuation marks.

    Example:
        >>> words_of("It isn't 好看!")
        ['it', "isn't", '好', '看', '!']
    """
    text = text.lower()
    if not text.isascii():
        text = _UNSPACED.sub(r" \1 ", text)
    return _TOKEN.findall(text)


def join_words(words: Iterable[str]) -> str:
    """The words with spaces, but none between Chinese characters or before closing punctuation.

    Example:
        >>> join_words(["not", "good", ",", "不", "错", "。"])
        'not good, 不错。'
    """
    line = ""
    before = ""
    for word in words:
        line += (" " if space_between(before, word) else "") + word
        before = word or before
    return line


def space_between(before: str, after: str) -> bool:
    """Whether a space stands between two neighbouring words."""
    if not before or not after:
        return False
    if _wide(before[-1]) and _wide(after[0]):
        return False
    return after[0] not in ".,;:!?)]}%’”，。！？；：、）》" and before[-1] not in "([{“‘（《"


def _wide(character: str) -> bool:
    """Whether the character is of a script written without spaces, or its punctuation."""
    return "\u2e80" <= character <= "\u9fff" or "\uf900" <= character <= "\uffef" or character >= "\U00020000"
