"""The places of the n-grams of token ids in a table of sorted 48-bit keys.

Keys are hashes, so that their first bits say about where a key stands: a table of the first place of each
such prefix takes the place of 18 steps of a binary search.
"""

from __future__ import annotations

from recurra.kernels.cpu.atomic import floats_at, integers_at
from recurra.kernels.cpu.compiled import inlined, inner
from recurra.kernels.cpu.layout import Integers

__all__ = ["find", "gather"]

MULTIPLIER = 0x9E3779B97F4A7C15 - (1 << 64)  # as in layers/evidence.py
KEY_BITS = 48
MASK = (1 << KEY_BITS) - 1


@inlined
def place_of(mixed: int, keys: Integers, starts: Integers, shift: int) -> int:
    """The place of the key of a mixed hash; -1 if it is not there."""
    key = (mixed >> (64 - KEY_BITS)) & MASK
    prefix = key >> shift
    for place in range(starts[prefix], starts[prefix + 1]):
        if keys[place] == key:
            return place
    return -1


@inner
def find(
    tokens_at: int, B: int, T: int, hashes_at: int, V: int, keys_at: int, F: int, starts_at: int,
    prefixes: int, shift: int, places_at: int,
) -> None:  # fmt: skip
    """Writes the places (3, B, T) of the 1-, 2- and 3-grams that end at each of the tokens (B, T).

    A place is -1 for an n-gram that is not known, at padding (id 0) and where the text is too short.

    Args:
        tokens_at: address of the ids, padded at the end.
        B: texts.
        T: tokens of a text.
        hashes_at: address of the hashes of the ids.
        V: number of ids.
        keys_at: address of the sorted keys.
        F: number of keys.
        starts_at: address of the first place of each prefix of a key, and the end.
        prefixes: number of prefixes.
        shift: the bits of a key after its prefix.
        places_at: address of the result.
    """
    size = B * T
    tokens, places = integers_at(tokens_at, size), integers_at(places_at, 3 * size)
    hashes, keys = integers_at(hashes_at, V), integers_at(keys_at, F)
    starts = integers_at(starts_at, prefixes + 1)
    for b in range(B):
        one = two = 0
        for t in range(T):
            at = b * T + t
            token = tokens[at]
            places[at] = places[size + at] = places[2 * size + at] = -1
            if token == 0:
                continue
            hashed = hashes[token]
            places[at] = place_of(hashed, keys, starts, shift)
            three = two * MULTIPLIER + hashed
            two = one * MULTIPLIER + hashed
            one = hashed
            if t > 0:
                places[size + at] = place_of(two, keys, starts, shift)
            if t > 1:
                places[2 * size + at] = place_of(three, keys, starts, shift)


@inner
def gather(
    places_at: int, size: int, weights_at: int, F: int, K: int, scales_at: int, features_at: int
) -> None:
    """Writes the features (size, 3 K) of places (3, size): scaled rows of the weights (F, K), or zeros.

    Each is given by address; ``scales`` are (3 K,).
    """
    places, weights = integers_at(places_at, 3 * size), floats_at(weights_at, F * K)
    scales, features = floats_at(scales_at, 3 * K), floats_at(features_at, size * 3 * K)
    for n in range(3):
        for at in range(size):
            place, to = places[n * size + at], (at * 3 + n) * K
            for k in range(K):
                features[to + k] = weights[place * K + k] * scales[n * K + k] if place >= 0 else 0.0
