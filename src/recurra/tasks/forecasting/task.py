"""The task of forecasting: training, validation, and the record of its functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from recurra.tasks.base import Task, TrainingSetup
from recurra.tasks.forecasting.answers import answer
from recurra.tasks.forecasting.assess import assess, fit_ridge, report_assessment
from recurra.tasks.forecasting.bundle import ForecasterBundle, SeriesAssets, build, layout_of, reach_of
from recurra.tasks.forecasting.check import check_files
from recurra.tasks.forecasting.network import ForecastNetwork, forecast_loss, forecast_windows
from recurra.tasks.forecasting.prepare import (
    Part,
    SeriesData,
    continued,
    open_series,
    prepare,
    read_series,
    windows_of,
)
from recurra.tasks.forecasting.report import USE, card, fit_fields, report_fields
from recurra.tasks.forecasting.streaming import stream
from recurra.tasks.forecasting.study import STUDY
from recurra.tasks.reporter import Reporter
from recurra.train.objective import StatelessLoss

__all__ = ["TASK"]


def training_setup(prepared: SeriesData, model: nn.Module, reporter: Reporter) -> TrainingSetup:
    """Trains on the error in standard deviations; validation adds the MAE in the unit of the target."""
    loss_kind, std = prepared.config.series.loss, prepared.assets.layout.target.std
    held_out = windows_of(prepared.valid, prepared)
    truth = held_out.truth()

    def validate(network: nn.Module) -> Mapping[str, float]:
        assert isinstance(network, ForecastNetwork)  # noqa: S101  # the network of build()
        with reporter.counting("validating", len(truth)) as tick:
            found = forecast_windows(network, held_out, tick)
        errors = np.abs(found.astype(np.float64) - truth)
        loss = (errors**2).mean() if loss_kind == "mse" else errors.mean()
        return {"loss": float(loss), "mae": float(errors.mean()) * std}

    windows = windows_of(prepared.train, prepared, prepared.config.train.batch_size, shuffle=True)
    return TrainingSetup(windows, StatelessLoss(forecast_loss(loss_kind)), validate)


def open_file(bundle: ForecasterBundle, data: Path, reporter: Reporter) -> Part:
    """Returns all windows of a file with the columns of training."""
    table = read_series(data, bundle.config.data, reporter)
    part = open_series("test", table, layout_of(bundle), reach_of(bundle), reporter.counting)
    for warning in part.warnings:
        reporter.warn(warning)
    return part


def sequences(bundle: ForecasterBundle, data: Path) -> Iterator[Tensor]:
    """Returns the inputs of the network for each window of a file."""
    windows = windows_of(open_file(bundle, data, Reporter()), bundle, 1)
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
    report_fields=report_fields,
    fit_fields=fit_fields,
    card=card,
    use=USE,
    predict=answer,
    check=check_files,
    sequences=sequences,
    study=STUDY,
    stream=stream,
    continued=continued,
)
