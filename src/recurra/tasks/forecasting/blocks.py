"""Moving-block bootstrap: confidence intervals of means of autocorrelated values."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from recurra.measure.bootstrap import ROUNDS

__all__ = ["block_length", "block_means"]

_CHUNK = 4_000_000  # numbers drawn at once


def block_length(values: NDArray[np.float64], minimum: int = 1) -> int:
    """Estimates the block length that preserves the autocorrelation of ``values``.

    Uses the rule of Politis and White, "Automatic block-length selection for the dependent bootstrap",
    Econometric Reviews 23 (2004), for the mean, with the constants of their correction (with Patton, 2009).

    Args:
        values: values in the order of time, of shape (N,).
        minimum: lower bound, e.g. the forecast distance; the result is at most a fifth of ``N``.

    Example:
        >>> independent = np.random.default_rng(1).standard_normal(4000)
        >>> block_length(independent), block_length(np.convolve(independent, np.ones(50), "valid")) > 50
        (1, True)
    """
    n = len(values)
    maximum = max(1, n // 5)
    if n < 10 or np.ptp(values) == 0:
        return min(max(1, minimum), maximum)
    runs = max(5, int(np.ceil(np.sqrt(np.log10(n)))))
    lags = min(n - 1, int(np.ceil(np.sqrt(n))) + runs)
    centred = values - values.mean()
    centred /= np.abs(centred).max()  # the length depends on no unit, and squares of 1e100 on their limits
    covariance = np.array([centred[lag:] @ centred[: n - lag] for lag in range(lags + 1)]) / n
    small = np.abs(covariance[1:] / covariance[0]) < 2 * np.sqrt(np.log10(n) / n)
    insignificant = [lag for lag in range(len(small) - runs + 1) if small[lag : lag + runs].all()]
    significant = np.flatnonzero(~small)
    last_lag = insignificant[0] if insignificant else int(significant[-1]) + 1 if len(significant) else 0
    width = min(2 * max(last_lag, 1), lags)
    k = np.arange(1, width + 1)
    weight = np.clip(2 * (1 - k / width), 0, 1)
    g = 2 * float((weight * k * covariance[1 : width + 1]).sum())
    variance = float(covariance[0] + 2 * (weight * covariance[1 : width + 1]).sum())
    if variance <= 0:
        return min(max(1, minimum), maximum)
    length = (2 * g**2 / (4 / 3 * variance**2)) ** (1 / 3) * n ** (1 / 3)
    return int(min(max(round(length), 1, minimum), maximum))


def block_means(values: NDArray[np.float64], block: int, seed: int = 1) -> NDArray[np.float64]:
    """Returns 2,000 moving-block bootstrap means (Kunsch 1989) of values (N, C), of shape (2000, C).

    All columns use the same blocks, so that differences between them are paired. The first and last values
    are in fewer blocks than others; the means are therefore shifted to be centred at the true mean.
    """
    n, columns = values.shape
    sums = np.vstack([np.zeros(columns), np.cumsum(values, axis=0)])
    means = (sums[block:] - sums[:-block]) / block
    random, count = np.random.default_rng(seed), -(-n // block)
    chunk = max(1, _CHUNK // count // 8)
    sizes = [(min(chunk, ROUNDS - start), count) for start in range(0, ROUNDS, chunk)]
    resampled = np.concatenate([means[random.integers(len(means), size=size)].mean(axis=1) for size in sizes])
    return np.asarray(resampled - means.mean(axis=0) + values.mean(axis=0))
