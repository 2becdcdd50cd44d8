"""Evidence of n-grams: keys, padding, and the weights of the model that was not trained on a row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from recurra.errors import BundleError
from recurra.layers.evidence import NgramEvidence, id_hashes
from recurra.tasks.classification.ngrams.keys import ngram_keys

LENGTHS = np.array([7, 4, 1])


def texts() -> Tensor:
    """Token ids of three texts, padded."""
    tokens = torch.randint(1, 50, (3, 7), generator=torch.Generator().manual_seed(0))
    for row, length in enumerate(LENGTHS):
        tokens[row, length:] = 0
    return tokens


def known(layer: NgramEvidence, tokens: Tensor) -> None:
    """Gives the layer a weight for every n-gram of the texts."""
    found = np.unique(np.concatenate([keys[keys >= 0].numpy() for keys in layer.keys_of(tokens)]))
    weights = np.random.default_rng(0).normal(size=(len(found), layer.outputs))
    layer.set(found, weights, np.ones(layer.features))


def test_keys_are_those_of_the_n_gram_model() -> None:
    tokens, layer = texts(), NgramEvidence(50, 8, 1)
    flat = np.concatenate([tokens[row, :length].numpy() for row, length in enumerate(LENGTHS)])
    for found, (_, keys, _) in zip(
        layer.keys_of(tokens), ngram_keys(id_hashes(50)[flat], LENGTHS), strict=True
    ):
        assert found[found >= 0].tolist() == keys.astype(np.int64).tolist()


@pytest.mark.parametrize("outputs", [1, 3])
def test_padding_and_other_texts_have_no_effect(outputs: int) -> None:
    tokens, layer = texts(), NgramEvidence(50, 64, outputs)
    known(layer, tokens)
    together = layer(tokens)
    assert together.shape == (3, 7, 3 * outputs)
    for row, length in enumerate(LENGTHS):
        alone = layer(tokens[row : row + 1, :length])
        assert torch.equal(alone[0], together[row, :length])
        assert not together[row, length:].any()


def test_each_feature_is_the_weight_of_the_n_gram_that_ends_there() -> None:
    tokens, layer = torch.tensor([[5, 6, 7]]), NgramEvidence(50, 4, 1)
    pair = layer.keys_of(tokens)[1][0, 2].item()
    layer.set(np.array([pair]), np.array([[3.0]]), np.array([1.0, 0.5, 1.0]))
    assert layer(tokens)[0].tolist() == [[0, 0, 0], [0, 0, 0], [0, 1.5, 0]]


@pytest.mark.parametrize(
    ("name", "value", "message"), [("keys", 4, "not sorted"), ("weights", torch.nan, "not finite")]
)
def test_a_damaged_table_is_refused(name: str, value: float, message: str) -> None:
    saved = NgramEvidence(50, 4, 1).state_dict()
    NgramEvidence(50, 4, 1).load_state_dict(saved)
    saved[name][2] = value
    with pytest.raises(BundleError, match=message):
        NgramEvidence(50, 4, 1).load_state_dict(saved)
