"""`recurra inspect MODEL words WORD`: on trained models and on those that began from pretrained vectors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import recurra
from recurra import TextClassifier
from recurra.tasks.fit import Fitted
from tests.conftest import Run

VECTORS = "good 1 0.1\ngreat 1 0.2\nbad -1 0.1\nawful -1 0.3\nfilm 0 1\n"


def test_a_pretrained_model_shows_the_neighbours_of_its_vectors(tmp_path: Path, run: Run) -> None:
    file = tmp_path / "vectors.txt"
    file.write_text(VECTORS, encoding="utf-8")
    texts = ["good great film", "bad awful film"] * 8
    model = TextClassifier("lstm", pretrained=file, freeze=True, units=4, epochs=1).fit(texts, [1, 0] * 8)
    model.save(tmp_path / "model")
    ran = run("inspect", tmp_path / "model", "words", "Great", "--json")
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)["nearest"]
    assert [one["word"] for one in found] == ["good", "film", "awful", "bad"]
    assert found[0]["cosine"] == pytest.approx(0.9953, abs=1e-4)
    for given in (model, model.bundle_, tmp_path / "model", str(tmp_path / "model")):
        nearest = recurra.nearest(given, "great", 2)
        assert [neighbour.word for neighbour in nearest] == ["good", "film"]
        assert nearest[0].cosine == pytest.approx(found[0]["cosine"])
    with pytest.raises(recurra.RecurraError, match="'qqq' is not in the vocabulary; give one word"):
        recurra.nearest(model, "qqq")
    with pytest.raises(recurra.RecurraError, match="TextClassifier is not a trained model"):
        recurra.nearest(TextClassifier("lstm"), "good")
    with pytest.raises(recurra.RecurraError, match=r"^word: the text is missing; give a string"):
        recurra.nearest(model, None)  # type: ignore[arg-type]
    with pytest.raises(recurra.RecurraError, match=r"^n is 0; give 1 or more"):
        recurra.nearest(model, "good", 0)


def test_the_nearest_words_are_shown_as_a_table(trained: Fitted, run: Run) -> None:
    ran = run("inspect", trained.folder, "words", "the")
    assert ran.code == 0, ran.err
    assert "nearest to the" in ran.out
    assert len(ran.out.strip().splitlines()) == 11


@pytest.mark.parametrize(
    ("word", "complaint"), [("qqq", "not in the vocabulary"), ("the film", "not one word")]
)
def test_what_is_no_word_of_the_model_is_refused(
    trained: Fitted, run: Run, word: str, complaint: str
) -> None:
    ran = run("inspect", trained.folder, "words", word)
    assert ran.code == 2
    assert complaint in ran.err
    assert run("inspect", trained.folder, "words").code == 2
