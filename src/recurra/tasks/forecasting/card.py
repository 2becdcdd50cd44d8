"""What is written about a trained forecaster for people: its report's data and its model card."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from recurra.layers.summary import summarize
from recurra.measure.report_data import Part as ReportPart
from recurra.measure.report_data import ReportData
from recurra.tasks.card import network_fields, today, training_fields
from recurra.tasks.forecasting.assess import ForecastAssessment
from recurra.tasks.forecasting.bundle import ForecasterBundle, reach_of
from recurra.tasks.forecasting.charts import bars, forecast_sections
from recurra.tasks.forecasting.figures import ForecastFigures
from recurra.tasks.forecasting.prepare import (
    Part,
    SeriesData,
    layout_facts,
    reach_in_words,
    rows_in_words,
)
from recurra.train.loop import Outcome

__all__ = ["evaluation_report", "model_card", "report_data"]


def report_data(
    bundle: ForecasterBundle,
    ready: SeriesData,
    outcome: Outcome,
    found: ForecastAssessment,
    baseline: object,
    command: str,
) -> ReportData:
    """All that the report of a fit shows."""
    counted = f", in {found.metrics.unit}" if found.metrics.unit else ""
    squared = "squared " if bundle.config.series.loss == "mse" else ""
    fields = {
        **_assessed(bundle, found),
        **training_fields(bundle.config, outcome, command),
        "title": f"{found.network.removeprefix('the ')} on {ready.source_name}",
        "data": {"file": ready.train.where, **layout_facts(bundle.assets.layout, reach_of(bundle))},
        "parts": [_part(part) for part in (ready.train, ready.valid, ready.test) if part is not None],
        "warnings": ready.warnings,
        "curves": {
            "loss": f"Loss: the mean {squared}error in deviations of the target; lower is better",
            "mae": f"Mean absolute error of {found.metrics.target}{counted}: lower is better",
        },
    }
    return ReportData.model_validate(fields)


def evaluation_report(bundle: ForecasterBundle, found: ForecastAssessment, name: str) -> ReportData:
    """The report of a saved forecaster on the file called ``name``."""
    title = f"{found.network.removeprefix('the ')} on {name}"
    fields = {"title": title, "warnings": found.warnings, **_assessed(bundle, found)}
    return ReportData.model_validate(fields)


def _assessed(bundle: ForecasterBundle, found: ForecastAssessment) -> dict[str, Any]:
    """The fields of a report that any assessment fills, of a fit or of a saved model."""
    metrics = found.metrics
    named = f"{metrics.target}, {metrics.unit}" if metrics.unit else metrics.target
    reach, spacing = reach_of(bundle), bundle.assets.layout.spacing
    sections = forecast_sections(
        metrics,
        found.truth,
        found.forecasts,
        found.stamps,
        distance=rows_in_words(reach.ahead, spacing),
        note=found.note,
    )
    return {
        **network_fields(bundle),
        "evaluated_on": found.part,
        "lead": found.lead(reach_in_words(reach, spacing)),
        "verdict": f"{found.verdict}." if found.verdict else "",
        "verdict_kind": found.verdict_kind,
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


def model_card(bundle: ForecasterBundle, found: ForecastAssessment) -> str:
    """``README.md`` of a model directory: what it is, how good, how to use it, what it can't do."""
    metrics, config, reach = found.metrics, bundle.config, reach_of(bundle)
    unit = f" ({metrics.unit})" if metrics.unit else ""
    figures = "\n".join(_figures(one, metrics.decimals) for one in metrics.figures)
    verdict = f"\n{found.verdict}.\n" if found.verdict else ""
    return f"""# {found.network.removeprefix("the ")}: {metrics.target}

A forecaster made with recurra, {today()};
recipe `{config.recipe}`, {summarize(bundle.model).total:,} parameters.
It forecasts {metrics.target}, {reach_in_words(reach, bundle.assets.layout.spacing)}.

| on {metrics.windows:,} {found.part} windows | MAE{unit}, 95% interval | RMSE{unit} | skill |
|---|---|---|---|
{figures}
{verdict}
Skill is how far the MAE is below that of persistence, which forecasts the value known last.

## Use

    recurra predict . ROWS.csv
    recurra evaluate . ROWS.csv

ROWS.csv has the columns of the training file: {", ".join(_columns(bundle))}; a forecast needs its last
{reach.back + 1:,} rows.

## Limits

It was tested on what came after its training rows, once. Where the series changes its ways, its errors
grow: measure it on new rows from time to time, beside persistence.
"""


def _columns(bundle: ForecasterBundle) -> list[str]:
    layout = bundle.assets.layout
    read = [*layout.time, *(one.name for one in layout.numbers), *(one.name for one in layout.categories)]
    return list(dict.fromkeys([*read, layout.target.name]))


def _figures(one: ForecastFigures, decimals: int) -> str:
    d = f",.{decimals}f"
    skill = "" if one.skill is None else f"{100 * one.skill:.1f}%"
    name = one.name.removeprefix("the ")
    return f"| {name} | {one.mae:{d}} ({one.mae_low:{d}} to {one.mae_high:{d}}) | {one.rmse:{d}} | {skill} |"
