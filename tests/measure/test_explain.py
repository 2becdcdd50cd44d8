"""Leave-one-out finds the words a known scorer goes by, at a bounded cost, and shows them safely."""

from __future__ import annotations

from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit

from recurra.measure.explain import Contribution, Explanation, explain, join_words, to_html, to_rich
from recurra.printable import printable

UNKNOWN = 2


class Linear:
    """A bag-of-words model with a weight an id: its log-odds fall by exactly the weight of a hidden word."""

    def __init__(self, weights: dict[int, float]) -> None:
        self.weights = weights
        self.calls: list[int] = []

    def __call__(self, variants: list[NDArray[np.integer]]) -> NDArray[np.float64]:
        self.calls.append(len(variants))
        p = expit([sum(self.weights.get(int(i), 0.0) for i in ids) for ids in variants])
        return np.stack([1 - p, p], axis=1)


def test_contributions_are_the_weights_of_a_linear_model() -> None:
    score = Linear({5: 2.0, 6: -0.5, 7: 0.0, 1: 9.0})
    found = explain(["<start>", "good", "but", "long"], np.array([1, 5, 6, 7]), score, ["neg", "pos"])
    assert found.label == "pos"
    assert [p.text for p in found.parts] == ["good", "but", "long"]
    assert [p.contribution for p in found.parts] == pytest.approx([2.0, -0.5, 0.0], abs=1e-3)
    assert found.group == 1
    assert found.note == ""
    assert score.calls == [1, 3]


def test_unknown_words_count_nothing_and_are_not_scored() -> None:
    score = Linear({5: 1.0})
    found = explain(["good", "zzz"], np.array([5, UNKNOWN]), score, ["neg", "pos"])
    assert [p.contribution for p in found.parts] == pytest.approx([1.0, 0.0])
    assert score.calls == [1, 1]
    assert found.note == "1 word is outside the vocabulary and has no contribution"


def test_long_texts_go_in_groups_at_a_bounded_cost() -> None:
    score = Linear({5: 0.01, 6: 3.0})
    ids = np.full(1001, 5)
    ids[500] = 6
    found = explain([f"w{i}" for i in range(1001)], ids, score, ["neg", "pos"], limit=100)
    assert max(score.calls) <= 100
    assert found.group == 11
    assert "groups of 11" in found.note
    assert " ".join(p.text for p in found.parts).split() == [f"w{i}" for i in range(1001)]
    assert "w500" in max(found.parts, key=lambda p: p.contribution).text.split()


def test_certain_probabilities_stay_finite() -> None:
    found = explain(["a", "b"], np.array([5, 6]), Linear({5: 2000.0}), ["neg", "pos"])
    assert all(np.isfinite(p.contribution) for p in found.parts)
    assert found.parts[0].contribution > 20


@pytest.mark.parametrize("ids", [[], [1], [1, UNKNOWN]])
def test_nothing_to_hide(ids: list[int]) -> None:
    found = explain(["x"] * len(ids), np.array(ids, np.int64), Linear({}), ["neg", "pos"])
    assert all(p.contribution == 0 for p in found.parts)
    assert str(to_html(found)) == " ".join(p.text for p in found.parts)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="1 tokens have 2 ids"):
        explain(["a"], np.array([5, 6]), Linear({}), ["a", "b"])
    with pytest.raises(ValueError, match="limit"):
        explain(["a"], np.array([5]), Linear({}), ["a", "b"], limit=0)


def test_html_marks_words_for_and_against() -> None:
    parts = [("not", -2.0), ("a", 0.01), ("fine", 4.0), (".", 0.0)]
    shown = to_html(
        Explanation(
            label="pos", probability=0.9, parts=[Contribution(text=t, contribution=c) for t, c in parts]
        )
    )
    assert str(shown) == (
        '<span class="against" style="--w:0.50" title="-2.00">not</span> a '
        '<span class="for" style="--w:1.00" title="+4.00">fine</span>.'
    )


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs"])), st.floats(-9, 9)), max_size=8))
def test_any_words_are_safe_in_html_and_whole_in_the_terminal(words: list[tuple[str, float]]) -> None:
    e = Explanation(
        label="x", probability=0.5, parts=[Contribution(text=t, contribution=c) for t, c in words]
    )
    page = Tags()
    page.feed(str(to_html(e)))
    page.close()
    assert page.tags <= {"span"}
    letters = "".join("".join(text for text, _ in words).split())
    assert "".join(page.text.split()) == letters
    drawn = "".join(to_rich(e).plain.split())
    assert drawn == "".join(printable("".join(text for text, _ in words)).split())


@pytest.mark.parametrize(
    ("words", "line"),
    [(["(", "a", ")", "b", "."], "(a) b."), (["5", "星", "级"], "5 星级"), (["", "a"], "a"), ([], "")],
)
def test_words_joined_as_a_reader_expects(words: list[str], line: str) -> None:
    assert join_words(words) == line
