"""The HTML report of a trained model or of a comparison: one self-contained file.

A task fills `ReportData` with plain text, tables, charts and, where these are not enough, ready-made HTML
(`Section.html`, built with `template_macros`). This module and its template hold what every report shares.
"""

from __future__ import annotations

import json
import re
from functools import cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from markupsafe import Markup, escape
from pydantic import BaseModel, ConfigDict, Field

from recurra.errors import DataError
from recurra.files import replacing
from recurra.layers.summary import Row
from recurra.measure.charts import line_chart
from recurra.measure.formatting import count, duration, is_figure, keep, plain, sentence, share, short

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = [
    "Bar", "Chart", "Part", "ReportData", "ReportTable", "Section", "Step", "framed", "render",
    "template_macros", "write_report",
]  # fmt: skip

# Control characters except tab and line ends, and lone surrogates, which UTF-8 cannot encode.
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_COUNTS = ("epoch", "step", "tokens_per_second")
_SHARES = ("accuracy", "macro_f1", "auc")


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", protected_namespaces=(), arbitrary_types_allowed=True)


class Part(_Record):
    """One part of the data: train, valid or test."""

    name: str = Field(description="train, valid or test")
    rows: int
    source: str = Field("", description="the file it was read from, or how it was split off")
    counts: dict[str, int] = Field(default_factory=dict, description="further columns, such as rows by class")
    notes: str = Field("", description="further facts, such as the median length")


class Bar(_Record):
    """One of the bars at the top of the page that compare the model with its baselines."""

    name: str
    value: float = Field(ge=0)
    low: float | None = Field(None, description="ends of the interval, both or neither")
    high: float | None = None
    text: str = Field(description="the formatted value, such as '87.5% (86.9 to 88.1)'")
    kind: Literal["model", "baseline", "majority"] = Field("baseline", description="how it is drawn")


class ReportTable(_Record):
    """A table; columns that hold only figures are aligned to the right."""

    caption: str = ""
    header: list[str]
    rows: list[list[str]] = Field(description="as many cells each as the header")
    meanings: list[str] = Field(default_factory=list, description="an explanation below each row")
    folded: bool = Field(False, description="shown only after a click on the caption, for a long table")


class Chart(_Record):
    """A chart drawn by `recurra.measure.charts`."""

    caption: str
    svg: Markup
    wide: bool = Field(False, description="whether it takes the whole width of the page")


class Section(_Record):
    """A section of the page: paragraphs, charts, tables, notes in small type, HTML, in this order."""

    anchor: str = Field(pattern=r"^[a-z][a-z0-9-]*$", description="its address within the page")
    title: str
    paragraphs: list[str] = Field(default_factory=list)
    charts: list[Chart] = Field(default_factory=list)
    tables: list[ReportTable] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    html: Markup = Markup("")
    half: bool = Field(False, description="whether it takes half of a wide page, beside another such section")


class Step(_Record):
    """Something that a reader can do, with the commands to copy."""

    text: str
    command: str = Field("", description="one command a line")


