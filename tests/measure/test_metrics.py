"""Figures against scikit-learn, hand computation and published values; degenerate rows without warnings."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from recurra.errors import DataError
from recurra.measure.metrics import Metrics, classification_metrics, correct_rows, wilson_interval


def some(task: str, rows: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    if task == "multilabel":
        y = (rng.random((rows, classes)) < 0.35).astype(np.float32)
        return y, 1 / (1 + np.exp(-(2.5 * y - 1 + rng.normal(size=y.shape))))
    y = rng.integers(0, classes, rows)
    z = rng.normal(size=(rows, classes))
    z[np.arange(rows), y] += 1.2
    return y, np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


def test_binary_figures_equal_scikit_learns() -> None:
    y, p = some("binary", 307, 2)
    found = classification_metrics(y, p, ["neg", "pos"], "binary")
    chosen = p.argmax(axis=1)
    assert found.accuracy == pytest.approx(sk.accuracy_score(y, chosen))
    assert found.log_loss == pytest.approx(sk.log_loss(y, p))
    assert found.macro_f1 == pytest.approx(sk.f1_score(y, chosen, average="macro"))
    assert found.auc == pytest.approx(sk.roc_auc_score(y, p[:, 1]))
    assert found.confusion == sk.confusion_matrix(y, chosen).tolist()
    assert found.micro_f1 is None


def test_multiclass_figures_equal_scikit_learns() -> None:
    y, p = some("multiclass", 211, 5)
    found = classification_metrics(y, p, list("abcde"), "multiclass")
    chosen = p.argmax(axis=1)
    precision, recall, f1, support = sk.precision_recall_fscore_support(y, chosen)
    assert [c.precision for c in found.classes] == pytest.approx(precision.tolist())
    assert [c.recall for c in found.classes] == pytest.approx(recall.tolist())
    assert [c.f1 for c in found.classes] == pytest.approx(f1.tolist())
    assert [c.support for c in found.classes] == support.tolist()
    assert [c.predicted for c in found.classes] == np.bincount(chosen, minlength=5).tolist()
    assert found.macro_f1 == pytest.approx(f1.mean())
    assert found.auc == pytest.approx(sk.roc_auc_score(y, p, multi_class="ovr", average="macro"))
    assert found.log_loss == pytest.approx(-np.log(p[np.arange(211), y]).mean())


def test_multilabel_figures_equal_scikit_learns() -> None:
    y, p = some("multilabel", 150, 4)
    found = classification_metrics(y, p, list("abcd"), "multilabel")
    chosen = (p >= 0.5).astype(int)
    assert found.accuracy == pytest.approx(sk.accuracy_score(y, chosen))
    assert found.macro_f1 == pytest.approx(sk.f1_score(y, chosen, average="macro"))
    assert found.micro_f1 == pytest.approx(sk.f1_score(y, chosen, average="micro"))
    assert found.auc == pytest.approx(sk.roc_auc_score(y, p, average="macro"))
    cross_entropy = -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()
    assert found.log_loss == pytest.approx(cross_entropy, rel=1e-6)
    assert found.confusion is None


def test_calibration_error_by_hand() -> None:
    # Confidences 0.61 and 0.65 share the bin (9/15, 10/15], 0.95 is in the last one.
    p = np.array([[0.39, 0.61], [0.65, 0.35], [0.95, 0.05]])
    found = classification_metrics(np.array([1, 1, 0]), p, ["a", "b"], "binary")
    assert found.ece == pytest.approx(2 / 3 * abs(0.63 - 0.5) + 1 / 3 * 0.05)


def test_class_absent_from_the_rows_has_no_recall_and_does_not_lower_macro_f1() -> None:
    p = np.array([[0.8, 0.1, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]])
    found = classification_metrics(np.array([0, 1, 1]), p, ["a", "b", "c"], "multiclass")
    absent = found.classes[2]
    assert (absent.precision, absent.recall, absent.f1, absent.auc) == (None, None, None, None)
    assert found.macro_f1 == pytest.approx((2 / 3 + 2 / 3) / 2)
    assert found.auc == pytest.approx(1.0)  # of the two classes that are there
    assert found.confusion == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]


def test_class_absent_but_predicted_counts_in_macro_f1() -> None:
    p = np.array([[0.8, 0.1, 0.1], [0.2, 0.1, 0.7]])
    found = classification_metrics(np.array([0, 0]), p, ["a", "b", "c"], "multiclass")
    assert found.classes[2].precision == 0
    assert found.classes[2].recall is None
    assert found.macro_f1 == pytest.approx((2 / 3 + 0) / 2)


@pytest.mark.parametrize("label", [0, 1])
def test_one_row(label: int) -> None:
    found = classification_metrics(np.array([label]), np.array([[0.3, 0.7]]), ["a", "b"], "binary")
    assert found.accuracy == label
    assert found.auc is None
    assert 0 <= found.accuracy_low < found.accuracy_high <= 1


def test_all_predicted_alike() -> None:
    found = classification_metrics(np.array([0, 1, 1]), np.full((3, 2), 0.5), ["a", "b"], "binary")
    assert found.classes[1].precision is None
    assert found.auc == 0.5
    assert found.log_loss == pytest.approx(np.log(2))


def test_certain_and_wrong_has_a_finite_log_loss() -> None:
    found = classification_metrics(np.array([0, 1]), np.array([[0.0, 1], [0, 1]]), ["a", "b"], "binary")
    assert np.isfinite(found.log_loss)
    assert found.log_loss > 10


def test_float32_probabilities_that_do_not_quite_add_up() -> None:
    p = np.array([[0.333, 0.333, 0.333]] * 4, np.float32)
    found = classification_metrics(np.array([0, 1, 2, 0]), p, list("abc"), "multiclass")
    assert found.log_loss == pytest.approx(np.log(3))


def test_no_label_true_or_predicted() -> None:
    found = classification_metrics(np.zeros((2, 2)), np.full((2, 2), 0.1), ["a", "b"], "multilabel")
    assert (found.accuracy, found.macro_f1, found.micro_f1, found.auc) == (1, 0, 0, None)


def test_no_row_is_refused() -> None:
    with pytest.raises(DataError, match="no row"):
        classification_metrics(np.zeros(0, int), np.zeros((0, 2)), ["a", "b"], "binary")


@pytest.mark.parametrize(
    ("labels", "p", "task"),
    [
        ([0, 1], [[0.5, 0.5]], "binary"),
        ([0], [[0.5, 0.2, 0.3]], "binary"),
        ([2], [[0.5, 0.5]], "binary"),
        ([-1], [[0.5, 0.5]], "binary"),
        ([0], [[np.nan, 0.5]], "binary"),
        ([0], [[1.5, -0.5]], "binary"),
        ([0], [[0.5, 0.5]], "multilabel"),
        ([0], [[0.5, 0.5]], "ranking"),
    ],
)
def test_what_does_not_fit_is_refused(labels: list[int], p: list[list[float]], task: str) -> None:
    with pytest.raises(ValueError):
        classification_metrics(np.array(labels), np.array(p), ["a", "b"], task)


def test_figures_survive_json() -> None:
    y, p = some("multiclass", 20, 3)
    found = classification_metrics(y, p, list("abc"), "multiclass")
    assert Metrics.model_validate_json(found.model_dump_json()) == found


def test_correct_rows_by_task() -> None:
    p = np.array([[0.9, 0.2], [0.6, 0.7]])
    assert correct_rows(np.array([0, 0]), p, "binary").tolist() == [True, False]
    assert correct_rows(np.array([[1, 0], [1, 0]]), p, "multilabel").tolist() == [True, False]


@pytest.mark.parametrize(
    ("hits", "rows", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998) 857, table I, method 3.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_against_published_values(hits: int, rows: int, low: float, high: float) -> None:
    assert wilson_interval(hits, rows) == pytest.approx((low, high), abs=5e-5)


@settings(max_examples=50, deadline=None)
@given(
    st.sampled_from(["binary", "multiclass", "multilabel"]),
    st.integers(1, 12),
    st.integers(2, 5),
    st.integers(0, 2**31),
)
def test_any_rows_give_figures_in_range(task: str, rows: int, classes: int, seed: int) -> None:
    classes = 2 if task == "binary" else classes
    y, p = some(task, rows, classes, seed)
    found = classification_metrics(y, p, [str(c) for c in range(classes)], task)
    assert 0 <= found.accuracy_low <= found.accuracy <= found.accuracy_high <= 1
    assert 0 <= found.ece <= 1
    assert 0 <= found.macro_f1 <= 1
    assert found.accuracy == pytest.approx(correct_rows(y, p, task).mean())
