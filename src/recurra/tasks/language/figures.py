"""Perplexity with an interval, and two language models on the same tokens."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from scipy.stats import t as student

from recurra.errors import DataError

__all__ = ["Perplexity", "PerplexityComparison", "blocks_of", "compare_perplexity", "perplexity"]

BLOCKS = 200
"""Blocks that an interval is made of, at most."""


class Perplexity(BaseModel):
    """How well tokens were told: ``value`` is ``exp(nats)``, ``bits`` are those a token takes.

    ``nats`` is the mean negative log-probability of the ``tokens``. ``low`` to ``high`` is a 95% interval of
    ``value``; None where there are too few texts for one.
    """

    tokens: int
    value: float
    nats: float
    bits: float
    low: float | None
    high: float | None


class PerplexityComparison(BaseModel):
    """The first model's perplexity as a share of the second's, with its 95% interval.

    Below 1 the first is ahead. ``shown`` says whether the interval leaves out 1.
    """

    first: str
    second: str
    ratio: float
    low: float | None
    high: float | None
    shown: bool
    sentence: str


def blocks_of(starts: NDArray[np.int64], most: int = BLOCKS) -> NDArray[np.int64]:
    """Where blocks begin, and where the last one ends: whole texts side by side, of about equal size.

    Neighbouring texts are about the same things, so a text alone is no independent drawing; a block of many
    nearly is.

    Args:
        starts: ``(N + 1,)`` where each text begins, and where the last one ends.
        most: blocks at most.

    Example:
        >>> blocks_of(np.array([0, 2, 4, 9, 10, 12]), 3).tolist()
        [0, 4, 9, 12]
    """
    wanted = starts[0] + np.arange(most + 1) * ((starts[-1] - starts[0]) / most)
    nearest = np.searchsorted((starts[1:] + starts[:-1]) / 2, wanted)
    return np.unique(np.r_[starts[0], starts[nearest], starts[-1]])


def perplexity(log_probability: NDArray[np.floating], blocks: NDArray[np.int64]) -> Perplexity:
    """The perplexity of tokens told with these natural log-probabilities.

    The interval is Student's of the mean as a ratio of two sums over blocks (of nats, and of tokens), by the
    delta method (Cochran 1977, "Sampling techniques", section 6.3), its ends put through ``exp``.

    Args:
        log_probability: ``(N,)`` in the order of the text.
        blocks: as :func:`blocks_of` gives them.

    Raises:
        DataError: there is no token.
    """
    nats, reach = _mean(-np.asarray(log_probability, np.float64), blocks)
    ends = (None, None) if reach is None else (_exp(nats - reach), _exp(nats + reach))
    return Perplexity(
        tokens=len(log_probability),
        value=_exp(nats),
        nats=nats,
        bits=nats / math.log(2),
        low=ends[0],
        high=ends[1],
    )


def compare_perplexity(
    first_log_probability: NDArray[np.floating],
    second_log_probability: NDArray[np.floating],
    blocks: NDArray[np.int64],
    first: str = "the model",
    second: str = "the baseline",
) -> PerplexityComparison:
    """Two models on the same tokens: the difference is taken token by token, its interval over blocks.

    Args:
        first_log_probability: ``(N,)`` of the first model.
        second_log_probability: ``(N,)`` of the second.
        blocks: as :func:`blocks_of` gives them.
        first: what the sentence calls the first model.
        second: what it calls the second.

    Raises:
        DataError: there is no token.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> a, b = rng.normal(-4.5, 1, 1000), rng.normal(-5, 1, 1000)
        >>> print(compare_perplexity(a, b, np.arange(0, 1001, 10), "the LSTM").sentence)
        the LSTM's perplexity is 0.63 times that of the baseline (0.58 to 0.69): it is ahead
    """
    a, b = (np.asarray(each, np.float64) for each in (first_log_probability, second_log_probability))
    if a.shape != b.shape:
        raise ValueError(f"the models were run on different tokens: {a.shape} and {b.shape}")
    difference, reach = _mean(b - a, blocks)
    low, high = (None, None) if reach is None else (_exp(difference - reach), _exp(difference + reach))
    ratio = _exp(difference)
    shown = low is not None and high is not None and not low <= 1 <= high
    span = "" if low is None else f" ({low:.2f} to {high:.2f})"
    if shown:
        word = "ahead" if ratio < 1 else "behind"
        sentence = f"{first}'s perplexity is {ratio:.2f} times that of {second}{span}: it is {word}"
    else:
        sentence = f"no difference shown between {first} and {second}: {ratio:.2f} times its perplexity{span}"
    return PerplexityComparison(
        first=first, second=second, ratio=ratio, low=low, high=high, shown=shown, sentence=sentence
    )


def _mean(values: NDArray[np.float64], blocks: NDArray[np.int64]) -> tuple[float, float | None]:
    """The mean, and how far its 95% interval reaches to either side; None for fewer than two blocks."""
    if not len(values):
        raise DataError("there is no token to measure on", hint="give a file with at least one text")
    if blocks[0] != 0 or blocks[-1] != len(values):
        raise ValueError(f"blocks from {blocks[0]} to {blocks[-1]} are not those of {len(values)} tokens")
    mean = float(values.mean())
    K = len(blocks) - 1
    if K < 2:
        return mean, None
    residuals = np.add.reduceat(values - mean, blocks[:-1])
    error = math.sqrt(K / (K - 1) * float((residuals**2).sum())) / len(values)
    return mean, float(student.ppf(0.975, K - 1)) * error


def _exp(value: float) -> float:
    """``exp``, as the largest number there is where it would overflow."""
    return math.exp(min(value, 700.0))
