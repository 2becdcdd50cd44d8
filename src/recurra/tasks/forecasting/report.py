"""The report and the model card of a trained forecaster, with charts of forecasts and of errors by time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import PurePath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.layers.summary import summarize
from recurra.measure.charts import line_chart
from recurra.measure.formatting import sentence
from recurra.measure.report import Bar, Chart, ReportData, ReportTable, Section
from recurra.measure.report import Part as ReportPart
from recurra.tasks.card import network_fields, today, training_fields
from recurra.tasks.forecasting.assess import ForecastAssessment
from recurra.tasks.forecasting.bundle import ForecasterBundle, reach_of
from recurra.tasks.forecasting.figures import PERSISTENCE, ForecastFigures, ForecastMetrics
from recurra.tasks.forecasting.prepare import (
    Part,
    SeriesData,
    layout_facts,
    reach_in_words,
    rows_in_words,
)
from recurra.train.loop import Outcome

__all__ = ["bars", "evaluation_report", "forecast_sections", "median_stretch", "model_card", "report_data"]

Values = NDArray[np.float64]
_STRETCH = 240  # windows that are drawn


def report_data(
    bundle: ForecasterBundle,
    ready: SeriesData,
    outcome: Outcome,
    assessment: ForecastAssessment,
    baseline: object,
    command: str,
) -> ReportData:
    """Returns the report of a fit."""
    unit = f", in {assessment.metrics.unit}" if assessment.metrics.unit else ""
    squared = "squared " if bundle.config.series.loss == "mse" else ""
    fields = {
        **_result_fields(bundle, assessment),
        **training_fields(bundle.config, outcome, command),
        "title": f"{assessment.network.removeprefix('the ')} on {ready.source_name}",
        "data": {"file": ready.train.where, **layout_facts(bundle.assets.layout, reach_of(bundle))},
        "parts": [_part(part) for part in (ready.train, ready.valid, ready.test) if part is not None],
        "warnings": ready.warnings,
        "curves": {
            "loss": f"Loss: the mean {squared}error in standard deviations of the target; lower is better",
            "mae": f"Mean absolute error of {assessment.metrics.target}{unit}: lower is better",
        },
    }
    return ReportData.model_validate(fields)


def evaluation_report(bundle: ForecasterBundle, assessment: ForecastAssessment, name: str) -> ReportData:
    """Returns the report of a saved forecaster on the file called ``name``."""
    title = f"{assessment.network.removeprefix('the ')} on {name}"
    fields = {"title": title, "warnings": assessment.warnings, **_result_fields(bundle, assessment)}
    return ReportData.model_validate(fields)


def _result_fields(bundle: ForecasterBundle, assessment: ForecastAssessment) -> dict[str, Any]:
    """Returns the fields of a report that show an assessment."""
    metrics = assessment.metrics
    named = f"{metrics.target}, {metrics.unit}" if metrics.unit else metrics.target
    reach, spacing = reach_of(bundle), bundle.assets.layout.spacing
    sections = forecast_sections(
        metrics,
        assessment.truth,
        assessment.forecasts,
        assessment.stamps,
        distance=rows_in_words(reach.ahead, spacing),
        note=assessment.note,
    )
    return {
        **network_fields(bundle),
        "lead": assessment.lead(reach_in_words(reach, spacing)),
        "verdict": f"{assessment.verdict}." if assessment.verdict else "",
        "verdict_kind": assessment.verdict_kind,
        "bars": bars(metrics),
        "bars_label": f"Mean absolute error of {named}: lower is better",
        "sections": sections,
    }


def _part(part: Part) -> ReportPart:
    stamps = part.matrix.stamps
    when = ""
    if stamps is not None:
        days = stamps[[part.first, part.end - 1]].astype("datetime64[D]")
        when = f"{days[0]} to {days[1]}, "
    return ReportPart(
        name=part.name,
        rows=part.end - part.first,
        source=PurePath(part.where).name,
        notes=f"{when}{len(part.rows):,} windows",
    )


def model_card(bundle: ForecasterBundle, assessment: ForecastAssessment) -> str:
    """Returns ``README.md`` of a model directory: what the model is, its figures, its use and its limits."""
    metrics, config, reach = assessment.metrics, bundle.config, reach_of(bundle)
    unit = f" ({metrics.unit})" if metrics.unit else ""
    figures = "\n".join(_card_row(figures, metrics.decimals) for figures in metrics.figures)
    verdict = f"\n{assessment.verdict}.\n" if assessment.verdict else ""
    return f"""# {assessment.network.removeprefix("the ")}: {metrics.target}

