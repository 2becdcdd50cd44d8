"""The report and the model card of a trained forecaster, with charts of forecasts and of errors by time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.measure.charts import line_chart
from recurra.measure.formatting import sentence
from recurra.measure.report import Bar, Chart, ReportTable, Section
from recurra.tasks.card import model_card, part_row, use_in_card
from recurra.tasks.forecasting.assess import ForecastAssessment
from recurra.tasks.forecasting.bundle import ForecasterBundle, reach_of
from recurra.tasks.forecasting.figures import PERSISTENCE, ForecastFigures, ForecastMetrics
from recurra.tasks.forecasting.prepare import Part, SeriesData, layout_facts
from recurra.tasks.forecasting.series.reach import reach_in_words, rows_in_words

__all__ = ["USE", "bars", "card", "fit_fields", "forecast_sections", "median_stretch", "report_fields"]

USE = {
    "recurra predict MODEL ROWS.csv": "forecast from the last rows",
    "recurra evaluate MODEL ROWS.csv": "measure it on other rows",
}
"""What a model is used for, by command."""

Values = NDArray[np.float64]
_STRETCH = 240  # windows that are drawn


def fit_fields(
    bundle: ForecasterBundle, prepared: SeriesData, assessment: ForecastAssessment
) -> dict[str, Any]:
    """Returns the fields of the report of a fit that show data and training."""
    unit = f", in {assessment.metrics.unit}" if assessment.metrics.unit else ""
    squared = "squared " if bundle.config.series.loss == "mse" else ""
    return {
        "data": {"file": prepared.train.where, **layout_facts(bundle.assets.layout, reach_of(bundle))},
        "parts": [part_row(part, part.end - part.first, _facts(part)) for part in prepared.parts],
        "warnings": prepared.warnings,
        "curves": {
            "loss": f"Loss: the mean {squared}error in standard deviations of the target; lower is better",
            "mae": f"Mean absolute error of {assessment.metrics.target}{unit}: lower is better",
        },
    }


def report_fields(
    bundle: ForecasterBundle, assessment: ForecastAssessment, name: str, baseline: object
) -> dict[str, Any]:
    """Returns the fields of a report that show an assessment on the file called ``name``."""
    metrics = assessment.metrics
    reach, spacing = reach_of(bundle), bundle.assets.layout.spacing
    return {
        "title": f"{metrics.network.label} on {name}",
        "lead": assessment.lead(reach_in_words(reach, spacing)),
        "verdict": assessment.verdict,
        "verdict_kind": assessment.verdict_kind,
        "bars": bars(metrics),
        "bars_label": f"Mean absolute error of {metrics.target_and_unit}: lower is better",
        "sections": forecast_sections(assessment, rows_in_words(reach.ahead, spacing)),
        "warnings": assessment.warnings,
    }


def _facts(part: Part) -> str:
    return f"{f'{part.dates}, ' if part.dates else ''}{len(part.rows):,} windows"


def card(bundle: ForecasterBundle, assessment: ForecastAssessment) -> str:
    """Returns the model card."""
    metrics, layout, reach = assessment.metrics, bundle.assets.layout, reach_of(bundle)
    columns = ", ".join(dict.fromkeys([*layout.time, *layout.columns]))
    unit = f" ({metrics.unit})" if metrics.unit else ""
    windows = f"on {metrics.windows:,} {assessment.part} windows"
    table = [[windows, f"MAE{unit}, 95% interval", f"RMSE{unit}", "skill"]]
    for figures in metrics.figures:
        mae = f"{metrics.number(figures.mae)} ({metrics.interval(figures.mae_low, figures.mae_high)})"
        skill = "" if figures.skill is None else f"{100 * figures.skill:.1f}%"
        table.append([figures.label, mae, metrics.number(figures.rmse), skill])
    return model_card(
        bundle,
        title=f"{metrics.network.label}: {metrics.target}",
        kind="A forecaster",
        about=f"It forecasts {metrics.target}, {reach_in_words(reach, layout.spacing)}.\n",
        table=table,
        verdict=assessment.verdict.removesuffix("."),
        note="\nSkill is how far the MAE is below that of persistence, which repeats the last known value.\n"
        + (f"\n{sentence(assessment.note)}.\n" if assessment.note else ""),
        use=f"""\
{use_in_card(USE)}
ROWS.csv has the columns of the training file: {columns}; a forecast needs its last
{reach.back + 1:,} rows.
""",
        limits="""\
