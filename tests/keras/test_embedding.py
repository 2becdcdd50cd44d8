"""The ids behind an embedding's output are read in its place, with the same values and gradients."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import torch
from torch import Tensor

import recurra.keras
from recurra.keras.lookup import behind
from recurra.kernels.dispatch import Lookup
from tests.keras.pairs import IGNORED, B, E, H, T

pytestmark = IGNORED
IDS = torch.tensor(np.random.default_rng(4).integers(0, 6, (B, T)))  # 0 is masked, anywhere in a row


def gradients(embedding: Any, recurrent: Any, ids: Tensor = IDS) -> tuple[Tensor, Tensor, Tensor]:
    """The last output, and the gradients of the table and of the input's weights."""
    table, layer = embedding(6, E, mask_zero=True), recurrent(H)
    table.build()
    layer.build((B, T, E))
    rng = np.random.default_rng(5)
    for each in (table, layer):
        each.set_weights([0.5 * rng.normal(size=array.shape) for array in each.get_weights()])
    output = layer(table(ids))
    (output * torch.arange(H)).sum().backward()  # type: ignore[no-untyped-call]
    return output.detach(), table.embeddings.value.grad, layer.cell.kernel.value.grad


@pytest.mark.parametrize("ids", [IDS, IDS - 6, IDS.float()], ids=["positive", "negative", "float"])
def test_values_and_gradients(ids: Tensor) -> None:
    expected = gradients(keras.layers.Embedding, keras.layers.LSTM, ids)
    for mine, value in zip(
        gradients(recurra.keras.Embedding, recurra.keras.LSTM, ids), expected, strict=True
    ):
        torch.testing.assert_close(mine, value, atol=5e-6, rtol=1e-5)


def test_a_lookup_is_found_behind_an_output() -> None:
    table = recurra.keras.Embedding(6, E)
    found = behind(table(IDS))
    assert isinstance(found, Lookup)
    torch.testing.assert_close(found.dense(), table(IDS), atol=0, rtol=0)


def test_an_output_stays_the_input_where_its_own_gradient_or_value_matters() -> None:
    table = recurra.keras.Embedding(6, E)
    retained, hooked, changed = (table(IDS) for _ in range(3))
    retained.retain_grad()
    hooked.register_hook(lambda gradient: gradient)
    changed += 1
    for output in (retained, hooked, changed, table(IDS) * 2, table(IDS[0])):
        assert behind(output) is output
    recurra.keras.LSTM(H)(retained).sum().backward()
    assert retained.grad is not None
