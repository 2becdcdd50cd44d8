"""Bootstrap: resampled sums of independent rows, and the interval of resampled figures."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from scipy.sparse import csr_matrix

__all__ = ["ROUNDS", "Difference", "ends", "resampled_groups", "resampled_sums"]

ROUNDS = 2_000
_CHUNK = 4_000_000  # numbers drawn at once
_GROUPS = 2_000


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


def resampled_groups(counts: csr_matrix, seed: int = 1) -> Iterator[NDArray[np.float64]]:
    """Yields the sums of 2,000 bootstrap samples of the rows of ``counts`` (N, C), in parts of shape (n, C).

    It is for many columns that are mostly 0. More than 2,000 rows are put into that many random groups of
    equal size, and the groups are sampled: since rows are independent, the sums have the same variance, and
    the time does not grow with the rows.
    """
    rows, width = counts.shape
    random, groups = np.random.default_rng(seed), min(rows, _GROUPS)
    member = random.permutation(rows) % groups
    summed = csr_matrix((np.ones(rows), (member, np.arange(rows))), (groups, rows)) @ counts
    chunk = max(1, _CHUNK // max(groups, width))
    for start in range(0, ROUNDS, chunk):
        times = random.multinomial(groups, np.full(groups, 1 / groups), size=min(chunk, ROUNDS - start))
        yield np.asarray((summed.T @ times.T).T)


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
