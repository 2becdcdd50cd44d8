"""The places of the n-grams of token ids in a table of sorted 48-bit keys.

Keys are hashes, so that their first bits say about where a key stands: a table of the first place of each
such prefix takes the place of 18 steps of a binary search.
"""

from __future__ import annotations

from recurra.kernels.cpu.compiled import compiled, inlined
from recurra.kernels.cpu.layout import Floats, Integers

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


@compiled
def find(
    tokens: Integers, B: int, T: int, hashes: Integers, keys: Integers, starts: Integers, shift: int,
    places: Integers,
) -> None:  # fmt: skip
    """Writes the places (3, B, T) of the 1-, 2- and 3-grams that end at each of the tokens (B, T).

    A place is -1 for an n-gram that is not known, at padding (id 0) and where the text is too short.

    Args:
        tokens: ids, padded at the end.
        B: texts.
        T: tokens of a text.
        hashes: of the ids, (V,).
        keys: sorted.
        starts: the first place of each prefix of a key, and the end.
        shift: the bits of a key after its prefix.
        places: the result.
    """
    size = B * T
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


@compiled
def gather(places: Integers, size: int, weights: Floats, scales: Floats, K: int, features: Floats) -> None:
    """Writes the features (size, 3 K) of places (3, size): scaled rows of the weights (F, K), or zeros."""
    for n in range(3):
        for at in range(size):
            place, to = places[n * size + at], (at * 3 + n) * K
            for k in range(K):
                features[to + k] = weights[place * K + k] * scales[n * K + k] if place >= 0 else 0.0
