"""A small grammar that generates reviews from frames with two places, of which one decides the label.

Each frame has the marks ``{true}`` and ``{false}``, which are replaced by a word of praise and one of blame.
If praise replaces ``{true}``, the review is ``pos``. With the two words exchanged it is ``neg``, with exactly
the same bag of words. The rest of the text is drawn independently of the label.

The notation of the YAML files:

    <symbol>      one of the lines under ``symbol`` (of the subject, or the common ones); a line is used again
                  in a text only if no other is left
    <symbol a>    the same choice for each ``a`` in the text
    [words]       present in half of the texts
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

import yaml

from recurra.errors import ConfigError

__all__ = ["PARTS", "Grammar", "Part", "SampleRow"]

Label = Literal["neg", "pos"]
Part = Literal["train", "valid", "test"]
PARTS: tuple[Part, ...] = ("train", "valid", "test")
# Shares of all combinations of frame and slots; fixed, so that a part doesn't depend on the others' sizes.
_SHARES: dict[Part, float] = {"train": 0.6, "valid": 0.15, "test": 0.25}
_PATIENCE = 200  # repeated texts in a row after which the grammar is considered exhausted

_SYMBOL = re.compile(r"<(\w+)(?: (\w+))?>")
_OPTION = re.compile(r"\[([^\[\]]*)\]")
_SENTENCE = re.compile(r'(^"?|[.!?]"? "?|[:,] ")([a-z])')
_COMMAS = re.compile(r" ?([,，])(?: ?\1)*")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")


@dataclass(frozen=True)
class SampleRow:
    """A review with its label, and the frame, subject and words of praise and blame it was generated from."""

    text: str
    label: Label
    frame: str
    subject: str
    words: tuple[str, ...]

    @property
    def slots(self) -> tuple[str, ...]:
        """The combination of frame, subject and words, which occurs in one part only."""
        return self.frame, self.subject, *self.words


class Grammar:
    """The reviews of one language."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.common: dict[str, list[str]] = data["common"]
        self.subjects: dict[str, dict[str, list[str]]] = data["subjects"]
        self.frames: dict[str, dict[str, Any]] = data["frames"]

    @classmethod
    @cache
    def load(cls, name: str) -> Grammar:
        """Returns the grammar in ``name``.yaml of this package."""
        text = resources.files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
        return cls(yaml.safe_load(text))

    @staticmethod
    def draw(grammars: Sequence[Grammar], part: Part, size: int, seed: int) -> list[SampleRow]:
        """Returns ``size`` different rows of one part, from labels and grammars in turn, shuffled.

        Raises:
            ConfigError: the grammars have fewer different rows.
        """
        chance = random.Random(f"{seed} {part}")  # noqa: S311 - texts, not secrets
        rows: dict[str, SampleRow] = {}
        tries = 0
        while len(rows) < size:
            label: Label = "pos" if len(rows) % 2 else "neg"
            grammar = grammars[len(rows) // 2 % len(grammars)]
            row = grammar.row(part, label, chance, seed)
            tries = 0 if row.text not in rows else tries + 1
            rows.setdefault(row.text, row)
            if tries > _PATIENCE:
                raise ConfigError(f"the sample's {part} part can't have {size:,} rows", hint="ask for fewer")
        drawn = list(rows.values())
        chance.shuffle(drawn)
        return drawn

    def row(self, part: Part, label: Label, chance: random.Random, seed: int) -> SampleRow:
        """Returns a review with the label ``label`` that belongs to ``part``."""
        frame = chance.choices(list(self.frames), [frame["weight"] for frame in self.frames.values()])[0]
        skeleton = chance.choice(self.frames[frame]["texts"])
        while True:
            subject = chance.choice(list(self.subjects))
            vocabulary = {**self.common, **self.subjects[subject]}
            praise = chance.choice(self.common["praise"] + vocabulary["praise_own"])
            blame = chance.choice(self.common["blame"] + vocabulary["blame_own"])
            true, false = (praise, blame) if label == "pos" else (blame, praise)
            # A paired text has both words, and for both labels the same bag of words.
            words = (praise, blame) if self.frames[frame].get("paired", True) else (true,)
            # Few tries: each frame has dozens of combinations of subject and words, shared among the parts.
            if _part_of((frame, subject, *words), seed) == part:
                text = _Text(vocabulary, chance).expand(skeleton)
                text = _tidy(text.replace("{true}", true).replace("{false}", false))
                return SampleRow(text, label, frame, subject, words)


def _part_of(slots: tuple[str, ...], seed: int) -> Part:
    """The part to which a combination belongs, by a hash of it and the seed."""
    digest = hashlib.blake2b("|".join((str(seed), *slots)).encode(), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    for part in PARTS[:-1]:
        place -= _SHARES[part]
        if place < 0:
            return part
    return PARTS[-1]


class _Text:
    """Expands one text, without repeating lines."""

    def __init__(self, vocabulary: Mapping[str, list[str]], chance: random.Random) -> None:
        self.vocabulary = vocabulary
        self.chance = chance
        self.taken: set[tuple[str, str]] = set()
        self.named: dict[str | None, str] = {}

    def expand(self, text: str) -> str:
        """Returns ``text`` with its options decided and its symbols replaced."""
        text = _OPTION.sub(lambda match: match[1] if self.chance.random() < 0.5 else "", text)
        return _SYMBOL.sub(lambda match: self._line(match[1], match[2]), text)

    def _line(self, symbol: str, name: str | None) -> str:
        if name in self.named:
            return self.named[name]
        lines = self.vocabulary[symbol]
        fresh = [line for line in lines if (symbol, line) not in self.taken] or lines
        line = self.chance.choice(fresh)
        self.taken.add((symbol, line))
        expanded = self.expand(line)
        if name is not None:
            self.named[name] = expanded
        return expanded


def _tidy(text: str) -> str:
    """The text with single spaces and commas, capitals at the start of sentences, and "an" before vowels."""
    text = _COMMAS.sub(r"\1", " ".join(text.split()))
    text = _ARTICLE.sub(r"\1n ", text)
    return _SENTENCE.sub(lambda match: match[1] + match[2].upper(), text)
