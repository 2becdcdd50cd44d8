"""The charts of reports as inline SVG, drawn by matplotlib and coloured by the style sheet of the page.

Colours are drawn as placeholders that are then replaced by CSS variables, so one drawing serves a light and a
dark page. Text remains text, in the font of the page.
"""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import cycle
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup, escape

from recurra.measure.calibration import Reliability
from recurra.measure.metrics import wilson_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["BASE_STYLE", "Palette", "interval_chart", "line_chart", "page_chart", "reliability_chart"]

Ends = tuple[Sequence[float], Sequence[float]]

# Placeholder colour -> variable of the style sheet; values that nothing else is drawn in.
_COLOURS = {
    "#010203": "var(--ink-soft)",
    "#010204": "var(--line)",
    "#010205": "var(--accent)",
    "#010206": "var(--second)",
    "#010207": "var(--paper)",
    "#010208": "var(--third)",
    "#010209": "var(--fourth)",
    "#01020a": "var(--fifth)",
    "#01020b": "var(--sixth)",
}
_INK, _LINE, _ACCENT, _SECOND, _PAPER, *_MORE = _COLOURS
# Lines differ in colour, dashes and markers.
_LOOKS = list(
    zip(
        (_ACCENT, _SECOND, *_MORE, _INK),
        ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 2))),
        "osD^vPX",
        strict=True,
    )
)
BASE_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "svg.fonttype": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
}
_INKS = ("axes.labelcolor", "axes.titlecolor", "xtick.color", "ytick.color", "text.color")
_STYLE = {
    **BASE_STYLE,
    **dict.fromkeys(_INKS, _INK),
    "axes.edgecolor": _LINE,
    "grid.color": _LINE,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.markersize": 3.5,
}


@dataclass(frozen=True)
class Palette:
    """The colours of a chart: of text, of auxiliary lines, and of curves."""

    ink: str
    soft: str
    lines: tuple[str, ...]


def page_chart(draw: Callable[[Axes, Palette], None], *, title: str, name: str) -> Markup:
    """Returns a chart of any kind in the colours of the page, with a legend above it.

    Args:
        draw: Draws into the axes with the colours given.
        title: Text alternative of the chart for screen readers.
        name: Name of the chart, unique on the page.
    """
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(4.2, 3.2), layout="constrained")
        axes = figure.subplots()
        draw(axes, Palette(_INK, _INK, (_ACCENT, _SECOND, *_MORE)))
        _legend(figure, axes)
        return _svg(figure, title)


def line_chart(
    x: Sequence[float] | Sequence[datetime],
    lines: Mapping[str, Sequence[float]],
    *,
    title: str,
    name: str,
    bands: Mapping[str, Ends] | None = None,
    x_label: str = "epoch",
    y_label: str = "",
    marked: Mapping[str, float] | None = None,
    percent: bool = False,
    log_x: bool = False,
    wide: bool = False,
) -> Markup:
    """Returns a chart of curves over epochs, time or another number; values that are not finite are skipped.

    Args:
        x: ``n`` ascending positions, such as epochs or times.
        lines: ``n`` values of each curve by name, the most important curve first.
        title: Text alternative of the chart for screen readers.
        name: Name of the chart, unique on the page.
        bands: ``n`` lower and ``n`` upper ends of the intervals of curves, by name.
        x_label: Label of the x axis.
        y_label: Label of the y axis, with the unit.
        marked: Positions of vertical lines, by their name in the legend.
        percent: Whether values are shares, written in percent.
        log_x: Whether the x axis is logarithmic, with a tick at each position.
        wide: Whether the chart takes the whole width of the page.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import PercentFormatter

    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(8.6 if wide else 4.2, 2.8), layout="constrained")
        axes = figure.subplots()
        _x_axis(axes, x, log_x)
        for (label, values), (colour, dash, mark) in zip(lines.items(), cycle(_LOOKS), strict=False):
            points = [(at, value) for at, value in zip(x, values, strict=True) if isfinite(value)]
            if points:
                across, up = zip(*points, strict=True)
                few = mark if len(points) <= 40 else ""
                axes.plot(across, up, color=colour, linestyle=dash, marker=few, label=label)
            if bands and label in bands:
                axes.fill_between(np.asarray(x), *bands[label], color=colour, alpha=0.18, linewidth=0)
        for label, place in (marked or {}).items():
            axes.axvline(place, color=_INK, linestyle=":", linewidth=1, label=label)
        axes.set(xlabel=x_label, ylabel=y_label)
        if percent:
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=1))
        _legend(figure, axes)
        return _svg(figure, title)


def interval_chart(
    rows: Sequence[tuple[str, float, float, float]], *, title: str, name: str, x_label: str
) -> Markup:
    """Returns a chart of differences with their intervals, and a vertical line at 0.

    Args:
        rows: Name, value, lower and upper end of each difference, from top to bottom.
        title: Text alternative of the chart for screen readers.
        name: Name of the chart, unique on the page.
        x_label: Label of the x axis, with the unit.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        names = [textwrap.fill(row[0], 22) for row in rows]
        lines = sum(name.count("\n") + 1 for name in names)
        figure = Figure(figsize=(4.2, 0.9 + 0.15 * len(rows) + 0.17 * lines), layout="constrained")
        axes = figure.subplots()
        places = range(len(rows))
        axes.axvline(0, color=_INK, linestyle=":", linewidth=1)
        axes.hlines(places, [row[2] for row in rows], [row[3] for row in rows], color=_ACCENT, linewidth=1.8)
        axes.plot([row[1] for row in rows], places, "o", color=_ACCENT, markersize=5)
        axes.set_yticks(places, names)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(axis="y", visible=False)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
        axes.set_xlabel(x_label)
        return _svg(figure, title)


