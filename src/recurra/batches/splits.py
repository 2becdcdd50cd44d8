"""Rows held out for validation: stratified by label, or whole groups at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold, train_test_split

from recurra.errors import DataError

__all__ = ["split"]


def split(
    labels: NDArray[np.int64],
    fraction: float,
    seed: int,
    groups: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers ``(train, valid)``, both sorted, of which ``valid`` holds about ``fraction``.

    Args:
        labels: ``(N,)`` a class (or any stratum) for each row.
        fraction: share of the rows to hold out.
        seed: the same seed gives the same split.
        groups: ``(N,)`` rows with the same group stay on the same side.

    Raises:
        DataError: there are too few rows or groups to hold any out.
    """
    rows = np.arange(len(labels))
    if len(rows) < 2:
        raise DataError("one row can't be split into training and validation", mend="give more rows")
    if groups is not None:
        folds = max(2, round(1 / fraction))
        if len(np.unique(groups)) < folds:
            raise DataError(
                f"{len(np.unique(groups))} groups are too few to hold out 1 in {folds}",
                mend="give a validation file or a larger data.valid_fraction",
            )
        cut = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
        train, valid = next(iter(cut.split(rows, labels, groups)))
        return np.sort(train), np.sort(valid)
    count = max(1, round(len(rows) * fraction))
    strata, sizes = np.unique(labels, return_counts=True)
    stratify = labels if sizes.min() >= 2 and count >= len(strata) else None
    train, valid = train_test_split(rows, test_size=count, random_state=seed, stratify=stratify)
    return np.sort(train), np.sort(valid)
