"""`TextClassifier` behaves as scikit-learn's estimators do, and shares its model with the command line."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingClassifier, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.impute import SimpleImputer
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from recurra import TextClassifier
from recurra.errors import ConfigError, DataError
from recurra.tasks.fit import Fitted
from tests.conftest import Files, Run

QUICK: dict[str, Any] = {
    "recipe": "lstm",
    "units": 6,
    "embedding": 6,
    "epochs": 12,
    "learning_rate": 0.05,
    "batch_size": 8,
}
TEXTS = [
    f"{a} {b} number {n}"
    for n in range(10)
    for a, b in (("good", "film"), ("bad", "film"), ("good", "book"), ("bad", "book"))
]
LABELS = ["yes" if text.startswith("good") else "no" for text in TEXTS]


@pytest.fixture(scope="module")
def fitted() -> TextClassifier:
    return TextClassifier(**QUICK).fit(TEXTS, LABELS)


def test_it_learns_and_answers_in_the_users_labels(fitted: TextClassifier) -> None:
    assert fitted.classes_.tolist() == ["no", "yes"]
    assert fitted.predict(["good film", "bad film"]).tolist() == ["yes", "no"]
    assert fitted.score(TEXTS, LABELS) == 1.0
    p = fitted.predict_proba(["good film", "bad film"])
    assert p.shape == (2, 2)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert fitted.predict_proba([]).shape == (0, 2)
    assert {"epoch", "train_loss", "valid_loss"} <= set(fitted.history_[0])
    assert "Embedding" in fitted.summary()


def test_parameters_come_and_go_unchanged() -> None:
    given = {"units": (4, 5), "dropout": 0.25, "random_state": 7}
    model = TextClassifier(**given)
    assert {name: model.get_params()[name] for name in given} == given
    twin = clone(model)
    assert twin.get_params() == model.get_params()
    assert not hasattr(twin, "bundle_")
    assert model.set_params(units=9).units == 9
    with pytest.raises(ValueError, match="nits"):
        model.set_params(nits=9)


def test_the_same_seed_gives_the_same_model_and_another_does_not(fitted: TextClassifier) -> None:
    probe = ["good book number 3", "bad film indeed"]
    again = clone(fitted).fit(TEXTS, LABELS)
    np.testing.assert_array_equal(again.predict_proba(probe), fitted.predict_proba(probe))
    other = clone(fitted).set_params(random_state=2).fit(TEXTS, LABELS)
    assert not np.array_equal(other.predict_proba(probe), fitted.predict_proba(probe))


def test_the_embedding_may_train_touched_rows_alone(fitted: TextClassifier, tmp_path: Path) -> None:
    model = clone(fitted).set_params(settings={"train": {"embedding_rows": "touched"}}).fit(TEXTS, LABELS)
    weight = model.bundle_.model.embedding.weight.detach().numpy()
    other = fitted.bundle_.model.embedding.weight.detach().numpy()
    assert model.score(TEXTS, LABELS) == 1.0
    assert not np.array_equal(weight, other)
    assert not weight[0].any()
    model.save(tmp_path / "model")
    again = TextClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_proba(TEXTS[:5]), model.predict_proba(TEXTS[:5]))


def test_cross_validation_grid_search_and_pipeline() -> None:
    model = TextClassifier(**{**QUICK, "epochs": 6})
    scores = cross_val_score(model, TEXTS, LABELS, cv=2)
    assert scores.shape == (2,)
    assert scores.mean() > 0.7
    search = GridSearchCV(model, {"units": [2, 6], "cell": ["gru"]}, cv=2).fit(TEXTS, LABELS)
    assert set(search.best_params_) == {"units", "cell"}
    assert len(search.predict(TEXTS[:3])) == 3
    upper = FunctionTransformer(lambda texts: [text.upper() for text in texts])
    pipe = Pipeline([("upper", upper), ("rnn", model)])
    assert pipe.set_params(rnn__units=4).fit(TEXTS, LABELS).score(TEXTS, LABELS) > 0.7


@pytest.mark.parametrize("labels", [np.array([3, -1]), np.array([True, False]), np.array(["10", "9"])])
def test_labels_of_any_kind_come_back_as_they_were(labels: np.ndarray, tmp_path: Path) -> None:
    y = labels[np.array([0 if text.startswith("good") else 1 for text in TEXTS])]
    model = TextClassifier(**{**QUICK, "epochs": 1}).fit(TEXTS, y)
    model.save(tmp_path / "model")
    for one in (model, TextClassifier.load(tmp_path / "model")):
        np.testing.assert_array_equal(one.classes_, np.unique(y))
        assert one.predict(TEXTS[:4]).dtype == y.dtype
        assert set(one.predict(TEXTS)) <= set(y)


def test_three_classes_and_several_labels_at_once() -> None:
    y = np.array([n % 3 for n in range(len(TEXTS))])
    p = TextClassifier(**{**QUICK, "epochs": 1}).fit(TEXTS, y).predict_proba(TEXTS[:5])
    assert p.shape == (5, 3)
    np.testing.assert_allclose(p.sum(axis=1), 1)
    many = np.array([["good" in text, "film" in text] for text in TEXTS], int)
    model = TextClassifier(**{**QUICK, "epochs": 25, "patience": 25}).fit(TEXTS, many)
    assert model.predict(["good film", "bad book"]).tolist() == [[1, 1], [0, 0]]


def test_what_the_command_line_saved_python_loads_and_the_other_way_round(
    trained: Fitted, sample: Files, fitted: TextClassifier, run: Run, tmp_path: Path
) -> None:
    loaded = TextClassifier.load(trained.folder)
    rows = list(csv.DictReader(sample.test.read_text(encoding="utf-8").splitlines()))
    accuracy = loaded.score([row["text"] for row in rows], [row["label"] for row in rows])
    assert accuracy == pytest.approx(trained.assessment.metrics.accuracy)
    assert loaded.get_params()["units"] == 12
    fitted.save(tmp_path / "model")
    ran = run("predict", tmp_path / "model", "--text", "good film", "--format", "jsonl")
    found = json.loads(ran.out)
    assert found["label"] == "yes"
    assert found["probabilities"]["yes"] == pytest.approx(fitted.predict_proba(["good film"])[0, 1], abs=1e-6)


def test_validation_data_and_groups_are_used() -> None:
    model = TextClassifier(**{**QUICK, "epochs": 2})
    with_theirs = clone(model).fit(TEXTS, LABELS, validation_data=(TEXTS[:4], LABELS[:4]))
    assert len(with_theirs.history_) == 2
    groups = [n // 2 for n in range(len(TEXTS))]
    assert len(clone(model).fit(TEXTS, LABELS, groups=groups).history_) == 2


@pytest.mark.parametrize(
    ("texts", "labels", "said"),
    [
        ("one string", ["a"], "one string"),
        ([["two", "columns"]], ["a"], "^X, row 1: the text is of type list, not str; "),
        ([1, 2], ["a", "b"], "^X, row 1: the text is of type int, not str; "),
        (["a", "b"], ["x", "x"], "same class"),
        (["a", "b"], ["x"], "same class"),
        ([], [], "^X: there are no texts"),
        (["a", "b", "c"], ["x", "y"], "3 texts have 2 labels"),
        (["a", "b"], [[["x"]]], "dimensions"),
    ],
)
def test_unusable_input_is_refused_in_one_line(texts: Any, labels: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        TextClassifier(**QUICK).fit(texts, labels)


def test_a_strange_validation_label_is_refused() -> None:
    with pytest.raises(DataError, match="'maybe' is not among the training labels"):
        TextClassifier(**QUICK).fit(TEXTS, LABELS, validation_data=(["x"], ["maybe"]))


def test_a_parameter_out_of_range_is_refused_when_it_is_used() -> None:
    with pytest.raises(ConfigError, match=r"model\.dropout"):
        TextClassifier(dropout=1.5).fit(TEXTS, LABELS)


def test_an_unfitted_model_says_so() -> None:
    with pytest.raises(NotFittedError):
        TextClassifier().predict(["x"])


def test_rows_of_weight_0_are_as_if_left_out_and_ratios_alone_count() -> None:
    wrong = ["no" if label == "yes" else "yes" for label in LABELS]
    X, y, weights = [*TEXTS, *TEXTS], [*LABELS, *wrong], np.r_[np.ones(40), np.zeros(40)]
    model = TextClassifier(**QUICK, vocab_size=50)
    kept = {"validation_data": (TEXTS, LABELS)}
    right = clone(model).fit(X, y, sample_weight=weights, **kept)
    assert right.score(TEXTS, LABELS) == 1.0
    assert clone(model).fit(X, y, sample_weight=1 - weights, **kept).score(TEXTS, LABELS) < 0.5
    scaled = clone(model).fit(X, y, sample_weight=1000 * weights, **kept)
    np.testing.assert_allclose(scaled.predict_proba(TEXTS), right.predict_proba(TEXTS), atol=1e-6)
    alike = clone(model).fit(TEXTS, LABELS, sample_weight=[3] * 40)
    np.testing.assert_array_equal(
        alike.predict_proba(TEXTS), clone(model).fit(TEXTS, LABELS).predict_proba(TEXTS)
    )


def test_a_score_needs_rows(fitted: TextClassifier) -> None:
    with pytest.raises(DataError, match=r"^X: there are no texts"):
        fitted.score([], [])
    with pytest.raises(DataError, match=r"^40 texts have 3 labels"):
        fitted.score(TEXTS, LABELS[:3])


@pytest.mark.parametrize(
    "wrapper",
    [
        lambda model: BaggingClassifier(model, n_estimators=2),
        lambda model: VotingClassifier([("a", model)], voting="soft"),
        lambda model: CalibratedClassifierCV(model, cv=2),
        lambda model: make_pipeline(SimpleImputer(strategy="constant", fill_value=""), model),
        lambda model: make_pipeline(ColumnTransformer([("texts", "passthrough", [0])]), model),
    ],
)
def test_scikit_learns_wrappers_train_it_on_a_column_of_texts(wrapper: Callable[[Any], Any]) -> None:
    X = np.array(TEXTS, dtype=object)[:, None]
    model = wrapper(TextClassifier(**{**QUICK, "epochs": 4})).fit(X, LABELS)
    assert model.score(X, LABELS) > 0.7


def test_the_score_counts_weights_as_scikit_learn_does(fitted: TextClassifier) -> None:
    y = [*LABELS[:20], *LABELS[:20][::-1]]
    weights = np.arange(40)
    expected = accuracy_score(y, fitted.predict(TEXTS), sample_weight=weights)
    assert fitted.score(TEXTS, y, sample_weight=weights) == pytest.approx(expected)
    assert fitted.score(TEXTS, y) == pytest.approx(accuracy_score(y, fitted.predict(TEXTS)))


@pytest.mark.parametrize("library", [pd, pl])
def test_data_frames_are_read_and_their_columns_remembered(library: Any, tmp_path: Path) -> None:
    frame = library.DataFrame({"title": TEXTS, "body": ["again"] * 40, "label": LABELS})
    joined = [f"{text} again" for text in TEXTS]
    quick = TextClassifier(**{**QUICK, "epochs": 1})
    expected = clone(quick).fit(joined, LABELS).predict_proba(joined)
    model = clone(quick).fit(frame[["title", "body"]], frame["label"])
    assert model.bundle_.config.data.text == ["title", "body"]
    model.save(tmp_path / "model")
    for one in (model, TextClassifier.load(tmp_path / "model")):
        # Further columns are ignored, and the order is that of training.
        np.testing.assert_array_equal(one.predict_proba(frame[["label", "body", "title"]]), expected)
        np.testing.assert_array_equal(one.predict_proba(joined), expected)
    with pytest.raises(DataError, match=r"^X: the data frame has no column 'body'; it has title, label$"):
        model.predict(frame[["title", "label"]])
    chosen = clone(quick).set_params(settings={"data": {"text": ["title", "body"]}})
    np.testing.assert_array_equal(chosen.fit(frame, LABELS).predict_proba(frame), expected)


def test_lists_of_labels_are_learned_and_scored(tmp_path: Path) -> None:
    y = [[word for word in ("good", "film") if word in text] for text in TEXTS]
    model = TextClassifier(**{**QUICK, "epochs": 25, "patience": 25}).fit(TEXTS, y)
    assert model.classes_.tolist() == ["film", "good"]
    assert model.predict(["good film", "bad book"]).tolist() == [[1, 1], [0, 0]]
    model.save(tmp_path / "model")
    for one in (model, TextClassifier.load(tmp_path / "model")):
        assert one.score(TEXTS, y) == one.score(TEXTS, one.predict(TEXTS)) == 1.0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"groups": [1] * 4}, "40 texts have 4 groups"),
        ({"groups": [1] * 60}, "40 texts have 60 groups"),
        ({"sample_weight": [1] * 3}, "40 texts have 3 weights"),
        ({"validation_data": (TEXTS, LABELS[:3])}, "validation_data: 40 texts have 3 labels"),
        ({"validation_data": (TEXTS, [None] * 40)}, "validation_data, row 1: the label is missing; "),
        ({"validation_data": ([None], ["yes"])}, "validation_data, row 1: the text is missing; "),
        ({"validation_data": TEXTS}, "validation_data: a value of type list was given for the pair (X, y); "),
    ],
)
def test_arguments_by_row_of_another_length_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as refused:
        TextClassifier(**QUICK).fit(TEXTS, LABELS, **given)
    assert str(refused.value).startswith(message)