A forecaster made with recurra, {today()};
recipe `{config.recipe}`, {summarize(bundle.model).total:,} parameters.
It forecasts {metrics.target}, {reach_in_words(reach, bundle.assets.layout.spacing)}.

| on {metrics.windows:,} {assessment.part} windows | MAE{unit}, 95% interval | RMSE{unit} | skill |
|---|---|---|---|
{figures}
{verdict}
Skill is how far the MAE is below that of persistence, which repeats the last known value.

## Use

    recurra predict . ROWS.csv
    recurra evaluate . ROWS.csv

ROWS.csv has the columns of the training file: {", ".join(_columns(bundle))}; a forecast needs its last
{reach.back + 1:,} rows.

## Limits

It was tested once, on the rows after its training rows. If the behaviour of the series changes, the errors
grow: measure the model on new rows regularly and compare it with persistence.
"""


def _columns(bundle: ForecasterBundle) -> list[str]:
    layout = bundle.assets.layout
    inputs = [number.name for number in layout.numbers] + [kind.name for kind in layout.categories]
    return list(dict.fromkeys([*layout.time, *inputs, layout.target.name]))


def _card_row(figures: ForecastFigures, decimals: int) -> str:
    d = f",.{decimals}f"
    skill = "" if figures.skill is None else f"{100 * figures.skill:.1f}%"
    name = figures.name.removeprefix("the ")
    mae = f"{figures.mae:{d}} ({figures.mae_low:{d}} to {figures.mae_high:{d}})"
    return f"| {name} | {mae} | {figures.rmse:{d}} | {skill} |"


def bars(metrics: ForecastMetrics) -> list[Bar]:
    """Returns a bar with the MAE of each forecaster."""
    d, unit = metrics.decimals, f" {metrics.unit}" if metrics.unit else ""
    return [
        Bar(
            name=figures.name.removeprefix("the "),
            value=figures.mae,
            low=max(0.0, figures.mae_low),
            high=figures.mae_high,
            text=f"{figures.mae:,.{d}f}{unit} ({figures.mae_low:,.{d}f} to {figures.mae_high:,.{d}f})",
            kind="model" if figures is metrics.network else "baseline",
        )
        for figures in metrics.figures
    ]


def forecast_sections(
    metrics: ForecastMetrics,
    truth: Values,
    forecasts: Mapping[str, Values],
    stamps: NDArray[np.datetime64] | None,
    *,
    distance: str,
    note: str = "",
) -> list[Section]:
    """Returns the sections of a report that show forecasts.

    Args:
        metrics: Figures of the forecasts.
        truth: True values of shape ``(N, K)`` in the unit of the target, in the order of time.
        forecasts: Forecasts of shape ``(N, K)`` by name, those of the network first.
        stamps: Times of the targets, of shape ``(N, K)``; None if the rows have no time.
        distance: Distance from the end of a window to its last target, in words.
        note: Limits of the baselines.
    """
    named = f"{metrics.target}, {metrics.unit}" if metrics.unit else metrics.target
    shown = {name.removeprefix("the "): values for name, values in forecasts.items()}
    sections = [_against_truth(named, truth, shown, stamps, distance), _figures(metrics, note)]
    errors = {name: np.abs(values - truth) for name, values in shown.items()}
    charts = [*_by_time(errors, stamps, named), *_by_distance(metrics)]
    if charts:
        sections.append(Section(anchor="when", title="Errors by time", charts=charts))
    return sections


def median_stretch(errors: Values, length: int) -> slice:
    """Returns the stretch of windows with the median mean error among all consecutive stretches.

    Args:
        errors: Errors of shape ``(N,)``.
        length: Number of windows in a stretch.

    Example:
        >>> median_stretch(np.array([9.0, 9, 1, 1, 5, 5]), 2)
        slice(4, 6, None)
    """
    count = len(errors) // length
    if count < 2:
        return slice(0, min(len(errors), length))
    means = errors[: count * length].reshape(count, length).mean(axis=1)
    middle = int(np.argsort(means, kind="stable")[count // 2])
    return slice(middle * length, (middle + 1) * length)


def _against_truth(
    named: str,
    truth: Values,
    forecasts: Mapping[str, Values],
    stamps: NDArray[np.datetime64] | None,
    distance: str,
) -> Section:
    network = next(iter(forecasts))
    last = truth.shape[1] - 1  # the furthest of several values ahead
    part = median_stretch(np.abs(forecasts[network] - truth).mean(axis=1), _STRETCH)
    drawn = {network: forecasts[network], PERSISTENCE: forecasts.get(PERSISTENCE)}
    lines: dict[str, Sequence[float]] = {"truth": truth[part, last].tolist()}
    lines |= {name: values[part, last].tolist() for name, values in drawn.items() if values is not None}
    x: Sequence[float] | Sequence[datetime]
    if stamps is None:
        x = np.arange(part.start, part.stop, dtype=np.float64).tolist()
    else:
        x = [stamp.item() for stamp in stamps[part, last].astype("datetime64[s]")]
    chart = line_chart(
        x,
        lines,
        title=f"Forecast and truth of {named}",
        name="truth",
        x_label="window" if stamps is None else "",
        y_label=named,
        wide=True,
    )
    caption = (
        f"Forecast and truth over {part.stop - part.start:,} windows: the stretch with the median error "
        f"of all stretches of this length. Each point was forecast from the rows known {distance} before it."
    )
    return Section(
        anchor="truth", title="Forecast and truth", charts=[Chart(caption=caption, svg=chart, wide=True)]
    )


def _figures(metrics: ForecastMetrics, note: str) -> Section:
    d, unit = metrics.decimals, f" ({metrics.unit})" if metrics.unit else ""

    def row(f: ForecastFigures) -> list[str]:
        skill = ""
        if f.skill is not None and f.skill_low is not None and f.skill_high is not None:
            skill = f"{100 * f.skill:.1f}% ({100 * f.skill_low:.1f} to {100 * f.skill_high:.1f})"
        return [
            f.name.removeprefix("the "),
            f"{f.mae:,.{d}f} ({f.mae_low:,.{d}f} to {f.mae_high:,.{d}f})",
            f"{f.rmse:,.{d}f} ({f.rmse_low:,.{d}f} to {f.rmse_high:,.{d}f})",
            f"{f.bias:+,.{d}f}",
            skill,
        ]

    errors = ReportTable(
        caption=f"Errors on {metrics.windows:,} windows",
        header=["", f"MAE{unit}", f"RMSE{unit}", f"bias{unit}", "skill"],
        rows=[row(figures) for figures in metrics.figures],
    )
    paragraphs = [
        "Skill is how far the MAE is below that of persistence, which repeats the last known value. "
        "The errors of neighbouring windows are correlated, so the 95% intervals are from a moving-block "
        f"bootstrap with blocks of {metrics.block:,} windows (2,000 rounds)."
    ]
    if note:
        paragraphs.append(f"{sentence(note)}.")
    tables = [errors]
    if metrics.differences:
        tables.append(
            ReportTable(
                caption="Differences of the MAE on the same windows, and their 95% intervals",
                header=["compared with", f"difference{unit}", "interval", "shown"],
                rows=[
                    [
                        pair.second,
                        f"{pair.difference:+,.{d}f}",
                        f"{pair.low:+,.{d}f} to {pair.high:+,.{d}f}",
                        "yes" if pair.shown else "no",
                    ]
                    for pair in metrics.differences
                ],
            )
        )
    return Section(anchor="errors", title="Errors", paragraphs=paragraphs, tables=tables)


def _by_time(errors: Mapping[str, Values], stamps: NDArray[np.datetime64] | None, named: str) -> list[Chart]:
    """Charts of the MAE by hour of the day and by month of the year, if there are at least three of them."""
    if stamps is None:
        return []
    days = stamps.astype("datetime64[D]")
    hours = (stamps - days.astype(stamps.dtype)).astype("timedelta64[h]").astype(np.int64)
    months = stamps.astype("datetime64[M]").astype(np.int64) % 12 + 1
    charts = []
    for name, places, label in (("hour", hours, "hour of the day"), ("month", months, "month of the year")):
        known = np.unique(places)
        if len(known) < 3:
            continue
        lines = {
            forecaster: [float(values[places == place].mean()) for place in known]
            for forecaster, values in errors.items()
        }
        svg = line_chart(
            known.astype(np.float64).tolist(),
            lines,
            title=f"Mean absolute error by {label}",
            name=name,
            x_label=label,
            y_label=f"MAE of {named}",
        )
        charts.append(Chart(caption=f"Mean absolute error by {label} of the target.", svg=svg))
    return charts


def _by_distance(metrics: ForecastMetrics) -> list[Chart]:
    """A chart of the MAE of each value ahead, if there are several."""
    ahead = len(metrics.network.mae_ahead)
    if ahead < 2:
        return []
    svg = line_chart(
        [float(step) for step in range(1, ahead + 1)],
        {figures.name.removeprefix("the "): figures.mae_ahead for figures in metrics.figures},
        title="Mean absolute error by distance of the value",
        name="ahead",
        x_label="value ahead",
        y_label="MAE",
    )
    return [Chart(caption="Mean absolute error of the first value ahead, the second, and so on.", svg=svg)]
