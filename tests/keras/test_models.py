"""Models with our layers train, save and load as with Keras's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch

import recurra.keras
from tests.keras.pairs import IGNORED, KINDS, B, E, H, T, assert_equal, inputs, pair, results

pytestmark = IGNORED
OWN = {kind: getattr(recurra.keras, kind) for kind in KINDS}
THEIRS = {kind: getattr(keras.layers, kind) for kind in KINDS}
VOCABULARY = 20


def classifier(layers: dict[str, Any]) -> Any:
    """Stacked layers of all kinds, one of them bidirectional, over masked texts."""
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(VOCABULARY, E, mask_zero=True),
            keras.layers.Bidirectional(layers["LSTM"](H, return_sequences=True, kernel_regularizer="l2")),
            layers["GRU"](H, return_sequences=True, recurrent_constraint="unit_norm"),
            layers["SimpleRNN"](H, go_backwards=True),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )


def texts() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    rng = np.random.default_rng(0)
    tokens = rng.integers(1, VOCABULARY, (24, T))
    tokens[np.arange(T) >= rng.integers(1, T + 1, (24, 1))] = 0
    tokens[::5] = tokens[::5, ::-1]  # padding at the front too
    return tokens, rng.integers(0, 2, (24, 1))


def test_fit_is_equal_step_by_step() -> None:
    theirs, ours = classifier(THEIRS), classifier(OWN)
    ours.set_weights(theirs.get_weights())
    tokens, labels = texts()
    for model in (theirs, ours):
        model.compile(optimizer=keras.optimizers.SGD(0.5), loss="binary_crossentropy", metrics=["accuracy"])
    for step in range(3):
        rows = slice(8 * step, 8 * step + 8)
        losses = [model.train_on_batch(tokens[rows], labels[rows]) for model in (theirs, ours)]
        np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
        for mine, expected in zip(ours.get_weights(), theirs.get_weights(), strict=True):
            np.testing.assert_allclose(mine, expected, atol=1e-5)
    history = ours.fit(tokens, labels, epochs=1, batch_size=8, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    assert ours.evaluate(tokens, labels, verbose=0, return_dict=True).keys() == {"loss", "accuracy"}


def test_a_saved_model_is_loaded(tmp_path: Path) -> None:
    model = classifier(OWN)
    tokens, _ = texts()
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert [type(layer) for layer in loaded.layers] == [type(layer) for layer in model.layers]
    assert type(loaded.layers[1].backward_layer) is recurra.keras.LSTM
    np.testing.assert_array_equal(loaded.predict(tokens, verbose=0), model.predict(tokens, verbose=0))


@pytest.mark.parametrize("kind", KINDS)
def test_the_config_is_that_of_keras(kind: str) -> None:
    theirs, ours = pair(kind, dropout=0.2, seed=3, return_state=True, name="recurrent")
    config = ours.get_config()
    assert config.pop("shared_masks", None) in (None, False)
    assert config == theirs.get_config()
    copy = OWN[kind].from_config(ours.get_config())
    assert type(copy) is OWN[kind]
    assert copy.get_config() == ours.get_config()


@pytest.mark.parametrize("kind", KINDS)
def test_a_stateful_layer_goes_on(kind: str) -> None:
    theirs, ours = pair(kind, stateful=True, return_sequences=True)
    x = torch.tensor(inputs())
    for _ in range(2):
        torch.testing.assert_close(ours(x), theirs(x))
    for layer in (theirs, ours):
        layer.reset_state()
    torch.testing.assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("merge_mode", ["concat", "sum", "mul", "ave", None])
def test_bidirectional(merge_mode: str | None) -> None:
    layers = [
        keras.layers.Bidirectional(
            layers["LSTM"](H, return_sequences=True, return_state=True), merge_mode=merge_mode
        )
        for layers in (THEIRS, OWN)
    ]
    for layer in layers:
        layer.build((B, T, E))
    layers[1].set_weights(layers[0].get_weights())
    mask = torch.tensor(np.array([7, 3, 1, 5, 2])[:, None] > np.arange(T))
    theirs, ours = (results(layer, inputs(), mask=mask) for layer in layers)
    assert_equal(ours, theirs)


def test_a_functional_model_passes_a_state_on() -> None:
    def model(layers: dict[str, Any]) -> Any:
        given = keras.Input((T, E))
        _, *state = layers["LSTM"](H, return_state=True)(given)
        outputs = layers["LSTM"](H, return_sequences=True)(given, initial_state=state)
        return keras.Model(given, outputs)

    theirs, ours = model(THEIRS), model(OWN)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(
        ours.predict(inputs(), verbose=0), theirs.predict(inputs(), verbose=0), atol=1e-6
    )


def test_a_model_is_accelerated_in_place_and_back() -> None:
    model, expected = classifier(THEIRS), classifier(THEIRS)
    expected.set_weights(model.get_weights())
    for each in (model, expected):
        each.compile(optimizer=keras.optimizers.Adam(), loss="binary_crossentropy")
    weights = [id(weight) for weight in model.weights]
    data = texts()
    for undo in (None, False, True):  # the state of the optimizer goes on from step to step
        if undo is not None:
            assert recurra.keras.accelerate(model, undo=undo) is model
        kinds = {
            type(layer).__module__.partition(".")[0] for layer in model._flatten_layers(include_self=False)
        }
        assert ("recurra" in kinds) == (undo is False)
        np.testing.assert_allclose(model.train_on_batch(*data), expected.train_on_batch(*data), rtol=1e-4)
    assert [id(weight) for weight in model.weights] == weights


def test_an_accelerated_model_may_share_masks() -> None:
    model = classifier(THEIRS)
    recurra.keras.accelerate(model, shared_masks=True)
    layers = (model.layers[1].forward_layer, model.layers[1].backward_layer, model.layers[2])
    assert [layer.shared_masks for layer in layers] == [True] * 3
    copy = type(model.layers[2]).from_config(model.layers[2].get_config())
    assert copy.shared_masks


def test_nothing_to_accelerate() -> None:
    with pytest.warns(UserWarning, match="Dense has no SimpleRNN, LSTM or GRU to accelerate"):
        recurra.keras.accelerate(keras.layers.Dense(1))


def test_an_export_needs_no_recurra() -> None:
    theirs, ours = pair("LSTM")
    x, mask = torch.tensor(inputs()), torch.tensor(np.arange(T) < np.array([7, 3, 1, 5, 2])[:, None])

    class Masked(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = ours

        def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            output: torch.Tensor = self.layer(x, mask=mask)
            return output

    exported = torch.export.export(Masked(), (x, mask))
    torch.testing.assert_close(exported.module()(x, mask), theirs(x, mask=mask))
    assert "recurra" not in str(exported.graph)
