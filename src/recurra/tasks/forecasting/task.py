"""Forecasting's own steps on the path: a series to a network that says what comes, beside three baselines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from recurra.config import Config, Task
from recurra.layers.network import Network
from recurra.measure.report import render, write_report
from recurra.serve.answers import Answers
from recurra.tasks.base import PredictRequest, Tested, TestOptions, TrainingSetup
from recurra.tasks.forecasting.answers import answer
from recurra.tasks.forecasting.assess import EVALUATION_BATCH, assess, fit_ridge, report_assessment
from recurra.tasks.forecasting.baseline import RidgeBaseline
from recurra.tasks.forecasting.bundle import ForecasterBundle
from recurra.tasks.forecasting.network import ForecastNetwork, forecast_loss, forecast_windows
from recurra.tasks.forecasting.prepare import PreparedSeries, open_series, prepare, windows_of
from recurra.tasks.forecasting.report import evaluation_report, model_card, report_data
from recurra.tasks.forecasting.series.table import read_table
from recurra.tasks.reporter import Reporter
from recurra.train.loop import Outcome
from recurra.train.objective import StatelessLoss

__all__ = ["Forecasting"]


class Forecasting:
    """Rows of numbers over time to the values to come."""

    name: ClassVar[Task] = "forecast"

    def prepare(
        self, data: Path, config: Config, reporter: Reporter, *, valid: Path | None, test: Path | None
    ) -> PreparedSeries:
        """Read, put on an even grid of times, split by time, encode."""
        return prepare(data, config, reporter, valid=valid, test=test)

    def network(self, ready: PreparedSeries) -> ForecastNetwork:
        """Recurrent stack, pooling, head."""
        series = ready.config.series
        return ForecastNetwork(
            ready.config.model,
            len(ready.layout.features),
            series.horizon,
            residual=series.residual,
            present=series.relative,
        )

    def training_setup(self, ready: PreparedSeries, model: nn.Module) -> TrainingSetup:
        """The error in deviations of the training windows; validation adds the MAE in the target's unit."""
        series, settings = ready.config.series, ready.config.train
        layout, reach = ready.layout, ready.reach
        held_out = windows_of(ready.valid, layout, reach, series, EVALUATION_BATCH)
        truth = held_out.truth()

        def validate(network: nn.Module) -> Mapping[str, float]:
            assert isinstance(network, ForecastNetwork)  # noqa: S101  # what network() gave
            errors = np.abs(forecast_windows(network, held_out).astype(np.float64) - truth)
            loss = (errors**2).mean() if series.loss == "mse" else errors.mean()
            return {"loss": float(loss), "mae": float(errors.mean()) * layout.target.std}

        windows = windows_of(
            ready.train, layout, reach, series, settings.batch_size, shuffle=True, seed=settings.seed
        )
        return TrainingSetup(windows, StatelessLoss(forecast_loss(series.loss)), validate)

    def bundle(
        self, ready: PreparedSeries, model: Network, pretrained: dict[str, Any] | None
    ) -> ForecasterBundle:
        """The forecaster with its layout."""
        assert isinstance(model, ForecastNetwork)  # noqa: S101  # what network() gave
        return ForecasterBundle(config=ready.config, model=model, layout=ready.layout, pretrained=pretrained)

    def test(
        self,
        bundle: ForecasterBundle,
        ready: PreparedSeries,
        outcome: Outcome,
        options: TestOptions,
        reporter: Reporter,
    ) -> Tested:
        """Errors in the target's unit beside persistence, the seasonal value and a ridge regression."""
        ridge = fit_ridge(ready, reporter) if options.baseline else None
        found = assess(bundle, ready.test or ready.valid, ridge, baselines=options.baseline)
        report_assessment(found, reporter)
        page = report_data(bundle, ready, outcome, found, options.command)
        files = {"README.md": model_card(bundle, found), "report.html": render(page)}
        return Tested(found.as_json(), files, found)

    def vocabulary(self, ready: PreparedSeries) -> None:
        """A series has no words."""

    def evaluate(
        self,
        bundle: ForecasterBundle,
        data: Path,
        *,
        train: Path | None,
        baseline: bool,
        report: Path | None,
        reporter: Reporter,
    ) -> dict[str, Any]:
        """Figures on another file of the same columns, every window of it."""
        reporter.step("Reading")
        part, warnings = open_series(
            "test", read_table(data, bundle.config.data), bundle.layout, bundle.reach
        )
        for warning in warnings:
            reporter.warn(warning)
        reporter.step("Testing")
        ridge = _ridge_of(bundle, train, reporter) if baseline else None
        found = assess(bundle, part, ridge, baselines=baseline)
        report_assessment(found, reporter)
        if report is not None:
            write_report(report, evaluation_report(bundle, found, data.name, warnings))
            reporter.note(f"report: {report}")
        return found.as_json()

    def predict(self, bundle: ForecasterBundle, request: PredictRequest) -> Answers:
        """The values after the last row, or after every row."""
        return answer(bundle, request)

    def sequences(self, bundle: ForecasterBundle, data: Path) -> Iterator[Tensor]:
        """The windows of the series, as the network reads them."""
        part, _ = open_series("test", read_table(data, bundle.config.data), bundle.layout, bundle.reach)
        windows = windows_of(part, bundle.layout, bundle.reach, bundle.config.series, 1)
        return (batch.inputs[0] for batch in windows.epoch(0))


def _ridge_of(bundle: ForecasterBundle, given: Path | None, reporter: Reporter) -> RidgeBaseline | None:
    """The regression on the rows the model was trained on, if their file can still be read."""
    training = bundle.metrics.get("training", {})
    path = given or (Path(training["data"]) if training.get("data") else None)
    if path is None or not path.exists():
        reporter.warn(
            f"no ridge regression: the training file {path or ''} is not there; pass it with --train"
        )
        return None
    valid = Path(training["valid"]) if training.get("valid") else None
    return fit_ridge(prepare(path, bundle.config, Reporter(), valid=valid, test=None), reporter)