It was tested once, on the rows after its training rows. If the behaviour of the series changes, the errors
grow: measure the model on new rows regularly and compare it with persistence.
""",
    )


def bars(metrics: ForecastMetrics) -> list[Bar]:
    """Returns a bar with the MAE of each forecaster."""
    return [
        Bar(
            name=figures.label,
            value=figures.mae,
            low=max(0.0, figures.mae_low),
            high=figures.mae_high,
            text=metrics.mae_in_unit(figures),
            kind="model" if figures is metrics.network else "baseline",
        )
        for figures in metrics.figures
    ]


def forecast_sections(assessment: ForecastAssessment, distance: str) -> list[Section]:
    """Returns the sections on forecasts; ``distance`` is that from a window to its last target, in words."""
    sections = [_figures(assessment.metrics, assessment.note), _against_truth(assessment, distance)]
    charts = [*_by_time(assessment), *_by_distance(assessment.metrics)]
    if charts:
        sections.append(Section(anchor="when", title="Errors by time", charts=charts))
    return sections


def median_stretch(errors: Values, length: int) -> slice:
    """Returns the stretch of ``length`` windows with the median of the mean errors of all such stretches.

    Stretches do not overlap; ``errors`` has the shape (N,).

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


def _against_truth(assessment: ForecastAssessment, distance: str) -> Section:
    """A chart of the truth, the network's forecasts and persistence; of several values ahead the last."""
    network, truth, stamps = assessment.metrics.network, assessment.truth, assessment.stamps
    named = assessment.metrics.target_and_unit
    part = median_stretch(np.abs(assessment.forecasts[network.name] - truth).mean(axis=1), _STRETCH)
    lines: dict[str, Sequence[float]] = {"truth": truth[part, -1].tolist()}
    for figures in assessment.metrics.figures:
        if figures is network or figures.name == PERSISTENCE:
            lines[figures.label] = assessment.forecasts[figures.name][part, -1].tolist()
    x: Sequence[float] | Sequence[datetime]
    if stamps is None:
        x = np.arange(part.start, part.stop, dtype=np.float64).tolist()
    else:
        x = stamps[part, -1].astype("datetime64[s]").tolist()
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
    unit = f" ({metrics.unit})" if metrics.unit else ""

    def row(f: ForecastFigures) -> list[str]:
        skill = ""
        if f.skill is not None and f.skill_low is not None and f.skill_high is not None:
            skill = f"{100 * f.skill:.1f}% ({100 * f.skill_low:.1f} to {100 * f.skill_high:.1f})"
        return [
            f.label,
            f"{metrics.number(f.mae)} ({metrics.interval(f.mae_low, f.mae_high)})",
            f"{metrics.number(f.rmse)} ({metrics.interval(f.rmse_low, f.rmse_high)})",
            metrics.number(f.bias, "+"),
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
    differences = ReportTable(
        caption="Differences of the MAE on the same windows, and their 95% intervals",
        header=["compared with", f"difference{unit}", "interval", "shown"],
        rows=[
            [
                pair.second,
                metrics.number(pair.difference, "+"),
                metrics.interval(pair.low, pair.high, "+"),
                "yes" if pair.shown else "no",
            ]
            for pair in metrics.differences
        ],
    )
    tables = [table for table in (errors, differences) if table.rows]
    return Section(anchor="figures", title="Figures", paragraphs=paragraphs, tables=tables)


def _by_time(assessment: ForecastAssessment) -> list[Chart]:
    """Charts of the MAE by hour of the day and by month of the year, if there are at least three of them."""
    stamps = assessment.stamps
    if stamps is None:
        return []
    errors = {
        figures.label: np.abs(assessment.forecasts[figures.name] - assessment.truth)
        for figures in assessment.metrics.figures
    }
    days = stamps.astype("datetime64[D]")
    hours = (stamps - days.astype(stamps.dtype)).astype("timedelta64[h]").astype(np.int64)
    months = stamps.astype("datetime64[M]").astype(np.int64) % 12 + 1
    charts = []
    for name, times, label in (("hour", hours, "hour of the day"), ("month", months, "month of the year")):
        known = np.unique(times)
        if len(known) < 3:
            continue
        lines = {
            forecaster: [float(values[times == time].mean()) for time in known]
            for forecaster, values in errors.items()
        }
        svg = line_chart(
            known.astype(np.float64).tolist(),
            lines,
            title=f"Mean absolute error by {label}",
            name=name,
            x_label=label,
            y_label=f"MAE of {assessment.metrics.target_and_unit}",
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
        {figures.label: figures.mae_ahead for figures in metrics.figures},
        title="Mean absolute error by distance of the value",
        name="ahead",
        x_label="value ahead",
        y_label="MAE",
    )
    return [Chart(caption="Mean absolute error of the first value ahead, the second, and so on.", svg=svg)]
