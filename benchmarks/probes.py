"""Sentences with a dependency over a known distance, which test how far back a language model remembers.

There are two kinds. ``agreement``: a noun, k words that may contain other nouns of either number, and the
verb, which must agree with the first noun (after Linzen, Dupoux & Goldberg 2016). ``country``: "i grew up in
china ... i speak fluent", with k words from the country to the language.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from recurra.measure.metrics import wilson_interval

__all__ = ["KINDS", "Kind", "Probe", "Recall", "make_probes", "recall_by_distance"]

Kind = Literal["agreement", "country"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_NOUNS = ("author", "boy", "farmer", "guest", "nurse", "pilot")  # plural by -s
_VERBS = ("laugh", "run", "sing", "wait")  # singular by -s
_BESIDE = ("behind", "beside", "near", "with")
_PLACES = ("church", "garden", "river", "station")
_ADJECTIVES = ("old", "quiet", "tall", "young")
_ADVERBS = ("always", "often", "still", "usually")
_LANGUAGES = {
    "china": "chinese",
    "france": "french",
    "germany": "german",
    "italy": "italian",
    "japan": "japanese",
    "poland": "polish",
    "russia": "russian",
    "spain": "spanish",
}
_CLAUSES = (
    "where my father sold * cars",
    "and we played near the river",
    "then my sister found a * house",
    "but later i worked with * friends",
    "and every summer we walked home",
)
_TAIL = ("i", "speak", "fluent")


@dataclass(frozen=True)
class Probe:
    """A sentence whose last word depends on an earlier one.

    Attributes:
        kind: ``agreement`` or ``country``.
        distance: the number of words between the two.
        before: the sentence up to the dependent word.
        right: the dependent word.
        wrong: other words that could follow.
    """

    kind: Kind
    distance: int
    before: str
    right: str
    wrong: tuple[str, ...]

    @property
    def sentence(self) -> str:
        """The complete sentence, as a training text."""
        return f"{self.before} {self.right} ."


@dataclass(frozen=True)
class Recall:
    """The share of probes at one distance whose right word beats every wrong one, with its 95% interval."""

    distance: int
    probes: int
    share: float
    low: float
    high: float


def make_probes(kind: Kind, distances: Sequence[int], seed: int) -> list[Probe]:
    """Returns a probe for each of the distances; the same seed gives the same probes.

    Raises:
        ValueError: a distance is below 0, or below 3 for ``country``.

    Example:
        >>> for probe in make_probes("agreement", [1, 5], seed=4) + make_probes("country", [6], seed=1):
        ...     print(probe.before, "|", probe.right)
        the pilots usually | wait
        the guest near the tall garden still | runs
        i grew up in japan and we played i speak fluent | japanese
    """
    least = len(_TAIL) if kind == "country" else 0
    if min(distances, default=least) < least:
        raise ValueError(f"{kind} has distances from {least} on, not {min(distances)}")
    random = np.random.default_rng([seed, KINDS.index(kind)])
    make = _country if kind == "country" else _agreement
    return [make(distance, random) for distance in distances]


def recall_by_distance(
    probes: Sequence[Probe], log_probabilities: NDArray[np.floating], number: Callable[[str], int]
) -> list[Recall]:
    """Returns the share of right answers at each distance, the shortest first.

    Args:
        probes: N probes.
        log_probabilities: ``(N, V)`` of the token after ``before``.
        number: returns the column of a word.
    """
    hits: dict[int, list[bool]] = {}
    for probe, scores in zip(probes, log_probabilities, strict=True):
        best = max(scores[number(word)] for word in probe.wrong)
        hits.setdefault(probe.distance, []).append(bool(scores[number(probe.right)] > best))
    return [
        Recall(distance, len(right), sum(right) / len(right), *wilson_interval(sum(right), len(right)))
        for distance, right in sorted(hits.items())
    ]


def _agreement(distance: int, random: np.random.Generator) -> Probe:
    plural = bool(random.integers(2))
    verb = str(random.choice(_VERBS))
    words = ["the", _noun(plural, random)]
    left = distance
    while left:
        other = _noun(bool(random.integers(2)), random) if random.integers(4) == 0 else random.choice(_PLACES)
        phrase = [str(random.choice(_BESIDE)), "the", str(other)]
        if left >= 4 and random.integers(2):
            phrase.insert(2, str(random.choice(_ADJECTIVES)))
        if left < 3:
            phrase = [str(random.choice(_ADVERBS))]
        words += phrase
        left -= len(phrase)
    forms = (verb, f"{verb}s") if plural else (f"{verb}s", verb)
    return Probe("agreement", distance, " ".join(words), forms[0], forms[1:])


def _country(distance: int, random: np.random.Generator) -> Probe:
    country = str(random.choice(list(_LANGUAGES)))
    filler: list[str] = []
    while len(filler) < distance - len(_TAIL):
        clause = str(random.choice(_CLAUSES)).replace("*", str(random.choice(_ADJECTIVES)))
        filler += clause.split()
    filler = filler[: distance - len(_TAIL)]
    before = " ".join(["i", "grew", "up", "in", country, *filler, *_TAIL])
    right = _LANGUAGES[country]
    return Probe("country", distance, before, right, tuple(o for o in _LANGUAGES.values() if o != right))


def _noun(plural: bool, random: np.random.Generator) -> str:
    return str(random.choice(_NOUNS)) + "s" * plural
