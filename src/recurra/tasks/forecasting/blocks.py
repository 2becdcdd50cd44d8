"""Intervals of means over time: neighbouring forecasts err alike, so whole blocks are drawn anew."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["block_length", "block_means", "ends"]

_ROUNDS = 2_000
_AT_ONCE = 4_000_000  # numbers drawn at a time


def block_length(values: NDArray[np.float64], least: int = 1) -> int:
    """How long blocks of ``values`` must be to keep what neighbours have in common.

    The rule of Politis and White, "Automatic block-length selection for the dependent bootstrap",
    Econometric Reviews 23 (2004), for the mean, with the constants of their correction (with Patton, 2009).

    Args:
        values: ``(N,)`` in the order of time.
        least: no shorter than this, such as how far ahead a forecast looks; never above a fifth of ``N``.

    Example:
        >>> independent = np.random.default_rng(1).standard_normal(4000)
        >>> block_length(independent), block_length(np.convolve(independent, np.ones(50), "valid")) > 50
        (1, True)
    """
    n = len(values)
    most = max(1, n // 5)
    if n < 10 or np.ptp(values) == 0:
        return min(max(1, least), most)
    runs = max(5, int(np.ceil(np.sqrt(np.log10(n)))))
    lags = min(n - 1, int(np.ceil(np.sqrt(n))) + runs)
    around = values - values.mean()
    covariance = np.array([around[lag:] @ around[: n - lag] for lag in range(lags + 1)]) / n
    small = np.abs(covariance[1:] / covariance[0]) < 2 * np.sqrt(np.log10(n) / n)
    silent = [lag for lag in range(len(small) - runs + 1) if small[lag : lag + runs].all()]
    loud = np.flatnonzero(~small)
    reach = silent[0] if silent else int(loud[-1]) + 1 if len(loud) else 0
    width = min(2 * max(reach, 1), lags)
    k = np.arange(1, width + 1)
    weight = np.clip(2 * (1 - k / width), 0, 1)
    g = 2 * float((weight * k * covariance[1 : width + 1]).sum())
    variance = float(covariance[0] + 2 * (weight * covariance[1 : width + 1]).sum())
    if variance <= 0:
        return min(max(1, least), most)
    found = (2 * g**2 / (4 / 3 * variance**2)) ** (1 / 3) * n ** (1 / 3)
    return int(min(max(round(found), 1, least), most))


def block_means(values: NDArray[np.float64], block: int, seed: int = 1) -> NDArray[np.float64]:
    """``(2000, C)`` means of ``(N, C)`` values under the moving-block bootstrap (Kunsch 1989).

    All columns share the blocks that are drawn, so differences between them are paired. The first and last
    values lie in fewer blocks than others: the means are moved so that their centre is the true mean.
    """
    n, columns = values.shape
    sums = np.vstack([np.zeros(columns), np.cumsum(values, axis=0)])
    means = (sums[block:] - sums[:-block]) / block
    found = np.concatenate(
        [means[places].mean(axis=1) for places in _draws(len(means), -(-n // block), seed)]
    )
    return np.asarray(found - means.mean(axis=0) + values.mean(axis=0))


def ends(drawn: NDArray[np.float64]) -> tuple[float, float]:
    """The 95% interval of drawn values: their 2.5% and 97.5% quantiles."""
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _draws(blocks: int, count: int, seed: int) -> Iterator[NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    at_once = max(1, _AT_ONCE // count // 8)
    for begin in range(0, _ROUNDS, at_once):
        yield random.integers(blocks, size=(min(at_once, _ROUNDS - begin), count))
