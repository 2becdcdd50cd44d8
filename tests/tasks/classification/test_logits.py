"""Prediction gives each example its own logits, in the order asked for, and leaves the model as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from recurra.config import ModelConfig
from recurra.io.batcher import Batches
from recurra.io.examples import Examples
from recurra.tasks.classification.network import Classifier, predict_logits


@pytest.fixture
def examples() -> Examples:
    random = np.random.default_rng(0)
    return Examples.from_arrays(
        [random.integers(1, 30, size=random.integers(1, 12)).astype(np.int32) for _ in range(23)]
    )


@pytest.fixture
def model() -> Classifier:
    torch.manual_seed(0)
    return Classifier(ModelConfig(units=6, embedding=5, dropout=0.5, head_dropout=0.5), 30, 3, "multiclass")


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("rows", [None, [3, 5, 20], [20, 3, 11, 0, 3]])
def test_each_row_has_the_logits_it_has_alone(
    rows: Any, shuffle: bool, examples: Examples, model: Classifier
) -> None:
    chosen = None if rows is None else np.array(rows)
    found = predict_logits(model, Batches(examples, chosen, 4, shuffle=shuffle, seed=7))
    model.eval()
    expected = []
    for row in range(23) if rows is None else rows:
        ids = torch.from_numpy(examples.ids(row).astype(np.int64))[None]
        expected.append(model(ids, torch.tensor([ids.shape[1]]))[0].detach().numpy())
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, np.stack(expected), rtol=0, atol=1e-6)


def test_no_rows_give_no_logits(examples: Examples, model: Classifier) -> None:
    assert predict_logits(model, Batches(examples, np.array([], np.int64), 4)).size == 0


@pytest.mark.parametrize("training", [False, True])
def test_the_mode_is_left_as_it_was(training: bool, examples: Examples, model: Classifier) -> None:
    model.train(training)
    predict_logits(model, Batches(examples, None, 4))
    assert model.training is training


def test_the_mode_is_left_as_it_was_after_an_error(examples: Examples) -> None:
    class Breaks(nn.Module):
        def forward(self, tokens: Any, lengths: Any) -> Any:
            raise RuntimeError("broken")

    model = Breaks()
    with pytest.raises(RuntimeError, match="broken"):
        predict_logits(model, Batches(examples, None, 4))
    assert model.training
