"""Words of each class over many explanations, and the test by deletion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from recurra.measure.explain import Contribution, Explanation
from recurra.measure.explained import Explained, deletion_test, page_of, without, words_by_class
from recurra.measure.report import render

WEIGHTS = {"good": 2.0, "great": 1.0, "film": 0.0, "dull": -1.5, "the": 0.1}


def explained(text: str, label: str = "pos", group: int = 1) -> Explanation:
    sign = 1 if label == "pos" else -1
    words = text.split()
    groups = [words[start : start + group] for start in range(0, len(words), group)]
    parts = [
        Contribution(text=" ".join(words), contribution=sign * sum(WEIGHTS[word.lower()] for word in words))
        for words in groups
    ]
    return Explanation(label=label, probability=0.8, parts=parts, group=group)


def log_odds(texts: Sequence[str], labels: Sequence[str]) -> NDArray[np.float64]:
    """Of the model whose weights are known."""
    signs = np.array([1 if label == "pos" else -1 for label in labels])
    return signs * np.array([sum(WEIGHTS[word.lower()] for word in text.split()) for text in texts])


def test_words_are_added_up_by_the_predicted_class() -> None:
    rows = [explained("The good film"), explained("good great film"), explained("the dull film", "neg")]
    positive, negative = words_by_class(rows)
    assert (positive.label, positive.rows, negative.label, negative.rows) == ("pos", 2, "neg", 1)
    assert [(word.text, word.total, word.rows, word.mean) for word in positive.towards] == [
        ("good", 4.0, 2, 2.0), ("great", 1.0, 1, 1.0), ("the", 0.1, 1, 0.1),
    ]  # fmt: skip
    assert [(word.text, word.total) for word in negative.towards] == [("dull", 1.5)]
    assert [(word.text, word.total) for word in negative.against] == [("the", -0.1)]


def test_words_of_a_group_have_an_even_share() -> None:
    (found,) = words_by_class([explained("good film the dull", group=2)])
    assert {word.text: word.total for word in found.towards} == {"good": 1.0, "film": 1.0}
    assert {word.text: word.total for word in found.against} == pytest.approx({"the": -0.7, "dull": -0.7})


def test_deletions_of_a_model_that_is_a_sum_agree() -> None:
    texts = ["the good film", "good great film", "dull film great", "great film the"] * 5
    rows = [explained(text) for text in texts]
    test = deletion_test(rows, log_odds, np.random.default_rng(0))
    assert test is not None
    assert test.words == 40
    assert test.correlation == pytest.approx(1.0, abs=1e-4)
    assert test.strongest == pytest.approx((2.0 + 2.0 + 1.0 + 1.0) / 4)
    assert test.strongest > test.random
    assert "correlation of 1.00" in test.sentence()


def test_contributions_that_say_nothing_are_found_out() -> None:
    random = np.random.default_rng(1)
    rows = []
    for _ in range(60):
        row = explained("the good great dull film")
        for part in row.parts:
            part.contribution = float(random.normal())
        rows.append(row)
    test = deletion_test(rows, log_odds, random)
    assert test is not None
    assert test.low is not None
    assert test.low < 0.2


def test_single_words_have_no_test() -> None:
    assert deletion_test([explained("good")], log_odds, np.random.default_rng(0)) is None


def test_pieces_of_words_are_joined() -> None:
    parts = [Contribution(text=text, contribution=0.0) for text in ("▁not", "▁bo", "ring")]
    row = Explanation(label="pos", probability=0.5, parts=parts)
    assert without(row, None) == "not boring"
    assert without(row, 0) == "boring"


def test_the_page_escapes_words_and_says_how_many_were_explained() -> None:
    parts = [Contribution(text="<script>x1", contribution=1.0), Contribution(text="b", contribution=-1.0)]
    rows = [Explanation(label="<b>", probability=0.5, parts=parts, row=3)]
    page = render(page_of(Explained(rows=rows, of=7, classes=words_by_class(rows), deletion=None), "T", ""))
    assert "<script>x1" not in page
    assert "1 of 7 texts were explained" in page
    assert "row 3" in page
