"""Parameter counts are Keras's for the course's networks, and the table says what is trained."""

from __future__ import annotations

from typing import Any

import pytest

from recurra.config import ModelConfig, load_recipe
from recurra.layers import GRU, LSTM, SimpleRNN
from recurra.layers.summary import summarize
from recurra.tasks.classification.network import Classifier
from recurra.tasks.settings import build_config


def counts(**settings: Any) -> list[int]:
    model = Classifier(ModelConfig(embedding=32, **settings), 10_000, 2, "binary")
    return [row.parameters for row in summarize(model).rows]


def test_the_course_s_lstm() -> None:
    summary = summarize(Classifier(ModelConfig(units=100), 10_000, 2, "binary"))
    assert [row.parameters for row in summary.rows] == [320_000, 53_200, 101]
    assert (summary.total, summary.trainable, summary.frozen) == (373_301, 373_301, 0)
    assert (
        summary.text()
        == """\
Layer (type)           Output shape      Parameters  Trainable
--------------------------------------------------------------
embedding (Embedding)  (None, None, 32)     320,000  yes
lstm (LSTM)            (None, 100)           53,200  yes
head (Dense)           (None, 1)                101  yes
--------------------------------------------------------------
Total parameters:            373,301
Trainable parameters:        373,301
Frozen parameters:                 0"""
    )


def test_single_layers_as_keras_counts_them() -> None:
    """GRU: 3 (E H + H H + 2 H), as with Keras's reset_after."""
    for layer, expected in [
        (SimpleRNN(32, 32), 2_080),
        (LSTM(32, 100), 53_200),
        (GRU(32, 100), 40_200),
        (LSTM(32, 32, bidirectional=True), 16_640),
    ]:
        assert sum(p.numel() for p in layer.parameters()) == expected


# Keras's own counts of the course's networks over Embedding(10000, 32)
@pytest.mark.parametrize(
    ("recipe", "expected"),
    [
        ("simple-rnn", [320_000, 2_080, 33]),
        ("lstm", [320_000, 53_200, 101]),
        ("gru", [320_000, 40_200, 101]),
        ("stacked-lstm", [320_000, 8_320, 8_320, 8_320, 33]),
        ("bi-lstm", [320_000, 16_640, 65]),
        ("stacked-gru", [320_000, 6_336, 18_816, 65]),
    ],
)
def test_the_recipes(recipe: str, expected: list[int]) -> None:
    config = build_config(load_recipe(recipe))
    model = Classifier(config.model, config.tokenizer.vocab_size, 2, "binary")
    assert [row.parameters for row in summarize(model).rows] == expected


def test_a_stack_with_pooling_row_by_row() -> None:
    config = ModelConfig(
        cell="gru", units=[6, 4], bidirectional=True, pooling="attention", head_dropout=0.5, embedding=8
    )
    summary = summarize(Classifier(config, 100, 3, "multiclass"))
    assert [(r.name, r.layer, r.output_shape, r.parameters) for r in summary.rows] == [
        ("embedding", "Embedding", "(None, None, 8)", 800),
        ("gru_1", "Bidirectional GRU", "(None, None, 12)", 2 * 3 * (8 * 6 + 6 * 6 + 2 * 6)),
        ("gru_2", "Bidirectional GRU", "(None, None, 8)", 2 * 3 * (12 * 4 + 4 * 4 + 2 * 4)),
        ("pooling", "AttentionPooling", "(None, 8)", 8 * 8 + 8 + 8),
        ("head_dropout", "Dropout", "(None, 8)", 0),
        ("head", "Dense", "(None, 3)", 27),
    ]
    assert sum(row.parameters for row in summary.rows) == summary.total


def test_several_poolings_are_one_row_with_the_width_of_all() -> None:
    config = ModelConfig(units=4, pooling=["mean", "max", "attention"], embedding=8)
    rows = {row.name: row for row in summarize(Classifier(config, 100, 2, "binary")).rows}
    assert rows["lstm"].output_shape == "(None, None, 4)"
    pooling, head = rows["pooling"], rows["head"]
    found = (pooling.layer, pooling.output_shape, pooling.parameters, head.parameters)
    assert found == ("JoinedPooling", "(None, 12)", 4 * 4 + 4 + 4, 13)


def test_layers_of_a_deep_stack_are_not_mixed_up() -> None:
    """Layer 1's parameters are not counted with layer 11's."""
    assert counts(units=2, layers=12)[1:13] == [4 * (32 * 2 + 4 + 2)] + [4 * (4 + 4 + 2)] * 11


def test_frozen_parameters_are_shown_as_such() -> None:
    model = Classifier(ModelConfig(units=100), 10_000, 2, "binary")
    model.embedding.requires_grad_(False)
    summary = summarize(model)
    assert [row.trainable for row in summary.rows] == [False, True, True]
    assert (summary.total, summary.trainable, summary.frozen) == (373_301, 53_301, 320_000)
    lines = summary.text().splitlines()
    assert lines[2].split()[-1] == "no"
    assert lines[-1].split() == ["Frozen", "parameters:", "320,000"]
