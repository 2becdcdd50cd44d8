"""Thresholds, costs and confidences fitted on rows: each against a search of all possibilities."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax
from sklearn.metrics import balanced_accuracy_score, f1_score, precision_score, recall_score

from recurra.errors import ConfigError
from recurra.measure.decisions import (
    CANDIDATES,
    Goal,
    fit_abstention,
    fit_divisors,
    fit_label_thresholds,
    held_out_value,
    least_rows,
    upper_bound,
)
from recurra.measure.headline import chosen_figure, figure_of
from recurra.measure.metrics import classification_metrics, predicted_labels
from recurra.measure.operating import answering_curve, operating_curve


def drawn(rows: int, shares: list[float], seed: int = 1) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities that know something of their classes."""
    random = np.random.default_rng(seed)
    y = random.choice(len(shares), rows, p=shares)
    logits = random.normal(size=(rows, len(shares))) + np.log(shares)
    logits[np.arange(rows), y] += 1.0
    return softmax(logits, axis=1), y


def all_thresholds(p: NDArray[np.float64]) -> list[float]:
    ranked = np.unique(p[:, 1])
    return [0.0, *(float((a + b) / 2) for a, b in pairwise(ranked)), 1.0]


@pytest.mark.parametrize(
    ("goal", "score"),
    [
        ("accuracy", lambda y, chosen: (y == chosen).mean()),
        ("balanced_accuracy", balanced_accuracy_score),
        ("f1", lambda y, chosen: f1_score(y, chosen, zero_division=0)),
    ],
)
def test_the_threshold_of_two_classes_is_the_best_of_all(goal: str, score: object) -> None:
    for seed in range(3):
        p, y = drawn(60, [0.8, 0.2], seed)
        thresholds = fit_divisors(p, y, Goal.parse(goal, ["a", "b"], "binary"))
        assert thresholds is not None
        assert thresholds.sum() == pytest.approx(1)
        found = score(y, predicted_labels(p, "binary", thresholds))  # type: ignore[operator]
        best = max(score(y, (p[:, 1] >= t).astype(int)) for t in all_thresholds(p))  # type: ignore[operator]
        assert found == pytest.approx(best)


def test_precision_and_recall_are_reached_with_the_most_of_the_other() -> None:
    for seed in range(2):
        p, y = drawn(80, [0.7, 0.3], seed)
        for text, reached, other in (
            ("precision>=0.8:b", precision_score, recall_score),
            ("recall>=0.9:b", recall_score, precision_score),
        ):
            thresholds = fit_divisors(p, y, Goal.parse(text, ["a", "b"], "binary"))
            assert thresholds is not None
            least = float(text.partition(">=")[2].partition(":")[0])
            candidates = [(p[:, 1] >= t).astype(int) for t in all_thresholds(p)]
            able = [c for c in candidates if c.any() and reached(y, c, zero_division=0) >= least]
            chosen = predicted_labels(p, "binary", thresholds)
            assert reached(y, chosen) >= least
            if text.startswith("precision"):
                assert other(y, chosen) == pytest.approx(max(other(y, c) for c in able))
    assert fit_divisors(np.array([[0.4, 0.6]]), np.array([0]), Goal("precision", 0.9, 1)) is None


def test_thresholds_of_many_classes_raise_the_metric() -> None:
    p, y = drawn(3_000, [0.7, 0.15, 0.1, 0.05])
    goal = Goal("macro_f1")
    thresholds = fit_divisors(p, y, goal)
    assert thresholds is not None
    before, after = (
        f1_score(y, predicted_labels(p, "multiclass", t), average="macro") for t in (None, thresholds)
    )
    assert after > before + 0.05
    held_out = held_out_value(p, y, goal, fitted=True)
    assert held_out_value(p, y, goal, fitted=False) == pytest.approx(before)
    assert held_out is not None
    assert before < held_out <= after + 0.01
    again, more = drawn(3_000, [0.7, 0.15, 0.1, 0.05], 2)
    chosen = predicted_labels(again, "multiclass", thresholds)
    assert f1_score(more, chosen, average="macro") > f1_score(more, again.argmax(axis=1), average="macro")


def test_one_class_reaches_its_precision_among_several() -> None:
    p, y = drawn(2_000, [0.5, 0.3, 0.2])
    thresholds = fit_divisors(p, y, Goal("precision", 0.8, 2))
    assert thresholds is not None
    assert precision_score(y, predicted_labels(p, "multiclass", thresholds), average=None)[2] >= 0.8
    assert thresholds[0] == pytest.approx(thresholds[1])


