"""The steps of document vectors, compiled at the first call."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

__all__ = ["move_on_sphere"]

Floats = NDArray[np.float32]


def move_on_sphere(
    features: csr_matrix,
    rows: NDArray[np.int64],
    chances: Floats,
    table: NDArray[np.int32],
    ngrams: Floats,
    texts: Floats,
    *,
    scale: float,
    rates: tuple[float, float],
    negatives: int,
    seed: int,
    learn: bool,
) -> None:
    """Moves vectors of texts, and those of their n-grams if ``learn``, once for each n-gram drawn.

    Args:
        features: (N, F), the n-grams of the texts.
        rows: the texts to visit, in their order.
        chances: with which an occurrence of an n-gram is drawn, (F,).
        table: n-grams that others are drawn from, a power of 2 of them.
        ngrams: (F, D), of length 1; updated in place if ``learn``.
        texts: (N, D), of length 1; updated in place.
        scale: the factor of the cosine.
        rates: the learning rates at the first and after the last text.
        negatives: the n-grams drawn from the table for each one of a text.
        seed: of the random numbers.
        learn: whether the n-grams move too.
    """
    from recurra.kernels.cpu.sphere import move

    move(
        np.ascontiguousarray(rows, np.int64),
        features.indptr.astype(np.int64, copy=False), features.indices.astype(np.int32, copy=False),
        chances, table, ngrams.shape[1], ngrams.reshape(-1), texts.reshape(-1),
        np.array([scale, scale * rates[0], scale * rates[1]], np.float32), negatives, seed, learn,
    )  # fmt: skip
