"""Evaluates a forecaster and three baselines on the same windows."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.measure.formatting import sentence
from recurra.tasks.base import AssessOptions
from recurra.tasks.card import network_name
from recurra.tasks.forecasting.baseline import RidgeBaseline, persistence, seasonal
from recurra.tasks.forecasting.bundle import ForecasterBundle, reach_of
from recurra.tasks.forecasting.figures import PERSISTENCE, ForecastMetrics, forecast_metrics
from recurra.tasks.forecasting.network import forecast_windows
from recurra.tasks.forecasting.prepare import Part, SeriesData, windows_of
from recurra.tasks.forecasting.series.reach import rows_in_words
from recurra.tasks.reporter import Reporter, Tick

__all__ = ["ForecastAssessment", "assess", "fit_ridge", "forecasts_of", "report_assessment", "unit_of"]

RIDGE = "ridge regression"
Values = NDArray[np.float64]


@dataclass(frozen=True)
class ForecastAssessment:
    """Metrics on one part of the data.

    Attributes:
        part: name of the part.
        metrics: metrics of the network and the baselines.
        truth: true values in the unit of the target, in the order of time, of shape (N, K).
        forecasts: forecasts of shape (N, K) by name, those of the network first.
        stamps: times of the targets, of shape (N, K); None if rows have no time.
        note: limits of the baselines.
        warnings: the corrections in the file.
    """

    part: str
    metrics: ForecastMetrics
    truth: Values
    forecasts: dict[str, Values]
    stamps: NDArray[np.datetime64] | None
    note: str
    warnings: list[str]

    def lead(self, reach: str) -> str:
        """Returns the result in one sentence; ``reach`` describes how far ahead and from which points."""
        metrics, network = self.metrics, self.metrics.network
        return (
            f"On {metrics.windows:,} {self.part} windows {network.name} forecasts {metrics.target} {reach}, "
            f"with a mean error of {metrics.mae_in_unit(network)}."
        )

    @property
    def verdict(self) -> str:
        """Compares the network with the best baseline and with persistence; empty without baselines."""
        sentences = {pair.second: pair.sentence for pair in self.metrics.differences}
        if not sentences:
            return ""
        best = min(self.metrics.figures[1:], key=lambda figures: figures.mae).name
        return sentence("; ".join(sentences[name] for name in dict.fromkeys((PERSISTENCE, best)))) + "."

    @property
    def verdict_kind(self) -> str:
        """``good`` if the network is shown better than all baselines, ``bad`` if worse than one of them."""
        differences = self.metrics.differences
        if all(pair.shown and pair.difference < 0 for pair in differences):
            return "good"
        return "bad" if any(pair.shown and pair.difference > 0 for pair in differences) else ""

    def as_json(self) -> dict[str, Any]:
        """Returns the metrics for ``metrics.json`` and ``--json``."""
        metrics = self.metrics.model_dump(mode="json")
        return {
            "evaluated_on": self.part,
            "model": metrics["figures"][0],
            "baselines": metrics["figures"][1:],
            "differences": metrics["differences"],
            **{name: metrics[name] for name in ("target", "unit", "windows", "block")},
        }


def unit_of(target: str) -> str:
    """Returns the unit in brackets at the end of a column's name; empty if there is none.

    Example:
        >>> unit_of("T (degC)"), unit_of("wv [m/s]"), unit_of("TEMP")
        ('degC', 'm/s', '')
    """
    for opening, closing in ("()", "[]"):
        if target.endswith(closing) and opening in target[1:]:
            return target[target.rindex(opening) + 1 : -1].strip()
    return ""


def forecasts_of(bundle: ForecasterBundle, part: Part, tick: Tick = lambda rows: None) -> Values:
    """Returns the forecasts of the network in the unit of the target, of shape (N, K)."""
    windows = windows_of(part, bundle)
    return bundle.assets.layout.target.in_unit(forecast_windows(bundle.model, windows, tick))


def fit_ridge(prepared: SeriesData, reporter: Reporter) -> RidgeBaseline:
    """Fits ridge regression on the windows that the network was trained on."""
    start = time.perf_counter()
    ridge = RidgeBaseline.fit(prepared.train, prepared.valid, reach_of(prepared), reporter.counting)
    note = f"; {ridge.note}" if ridge.note else ""
    reporter.note(f"{RIDGE}: {time.perf_counter() - start:.1f} s, penalty {ridge.model.alpha:g}{note}")
    return ridge


def assess(bundle: ForecasterBundle, part: Part, options: AssessOptions) -> ForecastAssessment:
    """Evaluates ``bundle`` on ``part``; ``options.fitted`` is the fitted regression, if any."""
    reach, layout, stamps = reach_of(bundle), bundle.assets.layout, part.matrix.stamps
    truth = part.truth(reach)
    with options.counting("testing", len(part)) as tick:
        forecasts = {network_name(bundle.config.model): forecasts_of(bundle, part, tick)}
    note = ""
    if options.baseline:
        forecasts[PERSISTENCE] = persistence(part, reach)
        if reach.period is not None:
            before = seasonal(part, reach, reach.period)
            period = rows_in_words(reach.period, layout.spacing)
            if np.array_equal(before, forecasts[PERSISTENCE]):
                note = (
                    "persistence is also the seasonal forecast: the target is a whole number of seasons "
                    f"({period}) after the last known value"
                )
            else:
                forecasts[f"the value {period} before"] = before
        if options.fitted is not None:
            with options.counting("testing the baseline", len(part)) as tick:
                forecasts[RIDGE] = options.fitted.predict(part, tick)
            if options.fitted.note:
                note = "; ".join(filter(None, (note, f"{RIDGE}: {options.fitted.note}")))
    target = layout.target.name
    metrics = forecast_metrics(truth, forecasts, target=target, unit=unit_of(target), ahead=reach.ahead)
    times = None if stamps is None else stamps[part.rows[:, None] + reach.targets]
    return ForecastAssessment(part.name, metrics, truth, forecasts, times, note, part.warnings)


def report_assessment(assessment: ForecastAssessment, reporter: Reporter) -> None:
    """Reports the metrics as a table, and the comparison with the baselines."""
    metrics = assessment.metrics
    rows = [
        [
            figures.label,
            metrics.number(figures.mae),
            metrics.interval(figures.mae_low, figures.mae_high),
            metrics.number(figures.rmse),
            "" if figures.skill is None else f"{100 * figures.skill:+.1f}%",
        ]
        for figures in metrics.figures
    ]
    name, mae = f"{assessment.part}, {metrics.windows:,} windows", f"MAE {metrics.unit}".rstrip()
    reporter.table("", [name, mae, "95% interval", "RMSE", "skill"], rows)
    reporter.note(f"intervals from blocks of {metrics.block:,} windows; skill: MAE below that of persistence")
    for text in filter(None, (assessment.note, assessment.verdict)):
        reporter.note(text)
