"""Vectors of texts and n-grams on a sphere, moved by gradients of the probability that a text has an n-gram.

The equations and their sources are in tasks/classification/document_vectors.py.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from recurra.kernels.cpu.compiled import compiled_loosely, inlined
from recurra.kernels.cpu.layout import Floats, Integers

__all__ = ["move"]

Columns: TypeAlias = NDArray[np.int32]


@inlined
def drawn(state: np.uint64) -> np.uint64:
    """The next random number: Marsaglia, "Xorshift RNGs", Journal of Statistical Software 8 (2003)."""
    state ^= state << np.uint64(13)
    state ^= state >> np.uint64(7)
    state ^= state << np.uint64(17)
    return state


@compiled_loosely
def move(
    rows: Integers, ends: Integers, columns: Columns, chances: Floats, table: Columns, size: int,
    ngrams: Floats, texts: Floats, scale: Floats, negatives: int, seed: int, learn: bool,
) -> None:  # fmt: skip
    """Moves the vectors of texts, and those of their n-grams if ``learn``, once for each n-gram drawn.

    Args:
        rows: the texts, in the order in which they are visited.
        ends: of the rows among the entries, (N + 1,).
        columns: the n-grams of the texts.
        chances: with which an occurrence of an n-gram is drawn, (F,).
        table: n-grams that others are drawn from, a power of 2 of them.
        size: ``D``, numbers of a vector.
        ngrams: (F, D), updated if ``learn``.
        texts: (N, D), updated.
        scale: the factor of the cosine, and the learning rate at the first and after the last text.
        negatives: the n-grams drawn from the table for each one of a text.
        seed: of the random numbers.
        learn: whether the n-grams move too.
    """
    one, zero = np.float32(1), np.float32(0)
    factor, first_rate, last_rate = scale[0], scale[1], scale[2]
    mask = np.uint64(len(table) - 1)
    state = np.uint64(seed) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(0x2545F4914F6CDD1D)
    for number in range(len(rows)):
        row = rows[number]
        rate = first_rate + (last_rate - first_rate) * np.float32(number / len(rows))
        text = texts[row * size : (row + 1) * size]
        for place in range(ends[row], ends[row + 1]):
            column = columns[place]
            state = drawn(state)
            if np.float32(state >> np.uint64(40)) * np.float32(1 / (1 << 24)) >= chances[column]:
                continue
            for draw in range(negatives + 1):
                if draw:
                    state = drawn(state)
                    column = table[(state >> np.uint64(20)) & mask]
                ngram = ngrams[column * np.int64(size) : (column + 1) * np.int64(size)]
                product, square = zero, zero
                for k in range(size):
                    product += text[k] * ngram[k]
                    square += ngram[k] * ngram[k]
                # Rounding errors of the length would grow from step to step.
                length = one / np.sqrt(square)
                cosine = product * length
                p = one / (one + np.exp(-factor * cosine))
                slope = (-p if draw else one - p) * rate
                # A step along the tangent, and the length of the result, which is that of both vectors.
                away = max(zero, one - cosine * cosine)
                shrink = one / np.sqrt(one + slope * slope * away)
                own, other = (one - slope * cosine) * shrink, slope * shrink
                if learn:
                    for k in range(size):
                        x, y = text[k], ngram[k] * length
                        text[k] = own * x + other * y
                        ngram[k] = own * y + other * x
                else:
                    for k in range(size):
                        text[k] = own * text[k] + other * length * ngram[k]
            square = zero
            for k in range(size):
                square += text[k] * text[k]
            length = one / np.sqrt(square)
            for k in range(size):
                text[k] *= length
