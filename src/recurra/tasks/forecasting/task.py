"""The task of forecasting: training, validation, and the record of its functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from recurra.tasks.base import Task, TrainingSetup
from recurra.tasks.forecasting.answers import answer
from recurra.tasks.forecasting.assess import EVALUATION_BATCH, assess, fit_ridge, report_assessment
from recurra.tasks.forecasting.bundle import ForecasterBundle, SeriesAssets, build, reach_of
from recurra.tasks.forecasting.network import ForecastNetwork, forecast_loss, forecast_windows
from recurra.tasks.forecasting.prepare import Part, SeriesData, open_series, prepare, windows_of
from recurra.tasks.forecasting.report import evaluation_report, model_card, report_data
from recurra.tasks.forecasting.series.table import read_table
from recurra.tasks.forecasting.study import STUDY
from recurra.tasks.reporter import Reporter
from recurra.train.objective import StatelessLoss

__all__ = ["TASK"]


def training_setup(prepared: SeriesData, model: nn.Module) -> TrainingSetup:
    """Returns windows, loss (in standard deviations), and the validation, which adds the MAE in the unit."""
    series, settings = prepared.config.series, prepared.config.train
    layout, reach = prepared.assets.layout, reach_of(prepared)
    held_out = windows_of(prepared.valid, layout, reach, series, EVALUATION_BATCH)
    truth = held_out.truth()

    def validate(network: nn.Module) -> Mapping[str, float]:
        assert isinstance(network, ForecastNetwork)  # noqa: S101  # the network of build()
        errors = np.abs(forecast_windows(network, held_out).astype(np.float64) - truth)
        loss = (errors**2).mean() if series.loss == "mse" else errors.mean()
        return {"loss": float(loss), "mae": float(errors.mean()) * layout.target.std}

    windows = windows_of(
        prepared.train, layout, reach, series, settings.batch_size, shuffle=True, seed=settings.seed
    )
    return TrainingSetup(windows, StatelessLoss(forecast_loss(series.loss)), validate)


def open_file(bundle: ForecasterBundle, data: Path, reporter: Reporter) -> Part:
    """Opens all windows of a file with the columns of training."""
    table = read_table(data, bundle.config.data)
    part = open_series("test", table, bundle.assets.layout, reach_of(bundle))
    for warning in part.warnings:
        reporter.warn(warning)
    return part


def sequences(bundle: ForecasterBundle, data: Path) -> Iterator[Tensor]:
    """Yields the inputs of the windows of the series."""
    part = open_file(bundle, data, Reporter())
    windows = windows_of(part, bundle.assets.layout, reach_of(bundle), bundle.config.series, 1)
    return (batch.inputs[0] for batch in windows.epoch(0))


TASK: Task[SeriesData, ForecasterBundle] = Task(
    prepare=prepare,
    read_assets=SeriesAssets.read,
    build=build,
    training_setup=training_setup,
    open_file=open_file,
    fit_baseline=fit_ridge,
    assess=assess,
    report_assessment=report_assessment,
    fit_report=report_data,
    evaluation_report=evaluation_report,
    card=model_card,
    predict=answer,
    sequences=sequences,
    study=STUDY,
)
