"""The words, rounded numbers and charts of a report, made from its data; the template only places them."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

from recurra.measure.charts import line_chart
from recurra.measure.report_data import Bar, Chart, ReportData, ReportTable
from recurra.measure.report_numbers import count, duration, is_figure, plain, sentence
from recurra.tasks.classification import report_view as report_classifier

__all__ = ["view"]

_COUNTS = ("epoch", "step")
_SHARES = ("accuracy", "macro_f1", "auc")


def view(data: ReportData) -> dict[str, Any]:
    """All that the template shows and ``data`` doesn't hold as it stands."""
    names, rows = _history(data)
    found = report_classifier.heading(data)
    bars = data.bars or found["bars"]
    label = data.bars_label if data.bars else "Accuracy, with 95% intervals"
    return {
        **report_classifier.view(data),
        "lead": data.lead or found["lead"],
        "verdict": data.verdict or found["verdict"],
        "verdict_kind": data.verdict_kind if data.verdict else found["verdict_kind"],
        "caution": " ".join(filter(None, (data.caution, found["caution"], _interrupted(data)))),
        "bars": _bars(bars, top=data.bars_top if data.bars else 100),
        "bars_label": label,
        "navigation": _navigation(data),
        "figure_columns": _figure_columns,
        "training": _training(data),
        "curves": _curves(data),
        "history_names": names,
        "history_rows": rows,
        "total": sum(row.parameters for row in data.summary),
        "frozen": sum(row.parameters for row in data.summary if not row.trainable),
        "settings": _flat(data.settings),
    }


def _interrupted(data: ReportData) -> str:
    return "Training was interrupted; a longer one may do better." if data.stopped == "interrupted" else ""


def _bars(bars: list[Bar], top: float | None) -> list[dict[str, Any]]:
    """The bars with their places in percent of the track, whose end is ``top`` or the largest value."""
    most = top or max((bar.value if bar.high is None else bar.high for bar in bars), default=0) or 1

    def place(value: float) -> float:
        return round(min(100.0, max(0.0, 100 * value / most)), 2)

    shown: list[dict[str, Any]] = []
    for bar in bars:
        left = right = None
        if bar.low is not None and bar.high is not None:
            left, right = place(bar.low), place(bar.high)
        drawn = {"name": sentence(bar.name), "kind": bar.kind, "text": bar.text}
        shown.append({**drawn, "value": place(bar.value), "low": left, "high": right})
    return shown


def _figure_columns(table: ReportTable) -> list[bool]:
    """Which columns hold figures alone and are set to the right; the first one names the row."""
    columns = list(zip(*table.rows, strict=True)) or [()] * len(table.header)
    return [number > 0 and all(map(is_figure, column)) for number, column in enumerate(columns)]


def _navigation(data: ReportData) -> list[tuple[str, str]]:
    m = data.metrics
    present = {
        ("figures", "Figures"): m is not None,
        **{(section.anchor, section.title): True for section in data.sections},
        ("data", "Data"): bool(data.data or data.parts or data.warnings),
        ("training", "Training"): bool(data.history),
        ("classes", "Classes"): m is not None,
        ("calibration", "Calibration"): bool(data.reliability_before or data.reliability_after),
        ("explanations", "Explained predictions"): bool(data.explanations),
        ("mistakes", "Worst mistakes"): bool(data.mistakes) or (m is not None and m.accuracy == 1),
        ("ngrams", "What the baseline goes by"): bool(data.ngrams),
        ("model", "Model"): bool(data.summary),
        ("settings", "Settings"): bool(_flat(data.settings)),
        ("reproduce", "To get the same again"): bool(
            data.command or data.seed is not None or data.versions or data.hardware
        ),
    }
    return [section for section, there in present.items() if there]


def _training(data: ReportData) -> str:
    if not data.history:
        return ""
    done = len(data.history)
    why = {
        "epochs": "all that were asked for",
        "patience": "stopped when validation got no better",
        "interrupted": "interrupted",
    }.get(data.stopped, data.stopped)
    words = [f"{done} {'epoch' if done == 1 else 'epochs'}{f' ({why})' if why else ''}"]
    if data.best_epoch:
        words.append(f"the weights are those of epoch {data.best_epoch}")
    seconds = [row["seconds"] for row in data.history if isfinite(row.get("seconds", float("nan")))]
    if seconds:
        words.append(f"{duration(sum(seconds) / len(seconds))} an epoch, {duration(sum(seconds))} in all")
    return "; ".join(words) + "."


def _curves(data: ReportData) -> list[Chart]:
    if len(data.history) < 2:
        return []  # one point is no curve: the table says it
    epochs = [row.get("epoch", place) for place, row in enumerate(data.history, start=1)]
    charts = []
    for key, caption in data.curves.items():
        lines = {}
        for part, name in (("valid", "validation"), ("train", "training")):
            values = [row.get(f"{part}_{key}", float("nan")) for row in data.history]
            if any(map(isfinite, values)):
                lines[name] = values
        if lines:
            last = ", ".join(f"{name} {_last(values):.3f}" for name, values in lines.items())
            title = f"{plain(key)} over {len(epochs)} epochs; at the end: {last}"
            kept = {f"kept: epoch {data.best_epoch}": float(data.best_epoch)} if data.best_epoch else {}
            svg = line_chart(
                epochs, lines, title=title, name=f"curve-{key}", marked=kept, percent=key in _SHARES
            )
            charts.append(Chart(caption=caption, svg=svg))
    return charts


def _last(values: list[float]) -> float:
    return [value for value in values if isfinite(value)][-1]


def _history(data: ReportData) -> tuple[list[str], list[dict[str, Any]]]:
    names = list(dict.fromkeys(name for row in data.history for name in row))
    rows = [
        {
            "best": row.get("epoch") == data.best_epoch,
            "cells": [_cell(name, row[name]) if name in row else "" for name in names],
        }
        for row in data.history
    ]
    return names, rows


def _cell(name: str, value: float) -> str:
    if not isfinite(value):
        return "–"
    if name in _COUNTS or name == "tokens_per_second":
        return count(value)
    return f"{value:.2f}" if name == "seconds" else f"{value:.4g}"


def _flat(settings: dict[str, Any], before: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in settings.items():
        name = f"{before}{key}"
        if isinstance(value, dict) and value:
            rows += _flat(value, f"{name}.")
        else:
            shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
            rows.append((name, shown))
    return rows
