"""The schemes by which tags mark spans of words, such as IOB2: their detection, and the spans of a sentence.

A tag is a prefix and a kind, such as ``B-PER``, or ``O`` outside of spans. The definitions of spans are those
of seqeval, with which the tests compare them.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["NO_SCHEME", "SCHEMES", "FoundScheme", "Scheme", "Span", "find_scheme"]

Span = tuple[int, int, str]
"""Start, end (exclusive) and kind of a span."""
Parsed = tuple[str, str]
"""Prefix and kind of a tag."""

NO_SCHEME = "none"
"""The value of the setting ``tagging.scheme`` for tags that mark no spans."""
_OUTSIDE: Parsed = ("O", "")
_TAG = re.compile(r"([BEILMSU])(?:[-_](.*))?", re.DOTALL)
_KINDLESS = "_"  # as in seqeval


@dataclass(frozen=True)
class Scheme:
    """A scheme of tags.

    The patterns describe two neighbouring tags by their prefixes; ``?`` is any prefix. With a final ``=``,
    both have the same kind, with ``!`` different kinds.

    Attributes:
        name: as it is written.
        prefixes: those of its tags.
        needs: groups of prefixes, one of which occurs as a whole.
        starts: pairs in which the second tag starts a span.
        inside: pairs in which the second tag continues the span of the first.
        ends: pairs in which the first tag ends a span; a span that is not ended is not counted.
    """

    name: str
    prefixes: str
    needs: tuple[str, ...]
    starts: tuple[str, ...]
    inside: tuple[str, ...]
    ends: tuple[str, ...]

    def strict(self, tags: Sequence[str]) -> set[Span]:
        """Returns the spans of a sentence that follow the scheme.

        Example:
            >>> sorted(SCHEMES["iob2"].strict(["B-PER", "I-PER", "O", "I-LOC", "B-ORG"]))
            [(0, 2, 'PER'), (4, 5, 'ORG')]
        """
        pairs = [pair if pair[0] in self.prefixes else _OUTSIDE for pair in map(_parsed, tags)]
        pairs.append(_OUTSIDE)
        spans: set[Span] = set()
        before, at = _OUTSIDE, 0
        while at < len(pairs):
            start = at
            at += 1
            if _matches(self.starts, before, pairs[start]):
                while at < len(pairs) and _matches(self.inside, pairs[at - 1], pairs[at]):
                    at += 1
                if _matches(self.ends, pairs[at - 1], pairs[at]):
                    spans.add((start, at, pairs[start][1]))
            before = pairs[at - 1]
        return spans

    def has(self, tag: str) -> bool:
        """Returns whether a tag is one of the scheme."""
        return tag == "O" or (_parsed(tag) != _OUTSIDE and _parsed(tag)[0] in self.prefixes)

    def follows(self, tags: Sequence[str]) -> bool:
        """Returns whether all spans of a sentence follow the scheme."""
        return self.strict(tags) == lenient(tags)

    def renamed(self, name: str, prefixes: dict[str, str]) -> Scheme:
        """Returns the same scheme with other prefixes."""
        table = str.maketrans(prefixes)

        def patterns(some: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(pattern.translate(table) for pattern in some)

        parts = map(patterns, (self.needs, self.starts, self.inside, self.ends))
        return Scheme(name, self.prefixes.translate(table), *parts)


IOB2 = Scheme(
    "IOB2",
    prefixes="BIO",
    needs=("B",),
    starts=("?B",),
    inside=("BI=", "II="),
    ends=("B?", "I?"),
)
IOB1 = Scheme(
    "IOB1",
    prefixes="BIO",
    needs=("I",),
    starts=("OI", "II!", "BI", "IB=", "BB="),
    inside=("BI=", "II="),
    ends=("IO", "II!", "IB", "BO", "BI!", "BB="),
)
IOBES = Scheme(
    "IOBES",
    prefixes="BEIOS",
    needs=("BE", "S"),
    starts=("?B", "?S"),
    inside=("BI=", "BE=", "II=", "IE="),
    ends=("E?", "S?"),
)

SCHEMES = {
    scheme.name.lower(): scheme
    for scheme in (
        IOB2,
        IOB1,
        IOBES,
        IOBES.renamed("BILOU", {"E": "L", "S": "U"}),
        IOBES.renamed("BMES", {"I": "M"}),
    )
}
"""By the value of the setting ``tagging.scheme``; of those that fit equally well, the first is chosen."""


def lenient(tags: Sequence[str]) -> set[Span]:
    """Returns the spans of a sentence as ``conlleval`` counts them, those that break the scheme included.

    A tag continues a span of its kind that was started by B or I, unless its own prefix is B, S or U. Each
    other tag that is not ``O`` starts a span.

    Example:
        >>> sorted(lenient(["B-PER", "I-PER", "O", "I-LOC", "B-ORG"]))
        [(0, 2, 'PER'), (3, 4, 'LOC'), (4, 5, 'ORG')]
    """
    spans: set[Span] = set()
    before, start = _OUTSIDE, 0
    for at, tag in enumerate([*map(_parsed, tags), _OUTSIDE]):
        if before[0] in "BIM" and tag[0] in "IMEL" and before[1] == tag[1]:
            before = tag
            continue
        if before != _OUTSIDE:
            spans.add((start, at, before[1]))
        before, start = tag, at
    return spans


@dataclass(frozen=True)
class FoundScheme:
    """The scheme of tagged sentences; ``scheme`` is None if there is none.

    ``broken`` of ``sentences`` do not follow it.
    """

    scheme: Scheme | None
    broken: int = 0
    sentences: int = 0

    @property
    def setting(self) -> str:
        """The value of ``tagging.scheme``."""
        return self.scheme.name.lower() if self.scheme else NO_SCHEME

    @property
    def text(self) -> str:
        """The scheme in words."""
        if self.scheme is None:
            names = ", ".join(scheme.name for scheme in SCHEMES.values())
            return f"none: spans are not measured, the tags are not those of {names}"
        few = f"; {self.broken:,} of {self.sentences:,} sentences do not follow it" if self.broken else ""
        return f"{self.scheme.name}: spans are measured{few}"


def find_scheme(sentences: Iterable[Sequence[str]], tags: Collection[str] | None = None) -> FoundScheme:
    """Returns the scheme of the tags of sentences: of those that have their prefixes, the least broken one.

    Args:
        sentences: their tags, read once; not at all if no scheme has their tags.
        tags: the tags that occur, if they are known; the sentences are then not kept in memory.

    Example:
        >>> found = find_scheme([["B-PER", "I-PER", "O"], ["O", "I-LOC"]])
        >>> found.text
        'IOB2: spans are measured; 1 of 2 sentences do not follow it'
        >>> find_scheme([["NOUN", "VERB"]]).scheme is None
        True
    """
    if tags is None:
        sentences = [list(sentence) for sentence in sentences]
        tags = {tag for sentence in sentences for tag in sentence}
    if not all(tag == "O" or _TAG.fullmatch(tag) for tag in tags):
        return FoundScheme(None)
    prefixes = {_parsed(tag)[0] for tag in tags}
    fitting = [
        scheme
        for scheme in SCHEMES.values()
        if prefixes <= set(scheme.prefixes) and any(prefixes >= set(group) for group in scheme.needs)
    ]
    if not fitting:
        return FoundScheme(None)
    broken = dict.fromkeys(range(len(fitting)), 0)
    count = 0
    for sentence in sentences:
        count += 1
        spans = lenient(sentence)
        for number, scheme in enumerate(fitting):
            broken[number] += scheme.strict(sentence) != spans
    least = min(broken, key=broken.__getitem__)  # the first of equals
    return FoundScheme(fitting[least], broken[least], count)


@lru_cache(maxsize=4096)
def _parsed(tag: str) -> Parsed:
    """The prefix and the kind of a tag; a tag without a prefix is outside of spans."""
    found = _TAG.fullmatch(tag)
    return (found.group(1), found.group(2) or _KINDLESS) if found else _OUTSIDE


def _matches(patterns: tuple[str, ...], before: Parsed, tag: Parsed) -> bool:
    for pattern in patterns:
        if pattern[0] in ("?", before[0]) and pattern[1] in ("?", tag[0]):
            kinds = pattern[2:]
            if not kinds or (kinds == "=") == (before[1] == tag[1]):
                return True
    return False
