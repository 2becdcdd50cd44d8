"""Forecasts in a report: bars, tables, and charts of forecast against truth and of error by time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from recurra.measure.charts import line_chart
from recurra.measure.report_data import Bar, Chart, ReportTable, Section
from recurra.tasks.forecasting.figures import PERSISTENCE, ForecastFigures, ForecastMetrics

__all__ = ["bars", "forecast_sections", "median_stretch"]

Values = NDArray[np.float64]
_STRETCH = 240  # windows that are drawn
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def bars(metrics: ForecastMetrics) -> list[Bar]:
    """The MAE of each forecaster, side by side."""
    d, unit = metrics.decimals, f" {metrics.unit}" if metrics.unit else ""
    return [
        Bar(
            name=one.name.removeprefix("the "),
            value=one.mae,
            low=max(0.0, one.mae_low),
            high=one.mae_high,
            text=f"{one.mae:,.{d}f}{unit} ({one.mae_low:,.{d}f} to {one.mae_high:,.{d}f})",
            kind="model" if one is metrics.network else "baseline",
        )
        for one in metrics.figures
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
    """What the report shows of forecasts.

    Args:
        metrics: their figures.
        truth: ``(N, K)`` in the target's unit, in the order of time.
        forecasts: ``(N, K)`` by name, the network's first.
        stamps: ``(N, K)`` the time of each target; None where rows have no time.
        distance: in words, how far before the last target a window ends.
        note: what to know of the baselines.
    """
    named = f"{metrics.target}, {metrics.unit}" if metrics.unit else metrics.target
    shown = {name.removeprefix("the "): values for name, values in forecasts.items()}
    sections = [_against_truth(named, truth, shown, stamps, distance), _figures(metrics, note)]
    errors = {name: np.abs(values - truth) for name, values in shown.items()}
    charts = [*_by_time(errors, stamps, named), *_by_distance(metrics)]
    if charts:
        sections.append(Section(anchor="when", title="When it errs", charts=charts))
    return sections


def median_stretch(errors: Values, length: int) -> slice:
    """The windows of the stretch whose mean error is the middle one of all such stretches, end to end.

    Args:
        errors: ``(N,)``.
        length: windows of a stretch.

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
    last = truth.shape[1] - 1  # of several values ahead, the furthest
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
        f"Forecast and truth over {part.stop - part.start:,} windows, as well forecast as the middle one of "
        f"all such stretches. Each point was forecast from what was known {distance} before it."
    )
    return Section(
        anchor="truth", title="Forecast and truth", charts=[Chart(caption=caption, svg=chart, wide=True)]
    )


def _figures(metrics: ForecastMetrics, note: str) -> Section:
    d, unit = metrics.decimals, f" ({metrics.unit})" if metrics.unit else ""

    def row(one: ForecastFigures) -> list[str]:
        skill = "" if one.skill is None else f"{100 * one.skill:.1f}% ({100 * (one.skill_low or 0):.1f} to "
        return [
            one.name.removeprefix("the "),
            f"{one.mae:,.{d}f} ({one.mae_low:,.{d}f} to {one.mae_high:,.{d}f})",
            f"{one.rmse:,.{d}f} ({one.rmse_low:,.{d}f} to {one.rmse_high:,.{d}f})",
            f"{one.bias:+,.{d}f}",
            f"{skill}{100 * (one.skill_high or 0):.1f})" if skill else "",
        ]

    figures = ReportTable(
        caption=f"Errors on {metrics.windows:,} windows",
        header=["", f"MAE{unit}", f"RMSE{unit}", f"bias{unit}", "skill"],
        rows=[row(one) for one in metrics.figures],
    )
    paragraphs = [
        "Skill is how far the MAE is below that of persistence, which forecasts the value known last. "
        f"Neighbouring windows err alike, so the 95% intervals come from drawing blocks of {metrics.block:,} "
        "windows anew (moving-block bootstrap, 2,000 rounds)."
    ]
    if note:
        paragraphs.append(f"{note[:1].upper()}{note[1:]}.")
    tables = [figures]
    if metrics.differences:
        tables.append(
            ReportTable(
                caption="Differences of the MAE on the same windows, and their 95% intervals",
                header=["beside", f"difference{unit}", "interval", "shown"],
                rows=[
                    [
                        one.second,
                        f"{one.difference:+,.{d}f}",
                        f"{one.low:+,.{d}f} to {one.high:+,.{d}f}",
                        "yes" if one.shown else "no",
                    ]
                    for one in metrics.differences
                ],
            )
        )
    return Section(anchor="errors", title="Errors", paragraphs=paragraphs, tables=tables)


def _by_time(errors: Mapping[str, Values], stamps: NDArray[np.datetime64] | None, named: str) -> list[Chart]:
    """MAE by the target's hour of the day and month of the year, where there are several."""
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
        lines = {who: [float(found[places == at].mean()) for at in known] for who, found in errors.items()}
        svg = line_chart(
            known.astype(np.float64).tolist(),
            lines,
            title=f"Mean absolute error by {label}",
            name=name,
            x_label=label,
            y_label=f"MAE of {named}",
        )
        charts.append(Chart(caption=f"Mean absolute error by the {label} that is forecast.", svg=svg))
    return charts


def _by_distance(metrics: ForecastMetrics) -> list[Chart]:
    """MAE of each value ahead, where there are several."""
    ahead = len(metrics.network.mae_ahead)
    if ahead < 2:
        return []
    svg = line_chart(
        [float(at) for at in range(1, ahead + 1)],
        {one.name.removeprefix("the "): one.mae_ahead for one in metrics.figures},
        title="Mean absolute error by the value's distance",
        name="ahead",
        x_label="value ahead",
        y_label="MAE",
    )
    return [Chart(caption="Mean absolute error of the first value ahead, the second, and so on.", svg=svg)]
