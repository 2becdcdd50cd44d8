"""Losses and probabilities against the formulas written out for single numbers."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from recurra.errors import ConfigError
from recurra.measure.calibration import probabilities
from recurra.tasks.classification.network import classification_loss


def bce(logit: float, label: float, positive: float = 1.0) -> float:
    p = 1 / (1 + math.exp(-logit))
    return -(positive * label * math.log(p) + (1 - label) * math.log(1 - p))


def test_binary() -> None:
    logits, labels = [0.5, -1.0, 2.0], [1, 0, 0]
    tensor = torch.tensor(logits)[:, None]
    plain = [bce(a, y) for a, y in zip(logits, labels, strict=True)]
    assert classification_loss("binary")(tensor, torch.tensor(labels)).item() == pytest.approx(sum(plain) / 3)
    weighted = classification_loss("binary", [0.5, 3.0])(tensor, torch.tensor(labels))
    assert weighted.item() == pytest.approx((3 * plain[0] + 0.5 * plain[1] + 0.5 * plain[2]) / 3)


def test_multiclass() -> None:
    logits, labels = [[0.5, -1.0, 2.0], [0.0, 1.0, 0.0]], [1, 2]
    tensor = torch.tensor(logits)
    plain = [math.log(sum(math.exp(v) for v in row)) - row[y] for row, y in zip(logits, labels, strict=True)]
    loss = classification_loss("multiclass")(tensor, torch.tensor(labels))
    assert loss.item() == pytest.approx(sum(plain) / 2)
    weighted = classification_loss("multiclass", np.array([1.0, 0.5, 3.0]))(tensor, torch.tensor(labels))
    assert weighted.item() == pytest.approx((0.5 * plain[0] + 3 * plain[1]) / 2)


def test_multilabel() -> None:
    logits, labels = [[0.5, -1.0], [2.0, 0.3]], [[1.0, 0.0], [0.0, 1.0]]
    pairs = [
        (a, y, k)
        for row, ys in zip(logits, labels, strict=True)
        for k, (a, y) in enumerate(zip(row, ys, strict=True))
    ]
    tensor, target = torch.tensor(logits), torch.tensor(labels)
    loss = classification_loss("multilabel")(tensor, target)
    assert loss.item() == pytest.approx(sum(bce(a, y) for a, y, _ in pairs) / 4)
    weights = [2.0, 5.0]
    weighted = classification_loss("multilabel", weights)(tensor, target)
    assert weighted.item() == pytest.approx(sum(bce(a, y, weights[k]) for a, y, k in pairs) / 4)


def test_an_unknown_kind_of_labels_is_refused() -> None:
    with pytest.raises(
        ConfigError, match="no kind of labels 'ranking'; choose one of binary, multiclass, multilabel"
    ):
        classification_loss("ranking")


def test_probabilities_of_known_logits() -> None:
    third = math.log(0.5)  # sigmoid: 1/3
    np.testing.assert_allclose(probabilities(np.array([[third]]), "binary"), [[2 / 3, 1 / 3]], rtol=1e-14)
    np.testing.assert_allclose(
        probabilities(np.array([[third, 0]]), "multilabel"), [[1 / 3, 1 / 2]], rtol=1e-14
    )
    np.testing.assert_allclose(
        probabilities(np.log([[1.0, 2.0, 5.0]]), "multiclass"), [[1 / 8, 2 / 8, 5 / 8]], rtol=1e-14
    )


@settings(max_examples=50, deadline=None)
@given(
    logits=arrays(
        np.float32,
        array_shapes(min_dims=2, max_dims=2, max_side=5),
        elements=st.floats(allow_nan=False, allow_infinity=False, width=32),
    )
)
def test_probabilities_of_any_logits_are_probabilities(logits: np.ndarray) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        softmax = probabilities(logits, "multiclass")
        pair = probabilities(logits[:, :1], "binary")
        each = probabilities(logits, "multilabel")
    for found in (softmax, pair, each):
        assert found.dtype == np.float64
        assert (found >= 0).all()
        assert (found <= 1).all()
    np.testing.assert_allclose(softmax.sum(1), 1, rtol=1e-12)
    np.testing.assert_allclose(pair.sum(1), 1, rtol=1e-12)
    assert pair.shape == (len(logits), 2)
    # a larger logit never has the smaller share
    shares = np.take_along_axis(softmax, np.argsort(logits, axis=1), axis=1)
    assert (np.diff(shares, axis=1) >= 0).all()
