"""Bootstrap: resampled sums of independent rows, and the interval of resampled figures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

__all__ = ["ROUNDS", "Difference", "ends", "resampled_sums"]

ROUNDS = 2_000
_CHUNK = 4_000_000  # numbers drawn at once


def resampled_sums(counts: NDArray[np.int64], seed: int = 1) -> NDArray[np.int64]:
    """Returns the sums of 2,000 bootstrap samples of the rows of ``counts`` (N, C), of shape (2000, C).

    All columns use the same rows, so that differences between them are paired. Equal rows are drawn together:
    how often each different row occurs in a sample has a multinomial distribution.

    Example:
        >>> sums = resampled_sums(np.array([[1, 2], [1, 0], [1, 2], [1, 0]]))
        >>> sums.shape, set(sums[:, 0].tolist()), set(sums[:, 1].tolist()) == {0, 2, 4, 6, 8}
        ((2000, 2), {4}, True)
    """
    different, times = np.unique(counts, axis=0, return_counts=True)
    random, shares = np.random.default_rng(seed), times / times.sum()
    chunk = max(1, _CHUNK // len(different))
    return np.concatenate(
        [
            random.multinomial(len(counts), shares, size=min(chunk, ROUNDS - start)) @ different
            for start in range(0, ROUNDS, chunk)
        ]
    )


class Difference(BaseModel):
    """The figure of the first system minus that of the second on the same units, with its 95% interval.

    ``shown``: whether the interval excludes 0; ``sentence`` describes the result.
    """

    first: str
    second: str
    difference: float
    low: float
    high: float
    shown: bool
    sentence: str


def ends(samples: NDArray[np.float64]) -> tuple[float, float]:
    """Returns the 95% interval of bootstrap samples: their 2.5% and 97.5% quantiles."""
    low, high = np.quantile(samples, [0.025, 0.975])
    return float(low), float(high)
