"""Which answers of a batch would be written otherwise if the text were alone: then it is computed alone.

A network adds up the same numbers in another order for one row than for many, and for the last rows of a
batch than for the first. The logits differ by rounding errors of float32. An answer has six decimals: where
a probability is nearer to the middle between two of them than such an error, its last digit would depend on
the other texts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["DECIMALS", "unsettled"]

DECIMALS = 6
"""Decimals of a probability in an answer."""
_ERROR = 1e-6
"""The difference of a log-odds, per unit from 1 on, that is allowed for between two orders of summation. The
largest one measured is 7.7e-7, so that this is no proof."""


def unsettled(
    p: NDArray[np.float64],
    label_kind: str,
    limits: NDArray[np.float64] | None,
    abstain: float | None = None,
) -> NDArray[np.int64]:
    """Returns the rows of which a digit or the label may depend on the order of summation, of shape (n,).

    Args:
        p: probabilities of shape (N, C).
        label_kind: the kind of labels.
        limits: what the labels are chosen by, see `predicted_labels`.
        abstain: the confidence below which no label is chosen; None for none.

    Example:
        >>> p = np.array([[0.2000001, 0.7999999], [0.20000049999, 0.79999950001], [0.5, 0.5]])
        >>> unsettled(p, "binary", None)
        array([1, 2])
    """
    inside = np.clip(p, 1e-12, 1 - 1e-12)
    log_odds = np.abs(np.log(inside / (1 - inside)))
    error = inside * (1 - inside) * np.maximum(log_odds, 1) * _ERROR
    scaled = p * 10**DECIMALS
    # The distance to the middle between two numbers of that many decimals.
    near = np.abs(scaled - np.floor(scaled) - 0.5) <= error * 10**DECIMALS
    if abstain is not None:
        near |= np.abs(p - abstain) <= error
    if label_kind == "multilabel":
        near |= np.abs(p - (0.5 if limits is None else limits)) <= error
        return np.flatnonzero(near.any(axis=1))
    scores, of_scores = p, error
    if limits is not None:
        gains = limits if limits.ndim == 2 else np.diag(1 / limits)
        scores, of_scores = p @ gains, error @ np.abs(gains)
    rows = near.any(axis=1)
    if p.shape[1] > 1:
        best = np.partition(scores, -2, axis=1)[:, -2:]
        rows |= best[:, 1] - best[:, 0] <= 2 * of_scores.max(axis=1)
    return np.flatnonzero(rows)
