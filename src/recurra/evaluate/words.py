"""Tokens written as text again: spaces where a reader expects them."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["join_words", "space_between"]


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