class ReportData(_Record):
    """The contents of a report; fields that are None or empty are left out of the page.

    Example:
        >>> bars = [Bar(name="GRU", value=2.35, text="2.35 degC", kind="model"),
        ...         Bar(name="Persistence", value=2.57, text="2.57 degC")]
        >>> data = ReportData(title="GRU on weather.csv", lead="The GRU is off by 2.35 degC.", bars=bars)
    """

    title: str = Field(description="model and data, such as 'LSTM on reviews.csv'")
    created: str = Field("", description="time of creation, as text")
    lead: str = Field("", description="the main result, in one sentence")
    verdict: str = Field("", description="comparison with the baseline, in words")
    verdict_kind: Literal["", "good", "bad"] = ""
    caution: str = Field("", description="limits of the figures")
    steps: list[Step] = Field(default_factory=list, description="what to try if the baseline is not beaten")
    use: list[Step] = Field(default_factory=list, description="how to use the model")
    bars: list[Bar] = Field(default_factory=list, description="the figure of the model and of its baselines")
    bars_label: str = Field("", description="what the bars show, their unit, and which end is better")
    bars_top: float | None = Field(None, gt=0, description="right end of the bars; the largest value if None")
    sections: list[Section] = Field(default_factory=list, description="results, before training and data")

    data: dict[str, str] = Field(default_factory=dict, description="facts about the data, by name")
    parts: list[Part] = Field(default_factory=list, description="train, valid and test")
    data_tables: list[ReportTable] = Field(default_factory=list, description="further tables about the data")
    warnings: list[str] = Field(
        default_factory=list,
        description="problems of the data, such as test texts that occur in training too",
    )

    history: list[dict[str, float]] = Field(
        default_factory=list,
        description="one record per epoch: epoch, train_loss, valid_loss, valid_accuracy, seconds ...",
    )
    curves: dict[str, str] = Field(
        default={"loss": "Loss, in nats: lower is better", "accuracy": "Accuracy: higher is better"},
        description="figures of the history to draw, each with its caption",
    )
    best_epoch: int | None = Field(None, description="the epoch whose weights were kept")
    stopped: str = Field("", description="why training ended: epochs, patience, time or interrupted")
    plan: str = Field("", description="what was chosen for a budget of minutes")
    training_note: str = Field("", description="a sentence on the training, without its period")

    summary: list[Row] = Field(default_factory=list, description="the layers of the model")
    settings: dict[str, Any] = Field(default_factory=dict, description="all settings, nested by section")
    command: str = Field("", description="the command that produced the model")
    seed: int | None = None
    versions: dict[str, str] = Field(default_factory=dict, description="version of each library")
    hardware: dict[str, str] = Field(default_factory=dict, description="device, threads, memory")


def render(data: ReportData) -> str:
    """Returns the report as HTML without scripts and outside references; all text is escaped."""
    html = _environment("recurra.measure").get_template("report.html.j2").render(d=data, v=_view(data))
    return _UNPRINTABLE.sub("\ufffd", html)


def write_report(path: Path, data: ReportData) -> None:
    """Writes ``data`` as one HTML file, atomically.

    Raises:
        OutputError: The file cannot be written.
    """
    html = render(data)
    with replacing(path) as draft:
        draft.write_text(html, encoding="utf-8")


def framed(page: Path) -> str:
    """Returns a written page for a notebook: in a frame, so that its styles stay its own; it runs no scripts.

    Raises:
        DataError: The page is not there any more.
    """
    try:
        html = page.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(f"can't be read ({error.strerror})", where=page) from error
    style = "width: 100%; height: 42rem; border: 1px solid #8888; border-radius: .4rem"
    return f'<iframe sandbox title="{escape(page.name)}" style="{style}" srcdoc="{escape(html)}"></iframe>'


def template_macros(package: str, name: str) -> Any:
    """Returns the macros of a Jinja template as attributes: functions that return HTML for `Section.html`.

    Args:
        package: Package that holds the template, such as ``recurra.tasks.classification``.
        name: File name of the template.
    """
    return _environment(package).get_template(name).module


