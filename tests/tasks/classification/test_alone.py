"""No digit of an answer depends on the other texts of a request."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from recurra import TextClassifier
from recurra.io.sample import sample_rows
from recurra.tasks.base import PredictRequest
from recurra.tasks.classification.outputs import predict_texts
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
    "several networks": lambda: fitted("default", LABELS, evidence=512, members=2),
    "without a kernel for one row": lambda: fitted("lstm", LABELS, cell="qrnn", pooling="attention"),
}
INDEPENDENT = [kind for kind in MODELS if kind != "without a kernel for one row"]


@pytest.mark.parametrize("kind", MODELS)
def test_an_answer_is_the_same_alone_and_among_others(kind: str) -> None:
    bundle = MODELS[kind]().bundle_

    def lines(texts: list[str]) -> list[str]:
        records = answers_of(bundle, PredictRequest(texts=texts)).records
        return [json.dumps({**record, "row": 0}) for record in records]

    alone = [line for text in TEXTS for line in lines([text])]
    assert lines(TEXTS) == alone
    assert lines(TEXTS[::-1])[::-1] == alone
    assert [line for at in range(0, 120, 7) for line in lines(TEXTS[at : at + 7])] == alone
    # not only six decimals
    one = np.concatenate([predict_texts(bundle, [text]) for text in TEXTS])
    assert np.array_equal(predict_texts(bundle, TEXTS), one)
    assert bundle.model.has_independent_rows == (kind in INDEPENDENT)


def test_short_texts_and_a_text_without_words() -> None:
    bundle = MODELS["binary"]().bundle_
    texts = ["", "a", "a film", "?!", *TEXTS[:9]]
    one = np.concatenate([predict_texts(bundle, [text]) for text in texts])
    assert np.array_equal(predict_texts(bundle, texts), one)
