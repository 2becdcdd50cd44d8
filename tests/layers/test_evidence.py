"""Evidence of n-grams: keys, padding, and the weights of the model that was not trained on a row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from recurra.errors import BundleError
from recurra.kernels.dispatch import can_find_ngrams
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


def by_search(layer: NgramEvidence, tokens: Tensor, monkeypatch: pytest.MonkeyPatch, **given: Any) -> Tensor:
    """The features as computed without the compiled loops."""
    with monkeypatch.context() as patch:
        patch.setattr("recurra.layers.evidence.can_find_ngrams", lambda tokens, keys: False)
        return layer(tokens, **given)


@pytest.mark.parametrize("ngrams", [1, 2, 40, 64])
@pytest.mark.parametrize("outputs", [1, 3])
def test_compiled_loops_find_what_a_search_finds(
    ngrams: int, outputs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens, layer = texts(), NgramEvidence(50, ngrams, outputs)
    every = np.unique(np.concatenate([keys[keys >= 0].numpy() for keys in layer.keys_of(tokens)]))
    random = np.random.default_rng(1)
    chosen = np.sort(random.choice(every, min(ngrams, len(every)), replace=False))
    layer.set(chosen, random.normal(size=(len(chosen), outputs)), random.uniform(1, 2, 3 * outputs))
    others = torch.randint(1, 50, (4, 9), generator=torch.Generator().manual_seed(5))
    for read in (tokens, others, tokens[:, :1], tokens[:, :2], tokens[:0]):
        assert can_find_ngrams(read, layer.keys)
        assert torch.equal(layer(read), by_search(layer, read, monkeypatch))
        own = torch.rand(ngrams, outputs).__getitem__
        assert torch.equal(layer(read, own), by_search(layer, read, monkeypatch, select=own))
    copy = NgramEvidence(50, ngrams, outputs)
    copy.load_state_dict(layer.state_dict())
    assert torch.equal(copy(tokens), layer(tokens))


def test_a_token_outside_the_vocabulary_is_refused() -> None:
    layer = NgramEvidence(50, 4, 1)
    for token in (50, -1):
        with pytest.raises(IndexError):
            layer(torch.tensor([[3, token]]))
