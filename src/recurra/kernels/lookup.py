"""The n-grams of token ids in a table of sorted keys: their places, and their rows of weights."""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.kernels import cpu
from recurra.kernels.terms import has_no_values, is_recorded, is_transformed

__all__ = ["can_find_ngrams", "find_ngrams", "gather_ngrams"]


def can_find_ngrams(tokens: Tensor, keys: Tensor) -> bool:
    """Whether compiled loops can read these tensors: on the CPU, with values, in no graph or transform."""
    return (
        cpu.has_functions()
        and tokens.is_cpu
        and keys.is_cpu
        and tokens.dtype is torch.int64
        and not is_recorded()
        and not is_transformed()
        and not has_no_values(tokens)
        and type(tokens) is Tensor
    )


def find_ngrams(tokens: Tensor, hashes: Tensor, keys: Tensor, starts: Tensor, shift: int) -> Tensor:
    """Returns the places (3, B, T), int64, of the 1-, 2- and 3-grams that end at each token.

    A place is -1 for an n-gram that is not known, at padding (id 0) and where the text is too short.

    Args:
        tokens: ``(B, T)`` int64, padded at the end.
        hashes: of the ids, (V,) int64.
        keys: sorted, of 48 bits, (F,) int64.
        starts: the first place of each prefix of a key, and the end.
        shift: the bits of a key after its prefix.

    Raises:
        IndexError: a token is not below V.
    """
    from recurra.kernels.cpu.machine_code import functions

    B, T = tokens.shape
    places = torch.empty(3, B, T, dtype=torch.int64)
    if tokens.numel() and not 0 <= int(tokens.min()) <= int(tokens.max()) < len(hashes):
        raise IndexError(f"a token is not below {len(hashes)}")
    tokens, hashes, keys, starts = (each.contiguous() for each in (tokens, hashes, keys, starts))
    functions().find(
        tokens.data_ptr(), B, T, hashes.data_ptr(), len(hashes), keys.data_ptr(), len(keys),
        starts.data_ptr(), len(starts) - 1, shift, places.data_ptr(),
    )  # fmt: skip
    return places


def gather_ngrams(places: Tensor, weights: Tensor, scales: Tensor) -> Tensor:
    """Returns the rows of ``weights`` (F, K) at ``places`` (3, B, T) as (B, T, 3 K), times ``scales`` (3 K,).

    The rows of places of -1 are zeros.
    """
    from recurra.kernels.cpu.machine_code import functions

    _, B, T = places.shape
    features = torch.empty(B, T, len(scales))
    places, weights, scales = places.contiguous(), weights.contiguous(), scales.contiguous()
    functions().gather(
        places.data_ptr(), B * T, weights.data_ptr(), *weights.shape, scales.data_ptr(), features.data_ptr()
    )
    return features
