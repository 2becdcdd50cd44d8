"""A trained forecaster measured on one part of the time, with three baselines on the same windows."""

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
    """Figures on one part of the time.

    Attributes:
        part: its name.
        metrics: figures of the network and the baselines.
        truth: ``(N, K)`` in the target's unit.
        forecasts: ``(N, K)`` by name, the network's first.
        stamps: ``(N, K)`` the time of each target, None without.
        note: what to know of the baselines.
        warnings: what was repaired in the file.
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
        """What sentences call the network."""
        return self.metrics.network.name

    def lead(self, reach: str) -> str:
        """What came out, in one sentence; ``reach`` says how far ahead and from what."""
        metrics, one = self.metrics, self.metrics.network
        d, unit = metrics.decimals, f" {metrics.unit}" if metrics.unit else ""
        return (
            f"On {metrics.windows:,} {self.part} windows {one.name} forecasts {metrics.target} {reach}, "
            f"with a mean error of {one.mae:,.{d}f}{unit} ({one.mae_low:,.{d}f} to {one.mae_high:,.{d}f})."
        )

    @property
    def verdict(self) -> str:
        """How the network stands beside the best of the others, and beside persistence."""
        best = min(self.metrics.differences, key=lambda one: self.metrics.named(one.second).mae, default=None)
        if best is None:
            return ""
        words = best.sentence
        if best.second != PERSISTENCE:
            first = next(one for one in self.metrics.differences if one.second == PERSISTENCE)
            words = f"{first.sentence}; {best.sentence}"
        return words[:1].upper() + words[1:]

    @property
    def verdict_kind(self) -> str:
        """``good`` where the network is shown ahead of every baseline, ``bad`` where one is ahead of it."""
        if all(one.shown and one.difference < 0 for one in self.metrics.differences):
            return "good"
        return "bad" if any(one.shown and one.difference > 0 for one in self.metrics.differences) else ""

    def as_json(self) -> dict[str, Any]:
        """The figures that ``metrics.json`` and ``--json`` hold."""
        found = self.metrics.model_dump(mode="json")
        return {
            "evaluated_on": self.part,
            "model": found["figures"][0],
            "baselines": found["figures"][1:],
            "differences": found["differences"],
            **{name: found[name] for name in ("target", "unit", "windows", "block")},
        }


def unit_of(target: str) -> str:
    """The unit that a column's name ends with in brackets, if it does.

    Example:
        >>> unit_of("T (degC)"), unit_of("wv [m/s]"), unit_of("TEMP")
        ('degC', 'm/s', '')
    """
    for opening, closing in ("()", "[]"):
        if target.endswith(closing) and opening in target[1:]:
            return target[target.rindex(opening) + 1 : -1].strip()
    return ""


def forecasts_of(bundle: ForecasterBundle, part: Part) -> Values:
    """``(N, K)`` the network's forecasts of a part's windows, in the target's unit."""
    windows = windows_of(part, bundle.assets.layout, reach_of(bundle), bundle.config.series, EVALUATION_BATCH)
    return bundle.assets.layout.target.in_unit(forecast_windows(bundle.model, windows))


def fit_ridge(prepared: SeriesData, reporter: Reporter) -> RidgeBaseline:
    """The regression, fitted on the windows the network was trained on."""
    begun = time.perf_counter()
    reach = reach_of(prepared)
    found = RidgeBaseline(reach.behind, reach.targets)
    train, valid = prepared.train.matrix, prepared.valid.matrix
    found.fit(
        train.inputs,
        train.target,
        train.last,
        prepared.train.rows,
        (valid.inputs, valid.target, valid.last, prepared.valid.rows),
    )
    reporter.note(f"ridge regression: {time.perf_counter() - begun:.1f} s, penalty {found.alpha:g}")
    return found


def assess(bundle: ForecasterBundle, part: Part, options: AssessOptions) -> ForecastAssessment:
    """Measure ``bundle`` on ``part``; ``options.fitted`` is the fitted regression, if any."""
    reach, layout, matrix = reach_of(bundle), bundle.assets.layout, part.matrix
    targets = part.rows[:, None] + reach.targets
    truth = matrix.target[targets]
    forecasts = {network_name(bundle.config.model): forecasts_of(bundle, part)}
    note = ""
    if options.baseline:
        forecasts[PERSISTENCE] = persistence(matrix.last, part.rows, reach.targets)
        if reach.period is not None:
            before = seasonal(matrix.last, part.rows, reach.targets, reach.period)
            long = rows_in_words(reach.period, layout.spacing)
            if np.array_equal(before, forecasts[PERSISTENCE]):
                note = (
                    f"persistence is the seasonal forecast too: the target comes whole seasons ({long}) "
                    "after the value known last"
                )
            else:
                forecasts[f"the value {long} before"] = before
        if options.fitted is not None:
            forecasts[RIDGE] = options.fitted.predict(matrix.inputs, matrix.last, part.rows)
    target = layout.target.name
    metrics = forecast_metrics(truth, forecasts, target=target, unit=unit_of(target), ahead=reach.ahead)
    stamps = None if matrix.stamps is None else matrix.stamps[targets]
    return ForecastAssessment(part.name, metrics, truth, forecasts, stamps, note, part.warnings)


def report_assessment(found: ForecastAssessment, reporter: Reporter) -> None:
    """The figures as a table, and the verdict in words."""
    metrics = found.metrics
    d, unit = metrics.decimals, f" {metrics.unit}" if metrics.unit else ""
    rows = [
        [
            one.name.removeprefix("the "),
            f"{one.mae:,.{d}f}",
            f"{one.mae_low:,.{d}f} to {one.mae_high:,.{d}f}",
            f"{one.rmse:,.{d}f}",
            "" if one.skill is None else f"{100 * one.skill:+.1f}%",
        ]
        for one in metrics.figures
    ]
    header = [f"{found.part}, {metrics.windows:,} windows", f"MAE{unit}", "95% interval", "RMSE", "skill"]
    reporter.table("", header, rows)
    reporter.note(f"intervals from blocks of {metrics.block:,} windows; skill: MAE below that of persistence")
    if found.note:
        reporter.note(found.note)
    if found.verdict:
        reporter.note(f"{found.verdict}.")
