"""Evaluates a forecaster and three baselines on the same windows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.tasks.base import AssessOptions
from recurra.tasks.card import network_name
from recurra.tasks.forecasting.baseline import RidgeBaseline, persistence, seasonal
from recurra.tasks.forecasting.bundle import ForecasterBundle, reach_of
from recurra.tasks.forecasting.figures import PERSISTENCE, ForecastMetrics, forecast_metrics
from recurra.tasks.forecasting.network import forecast_windows
from recurra.tasks.forecasting.prepare import Part, SeriesData, rows_in_words, windows_of
from recurra.tasks.reporter import Reporter

__all__ = [
    "EVALUATION_BATCH",
    "ForecastAssessment",
    "assess",
    "fit_ridge",
    "forecasts_of",
    "report_assessment",
    "unit_of",
]

EVALUATION_BATCH = 512
RIDGE = "ridge regression"
Values = NDArray[np.float64]


@dataclass(frozen=True)
class ForecastAssessment:
    """Metrics on one part of the time.

    Attributes:
        part: name of the part.
        metrics: metrics of the network and the baselines.
        truth: true values in the unit of the target, of shape (N, K).
        forecasts: forecasts (N, K) by name; the network is the first.
        stamps: time of each target, of shape (N, K); None without times.
        note: a remark on the baselines.
        warnings: corrections made to the file.
    """

    part: str
    metrics: ForecastMetrics
    truth: Values
    forecasts: dict[str, Values]
    stamps: NDArray[np.datetime64] | None
    note: str
    warnings: list[str]

    @property
    def network(self) -> str:
        """Name of the network in sentences."""
        return self.metrics.network.name

    def lead(self, reach: str) -> str:
        """Returns the result in one sentence; ``reach`` describes the window and the forecast distance."""
        metrics, network = self.metrics, self.metrics.network
        d, unit = metrics.decimals, f" {metrics.unit}" if metrics.unit else ""
        return (
            f"On {metrics.windows:,} {self.part} windows {network.name} forecasts {metrics.target} {reach}, "
            f"with a mean error of {network.mae:,.{d}f}{unit} "
            f"({network.mae_low:,.{d}f} to {network.mae_high:,.{d}f})."
        )

    @property
    def verdict(self) -> str:
        """Returns the comparison with the best baseline, and with persistence."""
        best = min(self.metrics.differences, key=lambda d: self.metrics.named(d.second).mae, default=None)
        if best is None:
            return ""
        sentence = best.sentence
        if best.second != PERSISTENCE:
            first = next(d for d in self.metrics.differences if d.second == PERSISTENCE)
            sentence = f"{first.sentence}; {best.sentence}"
        return sentence[:1].upper() + sentence[1:]

    @property
    def verdict_kind(self) -> str:
        """``good`` if the network is shown to be better than all baselines, ``bad`` if one is better."""
        if all(d.shown and d.difference < 0 for d in self.metrics.differences):
            return "good"
        return "bad" if any(d.shown and d.difference > 0 for d in self.metrics.differences) else ""

    def as_json(self) -> dict[str, Any]:
        """Returns the metrics for ``metrics.json`` and ``--json``."""
        values = self.metrics.model_dump(mode="json")
        return {
            "evaluated_on": self.part,
            "model": values["figures"][0],
            "baselines": values["figures"][1:],
            "differences": values["differences"],
            **{name: values[name] for name in ("target", "unit", "windows", "block")},
        }


def unit_of(target: str) -> str:
    """Returns the unit in brackets at the end of a column name, or an empty string.

    Example:
        >>> unit_of("T (degC)"), unit_of("wv [m/s]"), unit_of("TEMP")
        ('degC', 'm/s', '')
    """
    for opening, closing in ("()", "[]"):
        if target.endswith(closing) and opening in target[1:]:
            return target[target.rindex(opening) + 1 : -1].strip()
    return ""


def forecasts_of(bundle: ForecasterBundle, part: Part) -> Values:
    """Returns the forecasts of the windows of a part in the unit of the target, of shape (N, K)."""
    windows = windows_of(part, bundle.assets.layout, reach_of(bundle), bundle.config.series, EVALUATION_BATCH)
    return bundle.assets.layout.target.in_unit(forecast_windows(bundle.model, windows))


def fit_ridge(prepared: SeriesData, reporter: Reporter) -> RidgeBaseline:
    """Fits ridge regression on the windows that the network was trained on."""
    start = time.perf_counter()
    reach = reach_of(prepared)
    ridge = RidgeBaseline(reach.behind, reach.targets)
    train, valid = prepared.train.matrix, prepared.valid.matrix
    ridge.fit(
        train.inputs,
        train.target,
        train.last,
        prepared.train.rows,
        (valid.inputs, valid.target, valid.last, prepared.valid.rows),
    )
    reporter.note(f"ridge regression: {time.perf_counter() - start:.1f} s, penalty {ridge.alpha:g}")
    return ridge


def assess(bundle: ForecasterBundle, part: Part, options: AssessOptions) -> ForecastAssessment:
    """Evaluates ``bundle`` on ``part``; ``options.fitted`` is the fitted ridge regression, if any."""
    reach, layout, matrix = reach_of(bundle), bundle.assets.layout, part.matrix
    targets = part.rows[:, None] + reach.targets
    truth = matrix.target[targets]
    forecasts = {network_name(bundle.config.model): forecasts_of(bundle, part)}
    note = ""
    if options.baseline:
        forecasts[PERSISTENCE] = persistence(matrix.last, part.rows, reach.targets)
        if reach.period is not None:
            last_season = seasonal(matrix.last, part.rows, reach.targets, reach.period)
            season = rows_in_words(reach.period, layout.spacing)
            if np.array_equal(last_season, forecasts[PERSISTENCE]):
                note = (
                    f"persistence is also the seasonal forecast: the target is a whole number of seasons "
                    f"({season}) "
                    "after the last known value"
                )
            else:
                forecasts[f"the value {season} before"] = last_season
        if options.fitted is not None:
            forecasts[RIDGE] = options.fitted.predict(matrix.inputs, matrix.last, part.rows)
    target = layout.target.name
    metrics = forecast_metrics(truth, forecasts, target=target, unit=unit_of(target), ahead=reach.ahead)
    stamps = None if matrix.stamps is None else matrix.stamps[targets]
    return ForecastAssessment(part.name, metrics, truth, forecasts, stamps, note, part.warnings)


def report_assessment(assessment: ForecastAssessment, reporter: Reporter) -> None:
    """Reports the metrics as a table, and the comparison as a sentence."""
    metrics = assessment.metrics
    d, unit = metrics.decimals, f" {metrics.unit}" if metrics.unit else ""
    rows = [
        [
            m.name.removeprefix("the "),
            f"{m.mae:,.{d}f}",
            f"{m.mae_low:,.{d}f} to {m.mae_high:,.{d}f}",
            f"{m.rmse:,.{d}f}",
            "" if m.skill is None else f"{100 * m.skill:+.1f}%",
        ]
        for m in metrics.figures
    ]
    header = [
        f"{assessment.part}, {metrics.windows:,} windows",
        f"MAE{unit}",
        "95% interval",
        "RMSE",
        "skill",
    ]
    reporter.table("", header, rows)
    reporter.note(f"intervals from blocks of {metrics.block:,} windows; skill: MAE below that of persistence")
    if assessment.note:
        reporter.note(assessment.note)
    if assessment.verdict:
        reporter.note(f"{assessment.verdict}.")
