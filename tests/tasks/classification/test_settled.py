"""No digit of an answer depends on the other texts of a request."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from recurra import TextClassifier
from recurra.io.sample import sample_rows
from recurra.tasks.base import PredictRequest
from recurra.tasks.classification import outputs
from recurra.tasks.classification.settled import unsettled
from recurra.tasks.use import answers_of

TEXTS = [row.text for row, _ in zip(sample_rows("en")["train"], range(120), strict=False)]
LABELS = [row.label for row, _ in zip(sample_rows("en")["train"], range(120), strict=False)]


def fitted(recipe: str, labels: list[Any], **model: Any) -> TextClassifier:
    sizes = {"units": 16, "embedding": 8, "epochs": 1}
    return TextClassifier(recipe, **sizes, settings={"model": model}).fit(TEXTS, labels)


MODELS = {
    "binary": lambda: fitted("bi-lstm", LABELS),
    "n-grams too": lambda: fitted("default", LABELS, evidence=512),
    "several classes": lambda: fitted("gru", [f"{label}{at % 3}" for at, label in enumerate(LABELS)]),
    "several labels": lambda: fitted("lstm", [[label, f"n{at % 2}"] for at, label in enumerate(LABELS)]),
}


@pytest.mark.parametrize("kind", MODELS)
def test_an_answer_is_the_same_alone_and_among_others(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = MODELS[kind]().bundle_

    def lines(texts: list[str]) -> list[str]:
        records = answers_of(bundle, PredictRequest(texts=texts)).records
        return [json.dumps({**record, "row": 0}) for record in records]

    alone = [line for text in TEXTS for line in lines([text])]
    assert lines(TEXTS) == alone
    assert lines(TEXTS[::-1])[::-1] == alone
    assert [line for at in range(0, 120, 7) for line in lines(TEXTS[at : at + 7])] == alone

    # Rounding errors are there, and far smaller than those that are allowed for.
    assets = bundle.assets
    monkeypatch.setattr(outputs, "unsettled", lambda *arguments: np.zeros(0, np.int64))
    p = outputs.predict_texts(bundle, TEXTS)
    one = np.concatenate([outputs.predict_texts(bundle, [text]) for text in TEXTS])
    log_odds = [np.log(values / (1 - values)) for values in (p, one)]
    difference = np.abs(log_odds[0] - log_odds[1]) / np.maximum(np.abs(log_odds[0]), 1)
    assert 0 < difference.max() < 1e-6
    changed = np.flatnonzero((p.round(6) != one.round(6)).any(axis=1))
    assert set(changed) <= set(unsettled(p, assets.labels.label_kind, assets.limits))


def test_what_a_label_is_chosen_by_counts() -> None:
    p = np.array([[0.3000001, 0.6999999], [0.8, 0.2]])
    assert unsettled(p, "binary", None).tolist() == []
    assert unsettled(p, "binary", np.array([0.3, 0.7])).tolist() == [0]
    assert unsettled(p, "binary", -np.array([[0.0, 7.0], [3.0, 0.0]])).tolist() == [0]
    assert unsettled(p, "multilabel", np.array([0.9, 0.2])).tolist() == [1]
    assert unsettled(p, "binary", None, abstain=0.8).tolist() == [1]