def reliability_chart(curves: Mapping[str, Reliability], *, title: str, name: str) -> Markup:
    """Returns a chart of one or two reliability curves, the diagonal, and the number of rows in each bin.

    Vertical lines are 95% intervals.

    Args:
        curves: Reliability curves by name, the most important one last.
        title: Text alternative of the chart for screen readers.
        name: Name of the chart, unique on the page.
    """
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": name}):
        figure = Figure(figsize=(4.2, 3.9), layout="constrained")
        axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 1])
        start = min(
            next((edge for edge, count in zip(curve.edges, curve.counts, strict=False) if count), 0.0)
            for curve in curves.values()
        )
        axes.plot([start, 1], [start, 1], color=_INK, linestyle=":", linewidth=1, label="perfect")
        looks = [(_SECOND, "--", "s"), (_ACCENT, "-", "o")][-len(curves) :]
        floor = start
        for (label, curve), (colour, dash, mark) in zip(curves.items(), looks, strict=True):
            across = [value for value in curve.confidence if value is not None]
            up = [value for value in curve.accuracy if value is not None]
            axes.plot(across, up, color=colour, linestyle=dash, marker=mark, label=label)
            ends = [
                wilson_interval(round(share * rows), rows)
                for share, rows in zip(curve.accuracy, curve.counts, strict=True)
                if share is not None
            ]
            axes.vlines(across, *zip(*ends, strict=True), color=colour, linewidth=0.8)
            floor = min([floor, *(low for low, _ in ends)])
        last = list(curves.values())[-1]
        width = last.edges[1] - last.edges[0]
        below.bar(
            last.edges[:-1], last.counts, width, align="edge", color=_ACCENT, edgecolor=_PAPER, linewidth=0.8
        )
        axes.set(xlim=(start, 1), ylim=(floor - 0.02, 1.02), ylabel="accuracy")
        below.set(xlabel="predicted probability", ylabel="rows")
        below.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=3))
        below.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        below.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        _legend(figure, axes)
        return _svg(figure, title)


def _x_axis(axes: Axes, x: Sequence[float] | Sequence[datetime], log: bool) -> None:
    """Sets the ticks: whole numbers, dates, or the positions themselves on a logarithmic axis."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

    numbers = [place for place in x if not isinstance(place, datetime)]
    if log:
        axes.set_xscale("log")
        axes.set_xticks(numbers, [f"{place:,.10g}" for place in numbers])
        axes.xaxis.set_minor_locator(NullLocator())
    elif numbers:
        whole = all(place == int(place) for place in numbers)
        axes.xaxis.set_major_locator(MaxNLocator(integer=whole, nbins=8, min_n_ticks=1))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda place, _: f"{place:,.10g}"))
        if min(numbers) == max(numbers):
            axes.set_xlim(numbers[0] - 1, numbers[0] + 1)
    else:
        # Short dates with year and month only once: complete dates would overlap.
        # With 3 ticks at least, every range has an interval with 8 at most; with 5, 290 minutes have none.
        ticks = AutoDateLocator(minticks=3, maxticks=8)  # type: ignore[no-untyped-call]
        axes.xaxis.set_major_locator(ticks)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(ticks))  # type: ignore[no-untyped-call]


def _legend(figure: Figure, axes: Axes) -> None:
    """Adds a legend above the chart, with as many columns as fit."""
    handles, labels = axes.get_legend_handles_labels()
    if len(handles) > 1:
        letters = 16 * figure.get_figwidth()  # that fit into one line
        columns = max(1, int(letters / (max(map(len, labels)) + 8)))
        figure.legend(handles, labels, loc="outside upper left", ncols=columns, fontsize=8, handlelength=2.2)


def _svg(figure: Figure, title: str) -> Markup:
    """Returns the figure as one ``<svg>`` element without outside references; the page sets its size."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    drawn = buffer.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"<!--.*?-->\s*", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r"<style.*?</style>", "", drawn, flags=re.DOTALL)  # it would apply to the whole page
    drawn = re.sub(r'<g id="[^"]*">', "<g>", drawn)  # not unique among charts, and never referenced
    drawn = re.sub(r" font-family: [^;]+;", "", drawn)
    drawn = re.sub(r"\s+", " ", drawn.replace("xlink:href=", "href="))
    for placeholder, variable in _COLOURS.items():
        drawn = drawn.replace(placeholder, variable)
    box = re.search(r'viewBox="([^"]+)"', drawn)
    size = box.group(1) if box else "0 0 302 194"
    head = f'<svg viewBox="{size}" role="img" aria-label="{escape(title)}">'
    # The markup is matplotlib's, which escapes all text.
    return Markup(re.sub(r"^<svg[^>]*>", lambda _: head, drawn.strip()))  # noqa: S704
