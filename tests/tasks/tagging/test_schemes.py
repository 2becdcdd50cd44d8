"""Schemes of spans: the definitions are those of seqeval, and the scheme of tags is detected."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
import seqeval.scheme
from hypothesis import given, settings
from hypothesis import strategies as st
from seqeval.metrics import sequence_labeling, v1

from recurra.tasks.tagging.entities import entity_figures
from recurra.tasks.tagging.schemes import SCHEMES, find_scheme, lenient

SEQEVAL = {
    "iob1": seqeval.scheme.IOB1,
    "iob2": seqeval.scheme.IOB2,
    "iobes": seqeval.scheme.IOBES,
    "bilou": seqeval.scheme.BILOU,
    "bmes": seqeval.scheme.IOBES,
}
TO_IOBES = {"bilou": str.maketrans("LU", "ES"), "bmes": str.maketrans("M", "I")}
"""Letters of IOBES: seqeval's default mode does not know L and U, and seqeval has no BMES."""
KINDS = ["X", "Y-Z"]

Tags = list[list[str]]


def tagged(name: str) -> st.SearchStrategy[list[list[tuple[str, str]]]]:
    """Sentences of pairs of tags, the true one and the predicted one."""
    prefixes = [prefix for prefix in SCHEMES[name].prefixes if prefix != "O"]
    tags = st.sampled_from(["O", *(f"{prefix}-{kind}" for prefix in prefixes for kind in KINDS), *prefixes])
    return st.lists(st.lists(st.tuples(tags, tags), min_size=1, max_size=7), min_size=1, max_size=3)


def as_iobes(name: str, tags: Sequence[str]) -> list[str]:
    return [tag[0].translate(TO_IOBES.get(name, {})) + tag[1:] for tag in tags]


@pytest.mark.parametrize("name", SCHEMES)
@given(st.data())
@settings(max_examples=100)
def test_spans_are_those_of_seqeval(name: str, data: st.DataObject) -> None:
    for sentence in data.draw(tagged(name)):
        tags = [tag for tag, _ in sentence]
        known = sequence_labeling.get_entities(as_iobes(name, tags))
        assert lenient(tags) == {(start, end + 1, kind) for kind, start, end in known}
        theirs = tags if name == "bilou" else as_iobes(name, tags)
        (strict,) = seqeval.scheme.Entities([theirs], SEQEVAL[name]).entities
        assert SCHEMES[name].strict(tags) == {(one.start, one.end, one.tag) for one in strict}


@pytest.mark.parametrize("name", SCHEMES)
@given(st.data())
@settings(max_examples=40)
def test_scores_are_those_of_seqeval(name: str, data: st.DataObject) -> None:
    sentences = data.draw(tagged(name))
    true, said = ([[pair[part] for pair in sentence] for sentence in sentences] for part in (0, 1))
    found = entity_figures(true, said, SCHEMES[name])
    assert found.scheme == SCHEMES[name].name
    for scores, strict in ((found, False), (found.strict, True)):
        as_theirs = name == "bilou" and strict
        theirs = [[tags if as_theirs else as_iobes(name, tags) for tags in part] for part in (true, said)]
        score = (
            partial(v1.precision_recall_fscore_support, scheme=SEQEVAL[name])
            if strict
            else sequence_labeling.precision_recall_fscore_support
        )
        precision, recall, f1, entities = score(*theirs, average="micro", zero_division=0)
        assert scores.entities == entities
        assert (scores.precision or 0, scores.recall or 0) == pytest.approx((precision, recall))
        assert (scores.f1 or 0) == pytest.approx(f1)
        each = score(*theirs, average=None, zero_division=0)
        ours = [[figure or 0 for figure in figures] for _, figures in sorted(scores.kinds.items())]
        np.testing.assert_allclose(np.reshape(ours, (-1, 4)), np.transpose(each).reshape(-1, 4))


@pytest.mark.parametrize(
    ("sentences", "name"),
    [
        (["B-X I-X O", "O B-X B-X"], "IOB2"),
        (["O B-X", "O O"], "IOB2"),
        (["I-X I-X O", "O I-X B-X"], "IOB1"),
        (["I-X O"], "IOB1"),
        (["B-X E-X S-Y O"], "IOBES"),
        (["S-X S-Y O"], "IOBES"),
        (["B_X I_X E_X", "O"], "IOBES"),
        (["B-X L-X U-Y O"], "BILOU"),
        (["U-X O"], "BILOU"),
        (["B M M E", "S B E"], "BMES"),
        (["B I O"], "IOB2"),
        (["DET NOUN"], None),
        (["B-X I-X O", "NOUN O"], None),
        (["O O"], None),
        (["O", "I-X E-X"], None),  # IOE
        (["B-X L-X S-Y"], None),
        (["S V", "O"], None),
    ],
)
def test_the_scheme_is_detected(sentences: list[str], name: str | None) -> None:
    found = find_scheme([tags.split() for tags in sentences])
    assert (found.scheme and found.scheme.name) == name
    assert found.broken == 0
    assert found.text.startswith(f"{name}: spans are measured" if name else "none: spans are not measured")
    assert found.setting == (name or "none").lower()


def test_the_least_broken_scheme_is_named_with_the_number_of_sentences_that_break_it() -> None:
    found = find_scheme([["B-X", "I-X"], ["O", "I-X"], ["O", "B-Y", "I-Y"]])
    assert found.text == "IOB2: spans are measured; 1 of 3 sentences do not follow it"
    found = find_scheme([["I-X", "I-X"], ["O", "I-X"], ["O", "B-Y", "I-Y"]])
    assert found.text == "IOB1: spans are measured; 1 of 3 sentences do not follow it"


@pytest.mark.parametrize("name", SCHEMES)
@given(st.data())
@settings(max_examples=30)
def test_well_formed_spans_are_found_in_both_modes(name: str, data: st.DataObject) -> None:
    """Tags written from spans are read as these spans, and their scheme is found."""
    scheme = SCHEMES[name]
    parts = data.draw(
        st.lists(st.tuples(st.sampled_from(["O", *KINDS]), st.integers(1, 4)), min_size=1, max_size=6)
    )
    tags: list[str] = []
    spans = set()
    for kind, length in parts:
        if kind == "O":
            tags += ["O"] * length
            continue
        spans.add((len(tags), len(tags) + length, kind))
        tags += write(name, kind, length, tags)
    assert scheme.strict(tags) == lenient(tags) == spans
    assert find_scheme([tags]).broken == 0


def write(name: str, kind: str, length: int, before: list[str]) -> list[str]:
    """The tags of a span."""
    if name == "iob1":
        first = "B" if before and before[-1][2:] == kind else "I"
        return [f"{first}-{kind}", *[f"I-{kind}"] * (length - 1)]
    inner, end, single = {"iob2": "IIB", "iobes": "IES", "bilou": "ILU", "bmes": "MES"}[name]
    if length == 1:
        return [f"{single}-{kind}"]
    return [f"B-{kind}", *[f"{inner}-{kind}"] * (length - 2), f"{end}-{kind}"]