def test_labels_have_thresholds_of_their_own() -> None:
    random = np.random.default_rng(3)
    truth = random.random((500, 3)) < [0.5, 0.2, 0.1]
    p = np.clip(0.4 * truth + 0.6 * random.random((500, 3)), 0, 1)
    usual = np.full(3, 0.5)
    found = fit_label_thresholds(p, truth, Goal("precision", 0.9), usual)
    assert found is not None
    assert (precision_score(truth, p >= found, average=None) >= 0.9).all()
    one = fit_label_thresholds(p, truth, Goal("f1", None, 1), usual)
    assert one is not None
    assert [one[0], one[2]] == [0.5, 0.5]
    micro = fit_label_thresholds(p, truth, Goal("micro_f1"), usual)
    assert micro is not None
    best = max(f1_score(truth, p >= t, average="micro") for t in np.linspace(0.01, 0.99, 197))
    assert f1_score(truth, p >= micro, average="micro") >= best - 1e-9


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("f2", "binary", "is not a goal"),
        ("precision:b", "binary", "is not a goal"),
        ("precision>=1.5:b", "binary", "is not a goal"),
        ("precision>=1.2.3:b", "binary", "is not a number"),
        ("f1:c", "binary", "names 'c'"),
        ("macro_f1:b", "binary", "is not of one class"),
        ("f1", "multiclass", "needs a class"),
        ("micro_f1", "binary", "is the accuracy"),
        ("accuracy", "multilabel", "for rows of one class"),
    ],
)
def test_goals_that_mean_nothing_are_refused(text: str, kind: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Goal.parse(text, ["a", "b"], kind)


def test_the_bound_of_the_risk_holds_in_repeated_samples() -> None:
    """The share of wrong answers on all rows is above the risk in fewer than 5% of samples."""
    random, risk, above, answered = np.random.default_rng(5), 0.1, 0, 0
    for _ in range(400):
        confidence = random.uniform(0.5, 1.0, 2_000)
        found = fit_abstention(confidence, random.random(2_000) < confidence, risk)
        if found is not None:
            answered += 1
            # Of confidences between t and 1, evenly, the mean error is (1 - t) / 2.
            above += (1 - found.threshold) / 2 > risk
    assert answered > 200
    assert above < 0.05 * 400


def test_a_risk_that_cannot_be_shown_gives_no_threshold() -> None:
    least = least_rows(0.02)
    assert upper_bound(0, least, 0.05 / CANDIDATES) < 0.02 <= upper_bound(0, least - 1, 0.05 / CANDIDATES)
    sure = np.linspace(1, 0.9, least)
    assert fit_abstention(sure, np.ones(least, bool), 0.02) is not None
    assert fit_abstention(sure[1:], np.ones(least - 1, bool), 0.02) is None
    assert fit_abstention(np.empty(0), np.empty(0, bool), 0.02) is None
    tied = fit_abstention(np.full(1_000, 0.9), np.arange(1_000) % 2 == 0, 0.4)
    assert tied is None, "rows of equal confidence are answered together"


def test_the_headline_follows_from_the_classes() -> None:
    names = ["a", "b"]
    assert chosen_figure("auto", names, "binary", np.array([0.61, 0.39])) == "macro_f1"
    assert chosen_figure("auto", names, "binary", np.array([0.6, 0.4])) == "accuracy"
    assert chosen_figure("auto", names, "multilabel", np.empty(0)) == "micro_f1"
    assert chosen_figure("f1:b", names, "binary", np.empty(0)) == "f1:b"
    with pytest.raises(ConfigError, match="names 'c'"):
        chosen_figure("recall:c", names, "binary", np.empty(0))


@pytest.mark.parametrize(
    "name",
    ["accuracy", "balanced_accuracy", "macro_f1", "auc", "log_loss", "f1:b", "precision:b", "recall:b"],
)
def test_every_figure_has_an_interval_around_it(name: str) -> None:
    p, y = drawn(300, [0.8, 0.2])
    chosen = p.argmax(axis=1)
    metrics = classification_metrics(y, p, ["a", "b"], "binary")
    figure = figure_of(name, metrics, y, chosen, p)
    assert figure.value is not None
    assert figure.low is not None
    assert figure.high is not None
    assert figure.low < figure.value < figure.high
    more, classes = drawn(3_000, [0.8, 0.2])
    wide = classification_metrics(classes, more, ["a", "b"], "binary")
    narrow = figure_of(name, wide, classes, more.argmax(axis=1), more)
    assert narrow.high is not None
    assert narrow.low is not None
    assert narrow.high - narrow.low < 0.6 * (figure.high - figure.low)
    assert "95% interval" in narrow.text


def test_curves_are_those_of_their_thresholds() -> None:
    p, y = drawn(400, [0.7, 0.3])
    confidence, right = p.max(axis=1), p.argmax(axis=1) == y
    points = answering_curve(confidence, right)
    assert points[-1].share == 1
    for point in points:
        inside = confidence >= point.threshold
        assert (inside.mean(), right[inside].mean()) == pytest.approx((point.share, point.accuracy))
        assert point.low <= point.accuracy <= point.high
    for operating in operating_curve(p[:, 1], y == 1):
        chosen = p[:, 1] >= operating.threshold
        assert precision_score(y, chosen) == pytest.approx(operating.precision)
        assert recall_score(y, chosen) == pytest.approx(operating.recall)
        assert chosen.sum() == operating.predicted
