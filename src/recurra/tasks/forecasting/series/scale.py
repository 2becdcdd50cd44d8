"""The scale of a column of numbers: mean and spread in training, missing values, sizes that are used."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

__all__ = ["LARGEST", "SMALLEST", "Scale", "mean_and_std", "sentinels_of"]

SENTINELS = tuple(sign * size for size in (999.0, 999.9, 9999.0, 9999.9, 99999.0) for sign in (-1, 1))
"""Numbers that instruments write for a missing value."""

LARGEST = 1e100
"""The largest absolute value of a column in training: squares, sums and quotients stay finite in float64."""
SMALLEST = 1e-100
"""The least that the largest absolute value of a column in training may be: squares do not become 0."""
_FARTHEST = 1e9  # standard deviations from the mean, far inside float32

Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST)]


class Scale(BaseModel):
    """A column of numbers, standardized by its mean and standard deviation in the training rows.

    Attributes:
        low: the smallest value in the training rows, and ``high``, the largest.
        missing: numbers that mark a missing value.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    mean: Number
    std: Annotated[float, Field(ge=SMALLEST * 1e-30, le=LARGEST)]
    low: Number
    high: Number
    missing: list[float]

    def known(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the values ``(M,)``, with NaN for numbers that mark a missing value."""
        sentinels = [value for value in SENTINELS if _far_outside(value, self.low, self.high)]
        return np.where(np.isin(values, [*self.missing, *sentinels]), np.nan, values)

    def normal(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the standardized values."""
        return (values - self.mean) / self.std

    def too_far(self, values: NDArray[np.float64]) -> NDArray[np.int64]:
        """Returns the positions of values more than 1e9 standard deviations from the mean.

        The network reads float32; the square of such a value is no number in it.
        """
        least, most = self.mean - _FARTHEST * self.std, self.mean + _FARTHEST * self.std
        return np.flatnonzero((values < least) | (values > most))

    def in_unit(self, normal: NDArray[np.float32]) -> NDArray[np.float64]:
        """Returns standardized values in the unit of the column."""
        return normal.astype(np.float64) * self.std + self.mean


def mean_and_std(values: NDArray[np.float64]) -> tuple[float, float]:
    """Returns mean and standard deviation of values up to `LARGEST`, also if their squares are 0 in float64.

    Example:
        >>> mean_and_std(np.array([1e-200, 3e-200]))
        (2e-200, 1e-200)
    """
    mean = float(values.mean())
    apart = values - mean
    largest = float(np.abs(apart).max())
    return mean, largest * float(np.sqrt(np.square(apart / largest).mean())) if largest else 0.0


def sentinels_of(values: NDArray[np.float64]) -> list[float]:
    """Returns the `SENTINELS` that mark missing values in ``values``.

    A sentinel marks missing values if its distance to the range of the other values is more than three times
    the width of that range: 999 is a pressure in hPa, but -9999 is not a wind speed.

    Example:
        >>> sentinels_of(np.array([1.0, 3.0, -9999.0, 2.0]))
        [-9999.0]
        >>> sentinels_of(np.array([990.0, 999.0, 1020.0]))
        []
    """
    known = values[np.isfinite(values)]
    suspects = np.isin(known, SENTINELS)
    others = known[~suspects]
    if not len(others):
        return []
    low, high = float(others.min()), float(others.max())
    return [float(value) for value in np.unique(known[suspects]) if _far_outside(float(value), low, high)]


def _far_outside(value: float, low: float, high: float) -> bool:
    """Whether the distance of ``value`` to a range is more than three times the width of the range."""
    reach = 3 * (high - low)
    return value < low - reach or value > high + reach
