"""Log-odds of the n-grams that end at each token, as inputs of a network.

The weights are those of a linear model over n-grams, fitted before the network is trained, and stay fixed.
The network learns what a linear model can't say: how much an n-gram counts where it stands.

Dimensions: ``B`` batch, ``T`` time, ``F`` n-grams, ``K`` outputs of the linear model.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recurra.errors import BundleError
from recurra.kernels.dispatch import can_find_ngrams, find_ngrams, gather_ngrams
from recurra.layers.embedding import PADDING

__all__ = ["ABSENT", "LONGEST", "MULTIPLIER", "NgramEvidence", "id_hashes"]

LONGEST = 3
"""Tokens of the longest n-grams."""
# Keys are those of tasks/classification/ngrams/keys.py, which layers can't import; a test compares them.
_BITS = 48
MULTIPLIER = 0x9E3779B97F4A7C15 - (1 << 64)  # odd: 2 ** 64 divided by the golden ratio, as a signed number
ABSENT = np.iinfo(np.int64).max


def id_hashes(vocab_size: int) -> NDArray[np.uint64]:
    """Returns a 64-bit hash of each token id, of shape (V,): the finalizer of SplitMix64.

    Source: Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", OOPSLA 2014.
    """
    z = (np.arange(vocab_size, dtype=np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


class NgramEvidence(nn.Module):
    """The weights of the 1-, 2- and 3-grams that end at each token: ids ``(B, T)`` to ``(B, T, 3 K)``.

    ``features[b, t, (n - 1) K + k]`` is the weight in output ``k`` of the ``n`` tokens up to ``t``, divided
    by the root mean square of such weights over the training tokens; 0 for an n-gram that is not known, and
    at padding. Nothing is trained.

    Args:
        vocab_size: ``V``.
        ngrams: ``F``, the rows of the table; fewer n-grams may be known.
        outputs: ``K``.

    Example:
        >>> layer = NgramEvidence(vocab_size=10, ngrams=4, outputs=1)
        >>> layer.set(layer.keys_of(torch.tensor([[5, 6]]))[1][:, 1:].reshape(-1).numpy(),
        ...           np.array([[2.0]]), np.ones(3))
        >>> layer(torch.tensor([[5, 6, 5, 0]]))[0].tolist()
        [[0.0, 0.0, 0.0], [0.0, 2.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """

    keys: Tensor
    weights: Tensor
    scales: Tensor
    _hashes: Tensor
    _starts: Tensor

    def __init__(self, vocab_size: int, ngrams: int, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs
        self.register_buffer("keys", torch.full((ngrams,), ABSENT, dtype=torch.int64))
        self.register_buffer("weights", torch.zeros(ngrams, outputs))
        self.register_buffer("scales", torch.ones(LONGEST * outputs))
        hashes = torch.from_numpy(id_hashes(vocab_size).view(np.int64))
        self.register_buffer("_hashes", hashes.to(self.keys.device), persistent=False)
        # A prefix of a key has one n-gram on average; where the n-grams of each begin.
        self._shift = _BITS - max(1, (ngrams - 1).bit_length())
        starts = torch.zeros((1 << (_BITS - self._shift)) + 1, dtype=torch.int64)
        self.register_buffer("_starts", starts.to(self.keys.device), persistent=False)
        self.register_load_state_dict_post_hook(_require_sound)  # type: ignore[no-untyped-call]

    @property
    def features(self) -> int:
        """The number of features of a token, ``3 K``."""
        return self.width(self.outputs)

    @staticmethod
    def width(outputs: int) -> int:
        """Returns the number of features of a token for ``K`` outputs."""
        return LONGEST * outputs

    def set(
        self, keys: NDArray[np.int64], weights: NDArray[np.floating], scales: NDArray[np.floating]
    ) -> None:
        """Sets the known n-grams.

        Args:
            keys: their keys, sorted, of shape (f,), with f of at most F.
            weights: of shape (f, K).
            scales: factors of the features, of shape (3 K,).
        """
        known = len(keys)
        self.keys.fill_(ABSENT)
        self.weights.zero_()
        self.keys[:known] = torch.as_tensor(np.ascontiguousarray(keys))
        self.weights[:known] = torch.as_tensor(weights, dtype=torch.float32)
        self.scales.copy_(torch.as_tensor(scales, dtype=torch.float32))
        self._index()

    def _index(self) -> None:
        """Finds where the keys of each prefix begin."""
        prefixes = torch.arange(len(self._starts), device=self.keys.device) << self._shift
        self._starts.copy_(torch.searchsorted(self.keys, prefixes))

    def keys_of(self, tokens: Tensor) -> list[Tensor]:
        """Returns for 1, 2 and 3 tokens the keys (B, T) of the n-grams that end at each token.

        The key is -1, which no n-gram has, at padding and where the text is too short.
        """
        hashes = self._hashes[tokens]
        padding, found, mixed = tokens == PADDING, [], hashes
        for size in range(1, LONGEST + 1):
            if size > 1:
                mixed = mixed[:, :-1] * MULTIPLIER + hashes[:, size - 1 :]
            if tokens.shape[1] < size:
                found.append(torch.full_like(tokens, -1))
                continue
            # The shift is arithmetic: the mask takes the copies of the sign away.
            keys = (mixed >> (64 - _BITS)) & ((1 << _BITS) - 1)
            keys = nn.functional.pad(keys, (size - 1, 0), value=-1)
            found.append(keys.masked_fill(padding, -1))
        return found

    def forward(self, tokens: Tensor, select: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Returns the features (B, T, 3 K).

        Args:
            tokens: ``(B, T)`` int64, padded at the end with 0.
            select: returns weights (B, T, K) for columns (B, T) of the table; None for the weights of the
                layer.
        """
        if can_find_ngrams(tokens, self.keys):
            places = find_ngrams(tokens, self._hashes, self.keys, self._starts, self._shift)
            if select is None:
                return gather_ngrams(places, self.weights, self.scales)
            found = [select(columns.clamp(min=0)) * (columns >= 0)[:, :, None] for columns in places]
            return torch.cat(found, 2) * self.scales
        parts = []
        for keys in self.keys_of(tokens):
            columns = torch.searchsorted(self.keys, keys).clamp_(max=len(self.keys) - 1)
            weights = self.weights[columns] if select is None else select(columns)
            parts.append(weights * (self.keys[columns] == keys)[:, :, None])
        return torch.cat(parts, 2) * self.scales


def _require_sound(layer: nn.Module, incompatible: object) -> None:
    """Raises BundleError if a loaded table can't be one that `NgramEvidence.set` filled."""
    assert isinstance(layer, NgramEvidence)  # noqa: S101  # a hook of this class
    if not bool((layer.keys[1:] >= layer.keys[:-1]).all()):
        raise BundleError("the keys of the n-grams that the network reads are not sorted")
    if not bool(torch.isfinite(layer.weights).all() and torch.isfinite(layer.scales).all()):
        raise BundleError("a weight of an n-gram that the network reads is not finite")
    layer._index()
