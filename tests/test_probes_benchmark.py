"""Probe sentences have the stated distance; the right word depends on the first one; recall is counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.probes import KINDS, make_probes, recall_by_distance


@given(st.lists(st.integers(0, 70), min_size=1, max_size=20), st.integers(0, 1000))
def test_a_verb_agrees_with_the_noun_so_many_words_back(distances: list[int], seed: int) -> None:
    for distance, probe in zip(distances, make_probes("agreement", distances, seed), strict=True):
        words = probe.before.split()
        assert len(words) == 2 + distance
        plural = words[1].endswith("s")
        assert probe.right.endswith("s") != plural
        assert {probe.right, *probe.wrong} == {probe.right.rstrip("s"), probe.right.rstrip("s") + "s"}
        assert probe.sentence.split() == [*words, probe.right, "."]


@given(st.lists(st.integers(3, 70), min_size=1, max_size=20), st.integers(0, 1000))
def test_a_language_is_the_countrys(distances: list[int], seed: int) -> None:
    spoken = {"china": "chinese", "france": "french", "germany": "german", "italy": "italian"}
    for distance, probe in zip(distances, make_probes("country", distances, seed), strict=True):
        words = probe.before.split()
        assert words[-3:] == ["i", "speak", "fluent"]
        assert len(words) == 5 + distance
        assert probe.right == spoken.get(words[4], probe.right)
        assert len({probe.right, *probe.wrong}) == 8


def test_nouns_in_between_tell_nothing() -> None:
    """Were the nearest noun's number mostly the first one's, no memory would be needed."""
    probes = make_probes("agreement", [30] * 600, 1)
    last = [next(w for w in reversed(p.before.split()) if w.rstrip("s") in PEOPLE) for p in probes]
    away = [p for p, noun in zip(probes, last, strict=True) if noun != p.before.split()[1]]
    same = [p.right.endswith("s") != p.before.split()[1].endswith("s") for p in away]
    assert all(same)
    misleading = np.mean(
        [n.endswith("s") != p.before.split()[1].endswith("s") for p, n in zip(probes, last, strict=True)]
    )
    assert 0.3 < misleading < 0.6


PEOPLE = {"author", "boy", "farmer", "guest", "nurse", "pilot"}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_makes_the_same(kind: str) -> None:
    one, again, other = (make_probes(kind, [5] * 30, seed) for seed in (1, 1, 2))  # type: ignore[arg-type]
    assert one == again != other


def test_distances_that_are_not_there_are_refused() -> None:
    with pytest.raises(ValueError, match="from 3 on, not 2"):
        make_probes("country", [8, 2], 1)
    with pytest.raises(ValueError, match="from 0 on, not -1"):
        make_probes("agreement", [-1], 1)
    assert make_probes("agreement", [], 1) == []


def test_recall_counts_right_words_that_beat_every_wrong_one() -> None:
    probes = make_probes("country", [9, 3, 9, 9], 1)
    number = {word: n for n, word in enumerate(sorted({probes[0].right, *probes[0].wrong}))}
    scores = np.zeros((4, 8))
    for row in (0, 1, 3):
        scores[row, number[probes[row].right]] = 1
    scores[3, number[probes[3].wrong[0]]] = 1  # a draw is no answer
    result = recall_by_distance(probes, scores, number.__getitem__)
    assert [(each.distance, each.probes, round(each.share, 3)) for each in result] == [
        (3, 1, 1.0),
        (9, 3, 0.333),
    ]
    assert result[1].low < 1 / 3 < result[1].high
