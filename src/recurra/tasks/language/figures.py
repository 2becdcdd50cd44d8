"""Perplexity with a confidence interval, and the comparison of two language models on the same tokens."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from recurra.errors import DataError

__all__ = ["Perplexity", "PerplexityComparison", "blocks_of", "compare_perplexity", "perplexity"]

BLOCKS = 200
"""Maximum number of blocks for an interval."""


class Perplexity(BaseModel):
    """The perplexity ``value`` = ``exp(nats)`` of ``tokens`` tokens.

    ``nats`` and ``bits`` are the mean negative log-probability of a token. ``low`` to ``high`` is the 95%
    interval of ``value``; both are None if there are too few texts.
    """

    tokens: int
    value: float
    nats: float
    bits: float
    low: float | None
    high: float | None


class PerplexityComparison(BaseModel):
    """The ratio of the perplexities of two models, with its 95% interval.

    If it is below 1, the first model is better. ``shown``: whether the interval excludes 1.
    """

    first: str
    second: str
    ratio: float
    low: float | None
    high: float | None
    shown: bool
    sentence: str

    @property
    def better(self) -> bool:
        """Whether the first model has the lower perplexity."""
        return self.ratio < 1


def blocks_of(starts: NDArray[np.int64], count: int = BLOCKS) -> NDArray[np.int64]:
    """Returns the boundaries of blocks of neighbouring whole texts, of about equal size.

    Neighbouring texts have similar topics, so single texts are not independent samples; blocks of many texts
    nearly are.

    Args:
        starts: start of each text, and end of the last one, of shape (N + 1,).
        count: maximum number of blocks.

    Example:
        >>> blocks_of(np.array([0, 2, 4, 9, 10, 12]), 3).tolist()
        [0, 4, 9, 12]
    """
    ideal = starts[0] + np.arange(count + 1) * ((starts[-1] - starts[0]) / count)
    nearest = np.searchsorted((starts[1:] + starts[:-1]) / 2, ideal)
    return np.unique(np.r_[starts[0], starts[nearest], starts[-1]])


def perplexity(log_probability: NDArray[np.floating], blocks: NDArray[np.int64]) -> Perplexity:
    """Returns the perplexity of tokens with the given natural log-probabilities (N,), in their order.

    The interval is Student's t interval of the mean, a ratio of two sums over ``blocks`` (of nats, and of
    tokens), by the delta method (Cochran 1977, "Sampling techniques", section 6.3); its ends are
    exponentiated.

    Raises:
        DataError: there are no tokens.
    """
    nats, low, high = _mean(-np.asarray(log_probability, np.float64), blocks)
    value, bits = _exp(nats), nats / math.log(2)
    return Perplexity(tokens=len(log_probability), value=value, nats=nats, bits=bits, low=low, high=high)


def compare_perplexity(
    first_log_probability: NDArray[np.floating],
    second_log_probability: NDArray[np.floating],
    blocks: NDArray[np.int64],
    first: str = "the model",
    second: str = "the baseline",
) -> PerplexityComparison:
    """Compares two models on the same tokens, with paired differences and an interval over blocks.

    The log-probabilities have shape (N,); ``first`` and ``second`` are the names of the models in the
    sentence.

    Raises:
        DataError: there are no tokens.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> a, b = rng.normal(-4.5, 1, 1000), rng.normal(-5, 1, 1000)
        >>> print(compare_perplexity(a, b, np.arange(0, 1001, 10), "the LSTM").sentence)
        the LSTM's perplexity is 0.63 times that of the baseline (0.58 to 0.69): it is ahead
    """
    a, b = (np.asarray(values, np.float64) for values in (first_log_probability, second_log_probability))
    if a.shape != b.shape:
        raise ValueError(f"the models were run on different tokens: {a.shape} and {b.shape}")
    difference, low, high = _mean(b - a, blocks)
    ratio = _exp(difference)
    shown = low is not None and high is not None and not low <= 1 <= high
    span = "" if low is None else f" ({low:.2f} to {high:.2f})"
    if shown:
        verdict = "ahead" if ratio < 1 else "behind"
        sentence = f"{first}'s perplexity is {ratio:.2f} times that of {second}{span}: it is {verdict}"
    else:
        sentence = f"no difference shown between {first} and {second}: {ratio:.2f} times its perplexity{span}"
    return PerplexityComparison(
        first=first, second=second, ratio=ratio, low=low, high=high, shown=shown, sentence=sentence
    )


def _mean(values: NDArray[np.float64], blocks: NDArray[np.int64]) -> tuple[float, float | None, float | None]:
    """Returns the mean, and ``exp`` of the ends of its 95% interval; None for fewer than two blocks."""
    from scipy.stats import t as student

    if not len(values):
        raise DataError("there are no tokens to measure on", hint="give a file with at least one text")
    if blocks[0] != 0 or blocks[-1] != len(values):
        raise ValueError(f"blocks from {blocks[0]} to {blocks[-1]} do not match {len(values)} tokens")
    mean = float(values.mean())
    K = len(blocks) - 1
    if K < 2:
        return mean, None, None
    residuals = np.add.reduceat(values - mean, blocks[:-1])
    error = math.sqrt(K / (K - 1) * float((residuals**2).sum())) / len(values)
    margin = float(student.ppf(0.975, K - 1)) * error
    return mean, _exp(mean - margin), _exp(mean + margin)


def _exp(value: float) -> float:
    """Returns ``exp(value)``, limited so that it does not overflow."""
    return math.exp(min(value, 700.0))
