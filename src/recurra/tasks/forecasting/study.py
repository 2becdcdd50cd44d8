"""Forecasting in `recurra compare`: rows are windows, scores are absolute errors relative to persistence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recurra.measure.study import Criterion, Scores
from recurra.tasks.forecasting.assess import forecasts_of
from recurra.tasks.forecasting.baseline import RidgeBaseline, persistence
from recurra.tasks.forecasting.blocks import block_length
from recurra.tasks.forecasting.bundle import ForecasterBundle, reach_of
from recurra.tasks.forecasting.prepare import Part, SeriesData
from recurra.tasks.forecasting.series.reach import Reach
from recurra.tasks.study import StudyData, StudyFunctions

__all__ = ["STUDY"]

_MEASURED = (
    *("target", "time", "time_format", "missing", "step", "delay", "horizon"),
    *("valid_fraction", "test_fraction"),
)


def write(prepared: SeriesData, folder: Path) -> StudyData:
    """Returns the files as they are: a series is split by time, and its rows are not drawn."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = (prepared.train, prepared.valid, prepared.test)
    train, *others = [None if part is None else str(Path(part.where).absolute()) for part in parts]
    valid, test = (None if path == train else path for path in others)
    return StudyData(
        folder=folder,
        rows=len(prepared.train.rows),
        measured=len((prepared.test or prepared.valid).rows),
        train=str(train),
        valid=valid,
        test=test,
        tested=prepared.test is not None,
    )


def score(bundle: ForecasterBundle, part: Part) -> Scores:
    """Returns the absolute error of each block of windows."""
    return _scores(part, reach_of(bundle), forecasts_of(bundle, part))


def score_baseline(baseline: RidgeBaseline, prepared: SeriesData, part: Part) -> Scores:
    """Returns the absolute error of the ridge regression in each block of windows."""
    return _scores(part, reach_of(prepared), baseline.predict(part))


def _scores(part: Part, reach: Reach, forecasts: NDArray[np.float64]) -> Scores:
    """Sums over blocks of windows, since the errors of neighbouring windows are correlated.

    Errors are divided by the mean error of persistence, so that they have no unit.
    """
    truth = part.truth(reach)
    unchanged = np.abs(persistence(part, reach) - truth).mean(axis=1)
    errors = np.abs(forecasts - truth).mean(axis=1)
    block = block_length(unchanged, minimum=reach.ahead)
    edges = np.arange(max(1, len(errors) // block)) * block  # the last block also has the remaining windows
    sums = np.add.reduceat(errors, edges) / (unchanged.mean() or 1.0)
    return Scores(sums, np.diff(np.append(edges, len(errors))).astype(np.float64))


STUDY: StudyFunctions[SeriesData, ForecasterBundle] = StudyFunctions(
    criterion=Criterion(
        "relative_error",
        "relative_errors",
        "windows",
        "of the error of persistence",
        shares=False,
        higher_is_better=False,
        majority="",
    ),
    baseline="ridge",
    baseline_name="ridge regression",
    write=write,
    score=score,
    score_baseline=score_baseline,
    shared=tuple(f"series.{name}" for name in _MEASURED),
)
