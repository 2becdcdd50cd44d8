"""Rows held out for validation, stratified by label or by whole groups."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recurra.config import DataConfig
from recurra.errors import DataError

__all__ = ["divide", "split"]

Halves: TypeAlias = tuple[NDArray[np.int64], NDArray[np.int64]]

# StratifiedGroupKFold tries every fold for every group, in Python: the 3,456 movies of IMDB take 1 s, 60,000
# groups 15 s. A larger number of groups is first merged at random into _BUNDLES groups, and a share that
# needs more than _FOLDS folds is drawn without stratification.
_BUNDLES = 4_096
_FOLDS = 20


def divide(labels: NDArray[Any], data: DataConfig, groups: NDArray[np.int64] | None = None) -> Halves:
    """Returns the positions ``(train, valid)`` as the settings say: the first rows, or a `split` at random.

    Raises:
        DataError: no row is left for training, only one class is, or groups would be divided.
    """
    if data.valid_rows is None:
        return split(labels, data.valid_fraction, data.split_seed, groups)
    count, rows = data.valid_rows, len(labels)
    if count >= rows:
        counted = "1 row" if rows == 1 else f"{rows:,} rows"
        what = f"the first {count:,} rows can't be held out of {counted}"
        raise DataError(what, hint="set data.valid_rows to less, or give more rows")
    if groups is not None and np.isin(groups[:count], groups[count:]).any():
        what = f"a group is on both sides of the first {count:,} rows"
        raise DataError(what, hint="remove data.valid_rows, so that whole groups are held out")
    if labels.ndim == 1 and len(np.unique(labels)) > 1 and len(np.unique(labels[count:])) == 1:
        what = f"after the first {count:,} rows there is only one class: the rows are ordered by class"
        raise DataError(what, hint="shuffle the rows, or remove data.valid_rows")
    return np.arange(count, rows), np.arange(count)


def split(
    labels: NDArray[Any], fraction: float, seed: int, groups: NDArray[np.int64] | None = None
) -> Halves:
    """Returns the positions ``(train, valid)``, both sorted; about ``fraction`` of them are in ``valid``.

    Each class has the same share in both, if it has enough rows and groups allow it. The only row of a class
    is in ``train``.

    Args:
        labels: ``(N,)`` the class (or another stratum) of each row, or ``(N, C)`` multi-hot.
        fraction: the share of the rows to hold out, between 0 and 1.
        seed: the same seed gives the same split.
        groups: ``(N,)`` the group of each row; rows of one group are on the same side.

    Raises:
        DataError: there are too few rows or groups to hold any out, or not one group for each row.
    """
    if len(labels) < 2:
        raise DataError("one row can't be split into training and validation", hint="give more rows")
    strata = _strata(np.asarray(labels))
    if groups is None:
        return _by_row(strata, fraction, seed)
    if len(groups) != len(labels):
        raise DataError(
            f"{len(labels):,} rows have {len(groups):,} groups", hint="give one group for each row"
        )
    return _by_group(strata, fraction, seed, np.unique(groups, return_inverse=True)[1].reshape(-1))


def _by_row(strata: NDArray[np.int64], fraction: float, seed: int) -> Halves:
    from sklearn.model_selection import train_test_split

    sizes = np.bincount(strata)
    count = min(len(strata) - 1, max(1, round(len(strata) * fraction)))
    rows = np.flatnonzero(sizes[strata] > 1)
    classes = np.count_nonzero(sizes > 1)
    if classes and count >= classes and len(rows) - count >= classes:
        _, valid = train_test_split(rows, test_size=count, random_state=seed, stratify=strata[rows])
    else:
        _, valid = train_test_split(np.arange(len(strata)), test_size=count, random_state=seed)
    return np.setdiff1d(np.arange(len(strata)), valid, assume_unique=True), np.sort(valid)


def _by_group(strata: NDArray[np.int64], fraction: float, seed: int, groups: NDArray[np.int64]) -> Halves:
    from sklearn.model_selection import StratifiedGroupKFold

    count = int(groups.max()) + 1
    if count < 2:
        what = "all rows belong to one group, which can't be divided"
        raise DataError(what, hint="give a validation file, or no group")
    if count > _BUNDLES:
        groups = np.random.default_rng(seed).integers(_BUNDLES, size=count)[groups]
        count = len(np.unique(groups))
    share = Fraction(fraction).limit_denominator(min(_FOLDS, count))
    if 0 < share < 1:
        held = np.zeros(len(strata), bool)
        cut = StratifiedGroupKFold(share.denominator, shuffle=True, random_state=seed)
        parts = cut.split(strata, _common(strata, share.denominator), groups)
        for _, valid in itertools.islice(parts, share.numerator):
            held[valid] = True
        if 0.5 <= held.mean() / fraction <= 1.5 and not held.all():
            return np.flatnonzero(~held), np.flatnonzero(held)
    held = _draw(np.bincount(groups), fraction, seed)[groups]
    return np.flatnonzero(~held), np.flatnonzero(held)


def _draw(sizes: NDArray[np.int64], fraction: float, seed: int) -> NDArray[np.bool_]:
    """Random groups while they fit into ``fraction`` of the rows; the smallest group if none does."""
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[sizes[order] > 0]
    room = fraction * sizes.sum()
    chosen = np.zeros(len(sizes), bool)
    for group in order:
        if sizes[group] <= room:
            chosen[group] = True
            room -= sizes[group]
    if not chosen.any():
        chosen[order[sizes[order].argmin()]] = True
    return chosen


def _strata(labels: NDArray[Any]) -> NDArray[np.int64]:
    """The stratum of each row ``(N,)``; that of a row with several labels is the rarest of them."""
    if labels.ndim == 2:
        held = labels > 0
        order = np.argsort(held.sum(axis=0), kind="stable")
        rarest = order[held[:, order].argmax(axis=1)]
        labels = np.where(held.any(axis=1), rarest, -1)
    codes: NDArray[np.int64] = np.unique(labels, return_inverse=True)[1].reshape(-1)
    return codes


def _common(strata: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    """``strata`` with those of fewer than ``least`` rows merged, with the largest one if still fewer."""
    sizes = np.bincount(strata)
    rare = sizes < least
    if not rare.any():
        return strata
    alone = sizes[rare].sum() >= least
    return np.where(rare[strata], -1 if alone else int(sizes.argmax()), strata)
