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
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Any, Literal

import yaml

from recurra.errors import ConfigError

__all__ = ["PARTS", "Grammar", "Part", "SampleRow", "Scene"]

Label = Literal["neg", "pos"]
Part = Literal["train", "valid", "test"]
PARTS: tuple[Part, ...] = ("train", "valid", "test")
# Shares of all combinations of frame and slots; fixed, so that a part doesn't depend on the others' sizes.
_SHARES: dict[Part, float] = {"train": 0.6, "valid": 0.15, "test": 0.25}
_PATIENCE = 200  # known texts in a row before the grammar is taken to be exhausted

_SYMBOL = re.compile(r"<(\w+)(?: (\w+))?>")
_OPTION = re.compile(r"\[([^\[\]]*)\]")
_SENTENCE = re.compile(r'(^"?|[.!?]"? "?|[:,] ")([a-z])')
_COMMAS = re.compile(r" ?([,，])(?: ?\1)*")
_ARTICLE = re.compile(r"\b([Aa]) (?=[aeiou])")


@dataclass(frozen=True)
class SampleRow:
    """One review with its label and what it was made of."""

    text: str
    label: Label
    frame: str
    subject: str
    words: tuple[str, ...]

    @property
    def slots(self) -> tuple[str, ...]:
        """What no two parts share: the frame, the subject and the words of praise and blame in it."""
        return self.frame, self.subject, *self.words


@dataclass(frozen=True)
class Scene:
    """A review whose two decisive places are still open."""

    frame: str
    subject: str
    skeleton: str
    praise: str
    blame: str
    paired: bool  # both words stand in the text, so both readings have the same bag of words

    def words(self, label: Label) -> tuple[str, ...]:
        """The words of praise and blame that stand in the text."""
        if self.paired:
            return self.praise, self.blame
        return (self.praise,) if label == "pos" else (self.blame,)

    def read(self, label: Label) -> SampleRow:
        """The review as praise (``pos``) or as blame (``neg``)."""
        true, false = (self.praise, self.blame) if label == "pos" else (self.blame, self.praise)
        text = self.skeleton.replace("{true}", true).replace("{false}", false)
        return SampleRow(_tidy(text), label, self.frame, self.subject, self.words(label))

    def part(self, label: Label, seed: int) -> Part:
        """The part that owns these slots, by a hash of them and the seed."""
        slots = "|".join((str(seed), self.frame, self.subject, *self.words(label)))
        place = int.from_bytes(hashlib.blake2b(slots.encode(), digest_size=8).digest(), "big") / 2**64
        for part in PARTS[:-1]:
            place -= _SHARES[part]
            if place < 0:
                return part
        return PARTS[-1]


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
        tries = 0
        while len(rows) < size:
            label: Label = "pos" if len(rows) % 2 else "neg"
            grammar = grammars[len(rows) // 2 % len(grammars)]
            row = grammar.scene(part, label, chance, seed).read(label)
            tries = 0 if row.text not in rows else tries + 1
            rows.setdefault(row.text, row)
            if tries > _PATIENCE:
                raise ConfigError(f"the sample's {part} part can't have {size:,} rows", hint="ask for fewer")
        drawn = list(rows.values())
        chance.shuffle(drawn)
        return drawn

    def scene(self, part: Part, label: Label, chance: random.Random, seed: int) -> Scene:
        """A scene that belongs to ``part`` where it is read as ``label``."""
        frame = chance.choices(list(self.frames), [frame["weight"] for frame in self.frames.values()])[0]
        text = chance.choice(self.frames[frame]["texts"])
        while True:
            subject = chance.choice(list(self.subjects))
            lexicon = {**self.common, **self.subjects[subject]}
            praise = chance.choice(self.common["praise"] + lexicon["praise_own"])
            blame = chance.choice(self.common["blame"] + lexicon["blame_own"])
            scene = Scene(frame, subject, text, praise, blame, self.frames[frame].get("paired", True))
            # Ends soon: each frame has dozens of (subject, word) slots, each part owning a share.
            if scene.part(label, seed) == part:
                return replace(scene, skeleton=_Text(lexicon, chance).expand(text))


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


def _tidy(text: str) -> str:
    """Single spaces and commas, capitals at the start of sentences, and "an" where it is due."""
    text = _COMMAS.sub(r"\1", " ".join(text.split()))
    text = _ARTICLE.sub(r"\1n ", text)
    return _SENTENCE.sub(lambda found: found[1] + found[2].upper(), text)