@cache
def _environment(package: str) -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader(package, "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: "" if value is None else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (count, keep, plain, sentence, share, short)
    environment.filters.update({function.__name__: function for function in filters})
    return environment


def _view(data: ReportData) -> dict[str, Any]:
    """What the template needs besides ``data``: derived texts, positions and charts."""
    interrupted = "Training was interrupted; a longer training may give better results."
    notes = [data.caution, interrupted if data.stopped == "interrupted" else ""]
    notes.append(f"{data.training_note}." if data.training_note else "")
    names = list(dict.fromkeys(name for row in data.history for name in row))
    return {
        "caution": " ".join(filter(None, notes)),
        "bars": _bars(data.bars, data.bars_top),
        "navigation": _navigation(data),
        "figure_columns": _figure_columns,
        "count_names": list(dict.fromkeys(name for part in data.parts for name in part.counts)),
        "training": _training(data),
        "curves": _curves(data),
        "history_names": names,
        "history_rows": [
            {
                "best": row.get("epoch") == data.best_epoch,
                "cells": [_cell(name, row[name]) if name in row else "" for name in names],
            }
            for row in data.history
        ],
        "total": sum(row.parameters for row in data.summary),
        "frozen": sum(row.parameters for row in data.summary if not row.trainable),
        "settings": _flat(data.settings),
    }


def _bars(bars: list[Bar], top: float | None) -> list[dict[str, Any]]:
    """The bars with their positions in percent of the track, which ends at ``top`` or the largest value."""
    end = top or max((bar.value if bar.high is None else bar.high for bar in bars), default=0) or 1

    def position(value: float | None) -> float | None:
        return None if value is None else round(min(100.0, max(0.0, 100 * value / end)), 2)

    return [
        {
            "name": sentence(bar.name),
            "kind": bar.kind,
            "text": bar.text,
            "value": position(bar.value),
            "low": position(bar.low),
            "high": position(bar.high),
        }
        for bar in bars
    ]


def _figure_columns(table: ReportTable) -> list[bool]:
    """Whether each column holds only figures; the first column names the row and never counts as one."""
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.header)
    return [number > 0 and all(map(is_figure, column)) for number, column in enumerate(columns)]


def _navigation(data: ReportData) -> list[tuple[str, str]]:
    """Anchor and title of each section that the page has, in their order."""
    reproducible = data.command or data.seed is not None or data.versions or data.hardware
    sections = [
        *((section.anchor, section.title, True) for section in data.sections),
        ("training", "Training", data.history),
        ("data", "Data", data.data or data.parts or data.warnings),
        ("model", "Model", data.summary),
        ("settings", "Settings", _flat(data.settings)),
        ("reproduce", "How to reproduce", reproducible),
    ]
    return [(anchor, title) for anchor, title, present in sections if present]


def _training(data: ReportData) -> str:
    if not data.history:
        return ""
    epochs = len(data.history)
    reason = {
        "epochs": "all that were requested",
        "patience": "stopped when validation no longer improved",
        "time": "stopped when the minutes were up",
        "interrupted": "interrupted",
    }.get(data.stopped, data.stopped)
    facts = [f"{epochs} {'epoch' if epochs == 1 else 'epochs'}{f' ({reason})' if reason else ''}"]
    if data.best_epoch:
        facts.append(f"the weights are those of epoch {data.best_epoch}")
    if data.plan:
        facts.append(data.plan)
    seconds = [row["seconds"] for row in data.history if isfinite(row.get("seconds", float("nan")))]
    if seconds:
        facts.append(f"{duration(sum(seconds) / len(seconds))} per epoch, {duration(sum(seconds))} in total")
    return "; ".join(facts) + "."


def _curves(data: ReportData) -> list[Chart]:
    if len(data.history) < 2:
        return []  # a single point makes no curve; the table has it
    epochs = [row.get("epoch", place) for place, row in enumerate(data.history, start=1)]
    charts = []
    for key, caption in data.curves.items():
        lines, last = {}, []
        for part, name in (("valid", "validation"), ("train", "training")):
            values = [row.get(f"{part}_{key}", float("nan")) for row in data.history]
            finite = [value for value in values if isfinite(value)]
            if finite:
                lines[name] = values
                last.append(f"{name} {finite[-1]:.3f}")
        if lines:
            title = f"{plain(key)} over {len(epochs)} epochs; at the end: {', '.join(last)}"
            kept = {f"kept: epoch {data.best_epoch}": float(data.best_epoch)} if data.best_epoch else {}
            svg = line_chart(
                epochs, lines, title=title, name=f"curve-{key}", marked=kept, percent=key in _SHARES
            )
            charts.append(Chart(caption=caption, svg=svg))
    return charts


def _cell(name: str, value: float) -> str:
    if not isfinite(value):
        return "–"
    if name in _COUNTS:
        return count(value)
    return f"{value:.2f}" if name == "seconds" else f"{value:.4g}"


def _flat(settings: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Settings as ``section.name`` and value."""
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and value:
            rows += _flat(value, f"{name}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            rows.append((name, text))
    return rows
