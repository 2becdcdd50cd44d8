"""Outputs, states and gradients are those of Keras's own layers, for every mask."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import torch

from tests.keras.pairs import IGNORED, KINDS, B, E, H, T, assert_equal, inputs, pair, results

pytestmark = IGNORED

STEPS = np.arange(T)
MASKS = {
    "none": None,
    "all": np.ones((B, T), bool),
    "right": np.array([7, 3, 1, 0, 5])[:, None] > STEPS,
    "left": np.array([0, 3, 6, 7, 5])[:, None] <= STEPS,
    "holes": np.random.default_rng(3).random((B, T)) < 0.5,
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("zeros", [False, True])
def test_a_mask(kind: str, mask: str, backwards: bool, zeros: bool) -> None:
    theirs, ours = pair(
        kind,
        return_sequences=True,
        return_state=True,
        go_backwards=backwards,
        zero_output_for_mask=zeros,
    )
    given = MASKS[mask]
    arguments: dict[str, Any] = {
        "mask": None if given is None else torch.tensor(given),
        "initial_state": [inputs()[:, 0, :1].repeat(H, 1) * (n + 1) for n in range(len(ours.state_size))],
    }
    assert_equal(results(ours, inputs(), **arguments), results(theirs, inputs(), **arguments))
    theirs.return_sequences = ours.return_sequences = False
    assert_equal(results(ours, inputs(), **arguments), results(theirs, inputs(), **arguments))


@pytest.mark.parametrize("kind", KINDS)
def test_the_kernels_run_what_they_support(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("Keras's own loop ran")

    for home in (keras.layers.RNN, getattr(keras.layers, kind)):
        monkeypatch.setattr(home, "inner_loop", fail)
    mask = torch.tensor(MASKS["holes"])
    for settings in (
        {"dropout": 0.5},
        {"use_bias": False, "stateful": True},
        {"dtype": "float64", "go_backwards": True},
        {"unroll": True, "return_sequences": True},
    ):
        _, layer = pair(kind, **settings)
        layer(torch.tensor(inputs()), mask=mask, training=True)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        *[(kind, {"dropout": 0.4, "seed": 1}) for kind in KINDS],
        *[(kind, {"dropout": 0.4, "recurrent_dropout": 0.3, "seed": 1}) for kind in KINDS],
        *[(kind, {"use_bias": False}) for kind in KINDS],
        *[(kind, {"unroll": True}) for kind in KINDS],
        *[(kind, {"activation": activation}) for kind in KINDS for activation in ("relu", "elu", None)],
        *[(kind, {"dtype": "float64"}) for kind in KINDS],
        *[(kind, {"recurrent_activation": "hard_sigmoid"}) for kind in ("LSTM", "GRU")],
        *[(kind, {"implementation": 1}) for kind in ("LSTM", "GRU")],
        *[("GRU", {"reset_after": False, "use_bias": use_bias}) for use_bias in (True, False)],
    ],
)
@pytest.mark.parametrize("mask", ["none", "right"])
def test_a_setting(kind: str, settings: dict[str, Any], mask: str) -> None:
    theirs, ours = pair(kind, return_state=True, **settings)
    given = MASKS[mask]
    arguments = {"training": True, "mask": None if given is None else torch.tensor(given)}
    dtype = settings.get("dtype", "float32")
    assert_equal(results(ours, inputs(dtype), **arguments), results(theirs, inputs(dtype), **arguments))


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_is_that_of_keras(kind: str) -> None:
    theirs, ours = pair(kind, dtype="mixed_bfloat16", return_sequences=True)
    x = torch.tensor(inputs())
    assert ours(x).dtype == torch.bfloat16
    assert torch.equal(ours(x), theirs(x))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(0, 3, E), (1, 1, E), (2, 1, E)])
def test_small_shapes(kind: str, shape: tuple[int, ...]) -> None:
    _, ours = pair(kind, return_sequences=True)
    x = torch.ones(shape)
    assert ours(x).shape == (*shape[:2], H)
    masked = ours(x, mask=torch.zeros(shape[:2], dtype=torch.bool))
    assert masked.shape == (*shape[:2], H)
    assert not masked.any()


def test_integers_and_masks_of_numbers() -> None:
    theirs, ours = pair("LSTM")
    x = torch.arange(B * T * E).view(B, T, E) % 3
    mask = torch.tensor(MASKS["right"]).float()
    torch.testing.assert_close(ours(x, mask=mask), theirs(x, mask=mask))


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("mask", ["none", "right"])
def test_gates_may_share_a_mask(kind: str, mask: str, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours = pair(kind, return_sequences=True, dropout=0.4, recurrent_dropout=0.3, seed=1)
    ours.shared_masks = True
    each = type(theirs.cell)._create_dropout_mask
    shared = lambda cell, *given: [each(cell, *given)[0]] * cell.dropout_mask_count  # noqa: E731
    monkeypatch.setattr(type(theirs.cell), "_create_dropout_mask", shared)
    given = MASKS[mask]
    arguments = {"training": True, "mask": None if given is None else torch.tensor(given)}
    assert_equal(results(ours, inputs(), **arguments), results(theirs, inputs(), **arguments))
    monkeypatch.setattr(keras.layers.RNN, "inner_loop", None)  # only the kernels compute this
    ours(torch.tensor(inputs()), **arguments)
