"""The worst mistakes come first, with the right row and text."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.tasks.classification.mistakes import excerpt, worst_mistakes

P = np.array([[0.9, 0.1], [0.4, 0.6], [0.05, 0.95], [0.7, 0.3], [0.2, 0.8]])
Y = np.array([1, 1, 0, 1, 0])


def test_the_most_confident_wrong_rows_with_their_own_texts() -> None:
    asked: list[list[int]] = []

    def texts(rows: np.ndarray) -> list[str]:
        asked.append(rows.tolist())
        return [f"text {row}" for row in rows]

    found = worst_mistakes(Y, P, ["neg", "pos"], "binary", texts, numbers=np.arange(5) * 10 + 7, count=3)
    assert [m.row for m in found] == [27, 7, 47]
    assert [m.text for m in found] == ["text 2", "text 0", "text 4"]
    assert [(m.true, m.predicted) for m in found] == [("neg", "pos"), ("pos", "neg"), ("neg", "pos")]
    assert [m.probability for m in found] == [0.95, 0.9, 0.8]
    assert [m.true_probability for m in found] == pytest.approx([0.05, 0.1, 0.2])
    assert asked == [[0, 2, 4]]


def test_no_mistake_asks_for_no_text() -> None:
    def never(rows: np.ndarray) -> list[str]:
        raise AssertionError("asked")

    assert worst_mistakes(P.argmax(axis=1), P, ["a", "b"], "binary", never) == []


def test_multilabel_counts_the_most_confident_wrong_label() -> None:
    p = np.array([[0.9, 0.1, 0.4], [0.2, 0.3, 0.99], [0.02, 0.6, 0.4]])
    y = np.array([[1, 0, 0], [0, 0, 0], [1, 1, 0]])
    found = worst_mistakes(y, p, list("abc"), "multilabel", lambda rows: ["?"] * len(rows))
    assert [(m.row, m.true, m.predicted) for m in found] == [(2, "none", "c"), (3, "a, b", "b")]
    assert [m.probability for m in found] == pytest.approx([0.99, 0.98])
    assert found[0].true_probability is None


def test_texts_must_fit_the_rows() -> None:
    with pytest.raises(ValueError, match="1 texts"):
        worst_mistakes(Y, P, ["a", "b"], "binary", lambda rows: ["one"])


def test_all_wrong_rows_are_returned_if_the_count_is_large() -> None:
    mistakes = worst_mistakes(Y, P, ["a", "b"], "binary", lambda rows: ["?"] * len(rows), count=99)
    assert [m.row for m in mistakes] == [3, 1, 5, 4]


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=300), st.integers(10, 120))
def test_excerpts_keep_within_their_length_on_one_line(text: str, characters: int) -> None:
    found = excerpt(text, characters)
    assert len(found) <= characters
    assert found.split() == found.split(" ") or found == ""
    if len(" ".join(text.split())) <= characters:
        assert found == " ".join(text.split())


def test_excerpt_of_a_huge_text_shows_both_ends() -> None:
    found = excerpt("first " + "x " * 5_000_000 + "last")
    assert found.startswith("first x")
    assert found.endswith("x last")
    assert " … " in found


def test_excerpt_of_chinese_is_cut_anywhere() -> None:
    assert excerpt("好" * 100, 21) == "好" * 9 + " … " + "好" * 9


def test_half_a_character_is_replaced() -> None:
    found = worst_mistakes(np.array([1]), P[:1], ["a", "b"], "binary", lambda rows: ["odd \ud83d text"])
    assert found[0].text == "odd ? text"
