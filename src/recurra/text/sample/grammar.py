"""A small grammar that writes reviews: frames with one place that counts and one that doesn't.

Every frame holds the two marks ``{true}`` and ``{false}``, and every review gets one word of praise and one
of blame. Where praise takes the place that counts, the review is ``pos``; exchange the two words and it is
``neg``, with exactly the same bag of words. The rest (who said it, where, fillers) is drawn without a look
at the label.

The notation of the YAML files:

    <symbol>      one of the lines under ``symbol`` (the subject's own, or the common ones); within one text
                  a line is not taken twice while others are left
    <symbol a>    the same choice wherever ``a`` is named again in the text
    [words]       there in half of the texts
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

__all__ = ["PARTS", "Grammar", "Part", "SampleRow", "Scene"]

Label = Literal["neg", "pos"]
Part = Literal["train", "valid", "test"]
PARTS: tuple[Part, ...] = ("train", "valid", "test")
# Shares of the (frame, praise, blame) combinations; fixed, so that a part doesn't depend on the others' sizes.
_SHARES: dict[Part, float] = {"train": 0.6, "valid": 0.15, "test": 0.25}
_PATIENCE = 200  # draws for one new row before the grammar is taken to be exhausted

_SYMBOL = re.compile(r"<(\w+)(?: (\w+))?>")
_OPTION = re.compile(r"\[([^\[\]]*)\]")
_SENTENCE = re.compile(r'(^"?|[.!?]"? "?|[:,] ")([a-z])')
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")


@dataclass(frozen=True)
class SampleRow:
    """One review with its label and what it was made of."""

    text: str
    label: Label
    frame: str
    praise: str
    blame: str

    @property
    def slots(self) -> tuple[str, str, str]:
        """What no two parts share: the frame and the pair of words that fill it."""
        return self.frame, self.praise, self.blame


@dataclass(frozen=True)
class Scene:
    """A review whose two decisive places are still open."""

    frame: str
    skeleton: str
    praise: str
    blame: str

    def read(self, label: Label) -> SampleRow:
        """The review as praise (``pos``) or as blame (``neg``)."""
        good, bad = self.praise, self.blame
        true, false = (good, bad) if label == "pos" else (bad, good)
        text = self.skeleton.replace("{true}", true).replace("{false}", false)
        return SampleRow(_tidy(text), label, self.frame, good, bad)


class Grammar:
    """The reviews of one language."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.common: dict[str, list[str]] = data["common"]
        self.subjects: dict[str, dict[str, list[str]]] = data["subjects"]
        self.frames: dict[str, dict[str, Any]] = data["frames"]

    @classmethod
    @cache
    def load(cls, name: str) -> Grammar:
        """The grammar of ``name``.yaml in this package."""
        text = resources.files(__package__).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
        return cls(yaml.safe_load(text))

    @staticmethod
    def draw(grammars: Sequence[Grammar], part: Part, size: int, seed: int) -> list[SampleRow]:
        """``size`` different rows of one part, labels and grammars in turn, then shuffled.

        Raises:
            ConfigError: the grammar can't give so many different rows.
        """
        chance = random.Random(f"{seed} {part}")  # noqa: S311 - texts, not secrets
        rows: dict[str, SampleRow] = {}
        while len(rows) < size:
            label: Label = "pos" if len(rows) % 2 else "neg"
            grammar = grammars[len(rows) // 2 % len(grammars)]
            for _ in range(_PATIENCE):
                row = grammar.scene(part, chance, seed).read(label)
                if row.text not in rows:
                    rows[row.text] = row
                    break
            else:
                raise ConfigError(f"the sample's {part} part can't have {size:,} rows", mend="ask for fewer")
        drawn = list(rows.values())
        chance.shuffle(drawn)
        return drawn

    def scene(self, part: Part, chance: random.Random, seed: int) -> Scene:
        """A review of ``part`` that still waits for its label."""
        frame = chance.choices(list(self.frames), [frame["weight"] for frame in self.frames.values()])[0]
        lexicon = {**self.common, **self.subjects[chance.choice(list(self.subjects))]}
        good = self.common["praise"] + lexicon["praise_own"]
        bad = self.common["blame"] + lexicon["blame_own"]
        while True:
            praise, blame = chance.choice(good), chance.choice(bad)
            if _part_of(frame, praise, blame, seed) == part:
                break
        skeleton = _Text(lexicon, chance).expand(chance.choice(self.frames[frame]["texts"]))
        return Scene(frame, skeleton, praise, blame)


class _Text:
    """One text in the making; it remembers which lines it has taken."""

    def __init__(self, lexicon: Mapping[str, list[str]], chance: random.Random) -> None:
        self.lexicon = lexicon
        self.chance = chance
        self.taken: set[tuple[str, str]] = set()
        self.named: dict[str, str] = {}

    def expand(self, text: str) -> str:
        """``text`` with every option decided and every symbol replaced."""
        text = _OPTION.sub(lambda found: found[1] if self.chance.random() < 0.5 else "", text)
        return _SYMBOL.sub(lambda found: self._symbol(found[1], found[2]), text)

    def _symbol(self, symbol: str, name: str | None) -> str:
        if name is None:
            return self._line(symbol)
        if name not in self.named:
            self.named[name] = self._line(symbol)
        return self.named[name]

    def _line(self, symbol: str) -> str:
        lines = self.lexicon[symbol]
        fresh = [line for line in lines if (symbol, line) not in self.taken] or lines
        line = self.chance.choice(fresh)
        self.taken.add((symbol, line))
        return self.expand(line)


def _part_of(frame: str, praise: str, blame: str, seed: int) -> Part:
    """The part that owns a frame with these words, by a hash that depends on the seed."""
    digest = hashlib.blake2b(f"{seed}|{frame}|{praise}|{blame}".encode(), digest_size=8).digest()
    place = int.from_bytes(digest, "big") / 2**64
    for part, share in _SHARES.items():
        if place < share:
            return part
        place -= share
    return "test"


def _tidy(text: str) -> str:
    """Single spaces, capitals at the start of sentences, and "an" where it is due."""
    text = " ".join(text.split())
    text = _ARTICLE.sub(r"\1n ", text)
    return _SENTENCE.sub(lambda found: found[1] + found[2].upper(), text)
