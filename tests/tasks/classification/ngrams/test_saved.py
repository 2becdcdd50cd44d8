"""A saved model answers as the fitted one, explains its answers, and is refused if it is damaged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from recurra.errors import BundleError
from recurra.tasks.classification.ngrams import NgramModel

State = dict[str, np.ndarray[Any, Any]]
TEXTS = ["a good film", "a bad film", "not good", "not bad at all", "good, good music"] * 3
NEW = ["good film", "this is not bad", "", "unheard of", "bad bad bad film"]


def fitted(kind: str, classes: int = 3, *, pieces: bool = False) -> NgramModel:
    codes = np.arange(len(TEXTS)) % 5 % classes  # of the text
    labels = np.eye(classes)[codes] if kind == "multilabel" else codes
    model = NgramModel(pieces=pieces).fit(TEXTS, labels, kind, classes)
    model.temperature = 1.5
    return model


MODELS = [("binary", 2), ("multiclass", 3), ("multilabel", 3), ("multiclass", 101), ("multilabel", 101)]


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize(("kind", "classes"), MODELS)
def test_saved_model_is_the_same(kind: str, classes: int, pieces: bool) -> None:
    model = fitted(kind, classes, pieces=pieces)
    if kind == "multilabel":
        model.thresholds = np.linspace(0.1, 0.9, classes)
    model.note = "seen: 90%"
    loaded = NgramModel.from_state(model.state())
    assert (loaded.predict_proba(NEW) == model.predict_proba(NEW)).all()
    names = [f"class {number}" for number in range(classes)]
    assert loaded.strongest(names) == model.strongest(names)
    assert (loaded.note, loaded.method) == (model.note, model.method)
    assert loaded.n_ngrams == model.n_ngrams > 0
    assert (loaded.thresholds is None) == (model.thresholds is None)


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize(("kind", "classes"), MODELS)
def test_explanation_adds_up(kind: str, classes: int, pieces: bool) -> None:
    model = fitted(kind, classes, pieces=pieces)
    nothing = model.explain("")
    assert nothing == []
    for text in ("this is not bad", "good, good music", "bad bad bad film"):
        found = model.explain(text)
        total = sum(contribution for _, _, contribution in found)
        score, empty = model.logits([text, ""])
        if kind == "multiclass" and classes == 3:  # the explanation is that of the log-odds
            score, empty = (values - np.log1p(-np.exp(values)) for values in (score, empty))
        assert np.shape(total) == (1 if kind == "binary" else classes,)
        assert total == pytest.approx(score - empty, abs=1e-4)
    places = {ngram: place for ngram, place, _ in model.explain("GOOD, film")}
    assert places["good"] == (0, 1)
    assert places["film"] == (2, 3)


def test_logits_are_not_tempered_and_probabilities_are() -> None:
    model = fitted("binary", 2)
    logits, p = model.logits(NEW), model.predict_proba(NEW)
    assert logits.shape == (len(NEW), 1)
    assert p[:, 1] == pytest.approx(1 / (1 + np.exp(-logits[:, 0] / 1.5)))


def without(name: str) -> Callable[[State], None]:
    def apply(state: State) -> None:
        del state[name]

    return apply


def changed(name: str, change: Callable[[Any], Any]) -> Callable[[State], None]:
    def apply(state: State) -> None:
        state[name] = change(state[name].copy())

    return apply


def poisoned(values: Any) -> Any:
    values.flat[0] = np.nan
    return values


@pytest.mark.parametrize(
    "damage",
    [
        without("keys"),
        without("biases"),
        without("weights"),  # then it would have to be the class means
        changed("weights", lambda values: values[:-1]),
        changed("weights", lambda values: values.astype(np.float64)),
        changed("weights", poisoned),
        changed("idf", lambda values: values[1:]),
        changed("keys", lambda values: values[::-1].copy()),
        changed("temperature", lambda values: values * 0),
        changed("label_kind", lambda values: values[1:]),
        changed("n_classes", lambda values: -values),
        changed("n_classes", lambda values: values + 1),
        changed("strongest", lambda values: values[:3]),
        changed("strongest_counts", lambda values: values + 1),
        changed("note", lambda values: np.array([255], np.uint8)),
    ],
)
def test_damage_is_refused(damage: Callable[[State], None]) -> None:
    state = fitted("multiclass").state()
    damage(state)
    with pytest.raises(BundleError, match="n-grams are damaged"):
        NgramModel.from_state(state)


@pytest.mark.parametrize(
    "damage",
    [
        changed("sums_columns", lambda values: values + 1_000),
        changed("sums_rows", lambda values: values[::-1].copy()),
        changed("shift", lambda values: values[1:]),
        changed("scale", poisoned),
    ],
)
def test_damaged_class_means_are_refused(damage: Callable[[State], None]) -> None:
    state = fitted("multiclass", 101).state()
    damage(state)
    with pytest.raises(BundleError, match="n-grams are damaged"):
        NgramModel.from_state(state)
