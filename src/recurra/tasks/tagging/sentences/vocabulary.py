"""The words and characters that a tagger knows, numbered; learned from the training sentences alone."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recurra.errors import BundleError
from recurra.io.tokenizer import UNKNOWN as SPECIAL_UNKNOWN
from recurra.tasks.tagging.settings import TaggingConfig

__all__ = ["END", "PADDING", "START", "UNKNOWN", "WordVocabulary"]

PADDING, UNKNOWN, START, END = range(4)
_WORDS_BEFORE, _CHARACTERS_BEFORE = 2, 4  # numbers that stand for no word, and for no character


@dataclass(frozen=True)
class WordVocabulary:
    """Words and characters by number.

    Attributes:
        words: the word of number ``n`` is ``words[n - 2]``; 0 is padding, 1 every other word.
        characters: the character of number ``n`` is ``characters[n - 4]``; 0 is padding, 1 every other
            character, 2 and 3 stand before and after each word.
        lowercase: whether words are looked up in small letters.
        max_characters: a longer word is read by its first and last half of so many.

    Example:
        >>> few = WordVocabulary.learn({"The": 1, "the": 2, "dog": 1}, TaggingConfig())
        >>> few.words, few.word_number("THE"), few.word_number("dog")
        (('the',), 2, 1)
        >>> few.character_numbers("the").tolist()
        [2, 6, 5, 4, 3]
    """

    words: tuple[str, ...]
    characters: str
    lowercase: bool
    max_characters: int

    @classmethod
    def learn(cls, counts: Mapping[str, int], config: TaggingConfig) -> WordVocabulary:
        """The words that occur ``min_count`` times and the characters that occur twice, the frequent first.

        A character seen once is an unknown one, so that there are examples of that.

        Args:
            counts: how often each word occurs, as it stands in the training sentences.
            config: ``lowercase``, ``min_count`` and ``max_characters``.
        """
        words: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        for word, count in counts.items():
            words[word.lower() if config.lowercase else word] += count
            for character in word:
                characters[character] += count
        known = tuple(_frequent(words, config.min_count))
        return cls(known, "".join(_frequent(characters, 2)), config.lowercase, config.max_characters)

    @property
    def size(self) -> int:
        """``V``: words have numbers from 0 to V - 1."""
        return _WORDS_BEFORE + len(self.words)

    @property
    def character_size(self) -> int:
        """Characters have numbers from 0 to this less 1."""
        return _CHARACTERS_BEFORE + len(self.characters)

    def rows(self) -> list[str]:
        """``V`` words by number, with "" for padding and ``<unk>`` for all that are not known."""
        return ["", SPECIAL_UNKNOWN, *self.words]

    def word_number(self, word: str) -> int:
        """The number of a word, 1 for one that is not known."""
        return self._numbers.get(word.lower() if self.lowercase else word, UNKNOWN)

    def character_numbers(self, word: str) -> NDArray[np.int32]:
        """``(n,)`` the numbers of a word's characters, with those before and after it."""
        if len(word) > self.max_characters:
            half = self.max_characters // 2
            word = word[:half] + word[-half:]
        numbers = self._character_numbers
        return np.array([START, *(numbers.get(c, UNKNOWN) for c in word), END], np.int32)

    def to_json(self) -> str:
        """The vocabulary as JSON."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=0)

    @classmethod
    def from_json(cls, text: str) -> WordVocabulary:
        """The vocabulary that `to_json` wrote.

        Raises:
            BundleError: the text is something else.
        """
        try:
            found = json.loads(text)
            words, characters = tuple(found["words"]), found["characters"]
            made = cls(words, characters, found["lowercase"], found["max_characters"])
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise BundleError(f"the saved vocabulary can't be read ({error})") from error
        sound = isinstance(characters, str) and all(isinstance(word, str) for word in words)
        sound = sound and len(set(words)) == len(words) and len(set(characters)) == len(characters)
        if not sound or type(made.lowercase) is not bool or type(made.max_characters) is not int:
            raise BundleError("the saved vocabulary is damaged")
        return made

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words, _WORDS_BEFORE)}

    @cached_property
    def _character_numbers(self) -> dict[str, int]:
        return {character: number for number, character in enumerate(self.characters, _CHARACTERS_BEFORE)}


def _frequent(counts: Counter[str], least: int) -> list[str]:
    """Those that occur so often, the frequent first, equals by code point."""
    return sorted(
        (one for one, count in counts.items() if count >= least), key=lambda one: (-counts[one], one)
    )
