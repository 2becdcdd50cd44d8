"""The vocabulary of a tagger and its counts of tags, learned from the training sentences; text to words."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt, TypeAdapter, ValidationError

from recurra.errors import BundleError, DataError
from recurra.io.tokenizer import UNKNOWN as SPECIAL_UNKNOWN
from recurra.tasks.reporter import Tick
from recurra.tasks.tagging.sentences.formats import Sentence
from recurra.tasks.tagging.sentences.table import table_of
from recurra.tasks.tagging.settings import TaggingConfig

__all__ = ["END", "PADDING", "START", "UNKNOWN", "TagCounts", "WordVocabulary", "split_words"]

PADDING, UNKNOWN, START, END = range(4)
_WORDS_BEFORE, _CHARACTERS_BEFORE = 2, 4  # numbers before those of words and of characters
_CHUNK = re.compile(
    r"""
      (?:https?://|www\.)\S+          # an address
    | [\w.+-]+@\w[\w-]*(?:\.[\w-]+)+  # a mail address
    | \d+(?:[.,:/]\d+)*               # a number, a time, a date
    | \w(?:\.\w)+\.?                  # U.S.
    | \w+(?:['’]\w+)*                 # a word
    | (\S)\1*                         # a mark, or one repeated
    """,
    re.VERBOSE,
)
# English: "don't" is "do" and "n't", "we're" is "we" and "'re", as in the treebanks.
_CLITIC = re.compile(r"(?i)^(.+?)(n['’]t|['’](?:s|m|d|re|ve|ll))$")


@dataclass(frozen=True)
class WordVocabulary:
    """Words and characters by number.

    Attributes:
        words: the word of number ``n`` is ``words[n - 2]``; 0 is padding, 1 an unknown word.
        characters: the character of number ``n`` is ``characters[n - 4]``; 0 is padding, 1 an unknown
            character, 2 and 3 are the start and the end of a word.
        lowercase: whether words are looked up in lower case.
        max_characters: the number of characters read of a longer word, half of them at each end.

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
        """Returns the words that occur ``min_count`` times and the characters that occur twice.

        The most frequent come first. A character that occurs once is unknown, so that training has examples
        of unknown characters. ``counts`` are the occurrences of each word in the training sentences.
        """
        words: Counter[str] = Counter()
        characters: Counter[str] = Counter()
        for word, count in counts.items():
            words[word.lower() if config.lowercase else word] += count
            for character in word:
                characters[character] += count
        known = _frequent(words, config.min_count)
        return cls(tuple(known), "".join(_frequent(characters, 2)), config.lowercase, config.max_characters)

    def extended(self, counts: Mapping[str, int], config: TaggingConfig) -> WordVocabulary:
        """Returns the vocabulary with the new words and characters of ``counts`` at its end, see `learn`.

        Example:
            >>> few = WordVocabulary(("the",), "eht", lowercase=True, max_characters=20)
            >>> more = few.extended({"the": 1, "Dodo": 2}, TaggingConfig())
            >>> more.words, more.characters
            (('the', 'dodo'), 'ehtoDd')
        """
        new = WordVocabulary.learn(counts, config)
        words = tuple(word for word in new.words if word not in self._numbers)
        characters = "".join(c for c in new.characters if c not in self._character_numbers)
        return replace(self, words=self.words + words, characters=self.characters + characters)

    @property
    def size(self) -> int:
        """The number of words, V, padding and unknown included."""
        return _WORDS_BEFORE + len(self.words)

    @property
    def character_size(self) -> int:
        """The number of characters, padding, unknown, start and end included."""
        return _CHARACTERS_BEFORE + len(self.characters)

    def rows(self) -> list[str]:
        """Returns the V words by number, with "" for padding and ``<unk>`` for an unknown word."""
        return ["", SPECIAL_UNKNOWN, *self.words]

    def word_number(self, word: str) -> int:
        """Returns the number of a word; 1 if it is unknown."""
        return self._numbers.get(word.lower() if self.lowercase else word, UNKNOWN)

    def character_numbers(self, word: str) -> NDArray[np.int32]:
        """Returns the numbers of a word's characters ``(n,)``, between those of start and end."""
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
            BundleError: ``text`` is not what `to_json` writes.
        """
        try:
            vocabulary = TypeAdapter(cls).validate_json(text, strict=True)
        except ValidationError as error:
            what = error.errors()[0]["msg"]
            raise BundleError(f"the saved vocabulary can't be read ({what})") from error
        if any(len(set(items)) < len(items) for items in (vocabulary.words, vocabulary.characters)):
            raise BundleError("the saved vocabulary is damaged")
        return vocabulary

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words, _WORDS_BEFORE)}

    @cached_property
    def _character_numbers(self) -> dict[str, int]:
        return {character: number for number, character in enumerate(self.characters, _CHARACTERS_BEFORE)}


@dataclass(frozen=True)
class TagCounts:
    """The number of times each word has each tag in the training sentences.

    Example:
        >>> counts = TagCounts.learn([Sentence(("the", "run", "run"), ("DET", "NOUN", "VERB"), 1)])
        >>> counts.tags, counts.words["run"], counts.frequencies()
        (('DET', 'NOUN', 'VERB'), {'NOUN': 1, 'VERB': 1}, {'the': 1, 'run': 2})
    """

    words: Mapping[str, Mapping[str, int]]

    @classmethod
    def learn(cls, sentences: Sequence[Sentence], tick: Tick = lambda rows: None) -> TagCounts:
        """Returns the counts of tagged sentences; ``tick`` is called with the number of those counted.

        Raises:
            DataError: a sentence has no tags.
        """
        table = table_of(sentences)
        if table.tags is None:
            row = next((sentence.row for sentence in sentences if sentence.tags is None), None)
            raise DataError("the sentence has no tags", row=row)
        return cls(table.counts(tick))

    def added(self, others: TagCounts) -> TagCounts:
        """Returns the counts of both.

        Example:
            >>> one = TagCounts({"run": {"NOUN": 1}})
            >>> one.added(TagCounts({"run": {"NOUN": 2, "VERB": 1}, "a": {"DET": 1}})).words
            {'run': {'NOUN': 3, 'VERB': 1}, 'a': {'DET': 1}}
        """
        words = {word: Counter(tags) for word, tags in self.words.items()}
        for word, tags in others.words.items():
            words.setdefault(word, Counter()).update(tags)
        return TagCounts({word: dict(tags) for word, tags in words.items()})

    @property
    def tags(self) -> tuple[str, ...]:
        """All tags, sorted."""
        return tuple(sorted({tag for counts in self.words.values() for tag in counts}))

    def frequencies(self) -> dict[str, int]:
        """Returns the number of occurrences of each word."""
        return {word: sum(counts.values()) for word, counts in self.words.items()}

    def to_json(self) -> str:
        """The counts as JSON."""
        return json.dumps(self.words, ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> TagCounts:
        """The counts that `to_json` wrote.

        Raises:
            BundleError: ``text`` is not what `to_json` writes.
        """
        try:
            return cls(TypeAdapter(dict[str, dict[str, PositiveInt]]).validate_json(text, strict=True))
        except ValidationError as error:
            what = error.errors()[0]["msg"]
            raise BundleError(f"the saved counts of words can't be read ({what})") from error


def split_words(text: str) -> list[str]:
    """Returns the words and punctuation marks of a text; English clitics are words, as in treebanks.

    A text of a language without spaces between words must be segmented before.

    Example:
        >>> split_words("I don't know (it's 3.5 U.S. dollars)...")
        ['I', 'do', "n't", 'know', '(', 'it', "'s", '3.5', 'U.S.', 'dollars', ')', '...']
    """
    words: list[str] = []
    for match in _CHUNK.finditer(text):
        chunk = match.group()
        clitic = _CLITIC.match(chunk)
        words += clitic.groups() if clitic else [chunk]
    return words


def _frequent(counts: Counter[str], least: int) -> list[str]:
    """The items that occur at least so often, the most frequent first, equals by code point."""
    items = (item for item, count in counts.items() if count >= least)
    return sorted(items, key=lambda item: (-counts[item], item))
