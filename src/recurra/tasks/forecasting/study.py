"""Forecasting in `recurra compare`: rows are windows, scores are absolute errors relative to persistence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.measure.study import Criterion, Scores
from recurra.tasks.forecasting.assess import forecasts_of
from recurra.tasks.forecasting.baseline import RidgeBaseline, persistence
from recurra.tasks.forecasting.blocks import block_length
from recurra.tasks.forecasting.bundle import ForecasterBundle, reach_of
from recurra.tasks.forecasting.prepare import Part, SeriesData, windows_of
from recurra.tasks.forecasting.series.reach import Reach
from recurra.tasks.study import (
    OtherEstimators,
    StudyData,
    StudyFunctions,
    checked_answers,
    fit_estimator,
)

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


def smaller(data: StudyData, size: int) -> dict[str, Any]:
    """Returns settings with which a run is trained on the last windows; scales are those of all rows."""
    del data
    return {"series": {"windows": size}}


def score(bundle: ForecasterBundle, part: Part) -> Scores:
    """Returns the absolute error of each block of windows."""
    return _scores(part, reach_of(bundle), forecasts_of(bundle, part))


def score_baseline(baseline: RidgeBaseline, prepared: SeriesData, part: Part) -> Scores:
    """Returns the absolute error of the ridge regression in each block of windows."""
    return _scores(part, reach_of(prepared), baseline.predict(part))


def fit_other(estimator: Any, prepared: SeriesData) -> None:
    """Trains an estimator on windows: all inputs of a window as one row, and the targets in their unit.

    ``X`` has shape ``(N, T * E)``, float32, and ``y`` shape ``(N, K)``, or ``(N,)`` for one target.
    """
    (X, y), validation = (_windows(part, prepared) for part in (prepared.train, prepared.valid))
    fit_estimator(estimator, X, y, validation)


def _windows(part: Part, prepared: SeriesData) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    windows = windows_of(part, prepared)
    truth = part.truth(reach_of(prepared))
    inputs = np.concatenate([batch.inputs.numpy().reshape(batch.size, -1) for batch in windows.epoch(1)])
    return inputs, truth[:, 0] if truth.shape[1] == 1 else truth


def score_other(estimator: Any, prepared: SeriesData, part: Part) -> Scores:
    """Returns the absolute error of the forecasts of an estimator in each block of windows."""
    inputs, truth = _windows(part, prepared)
    found = checked_answers(estimator.predict(inputs), truth.shape, "predict").astype(np.float64)
    return _scores(part, reach_of(prepared), found.reshape(len(inputs), -1))


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
    smaller=smaller,
    others=OtherEstimators(fit_other, score_other),
    shared=tuple(f"series.{name}" for name in _MEASURED),
)
