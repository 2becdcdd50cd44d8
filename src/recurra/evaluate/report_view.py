"""The words, rounded numbers and charts of a report, made from its data; the template only places them."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

from markupsafe import Markup

from recurra.evaluate.charts import line_chart, reliability_chart
from recurra.evaluate.explain import to_html
from recurra.evaluate.metrics import Metrics
from recurra.evaluate.report_data import ReportData
from recurra.evaluate.report_numbers import count, duration, sentence, share, three

__all__ = ["view"]

_COLUMNS = 6  # more classes than this don't get a column each in the table of parts
_MATRIX = 30  # nor, beyond this, a confusion matrix that anyone could read
_COUNTS = ("epoch", "step")


def view(data: ReportData) -> dict[str, Any]:
    """All that the template shows and ``data`` doesn't hold as it stands."""
    wide = len(data.class_names) > _COLUMNS
    counted = any(part.class_counts for part in data.parts)
    names, rows = _history(data)
    return {
        "lead": _lead(data),
        **_verdict(data),
        "caution": _caution(data),
        "bars": _bars(data),
        "sections": _sections(data),
        "model_short": sentence(data.model_name.removeprefix("the ")),
        "figures": _figures(data),
        "count_names": [] if wide or not counted else data.class_names,
        "count_rows": _count_rows(data) if wide and counted else [],
        "training": _training(data),
        "curves": _curves(data),
        "history_names": names,
        "history_rows": rows,
        "confusion": _confusion(data),
        "pairs": _pairs(data),
        "reliability": _reliability(data),
        "calibration": _calibration(data),
        "explanations": _explanations(data),
        "ngrams": _ngrams(data),
        "total": sum(row.parameters for row in data.summary),
        "frozen": sum(row.parameters for row in data.summary if not row.trainable),
        "settings": _flat(data.settings),
    }


def _lead(data: ReportData) -> str:
    m = data.metrics
    if m is None:
        return "Trained, but not measured: there were no labelled rows to test it on."
    what = "gets all labels right on" if data.task == "multilabel" else "is right on"
    return (
        f"{sentence(data.model_name)} {what} {share(m.accuracy)} of {m.rows:,} {data.evaluated_on} "
        f"{'row' if m.rows == 1 else 'rows'} ({_interval(m)})."
    )


def _interval(m: Metrics) -> str:
    return f"95% interval {100 * m.accuracy_low:.1f} to {100 * m.accuracy_high:.1f}"


def _verdict(data: ReportData) -> dict[str, str]:
    found = data.comparison
    if found is None:
        if data.metrics is None or data.majority is None:
            return {"verdict": "", "verdict_kind": ""}
        gain = 100 * (data.metrics.accuracy - data.majority)
        side = "above" if gain >= 0 else "below"
        return {
            "verdict": f"That is {abs(gain):.1f} points {side} always saying the largest class. "
            "There is no baseline to compare it with.",
            "verdict_kind": "",
        }
    kind = "" if not found.shown else "good" if found.difference > 0 else "bad"
    line = sentence(found.sentence) + "."
    if not found.shown:
        line += " On these rows neither is better."
    elif found.difference < 0:
        line += " On this data the baseline is the better choice as it stands."
    return {"verdict": line, "verdict_kind": kind}


def _caution(data: ReportData) -> str:
    notes = []
    if data.metrics is not None and data.evaluated_on != "test":
        notes.append(
            f"These are {data.evaluated_on} rows, which also chose the epoch: "
            "expect a little less on new texts."
        )
    if data.metrics is not None and data.metrics.rows < 100:
        notes.append("So few rows say little: mind the interval.")
    if data.stopped == "interrupted":
        notes.append("Training was interrupted; a longer one may do better.")
    return " ".join(notes)


def _bars(data: ReportData) -> list[dict[str, Any]]:
    if data.metrics is None:
        return []
    shown = [("model", sentence(data.model_name.removeprefix("the ")), data.metrics)]
    if data.baseline is not None:
        shown.append(("baseline", "N-gram baseline", data.baseline))
    bars: list[dict[str, Any]] = [
        {
            "kind": kind,
            "name": name,
            "value": round(100 * m.accuracy, 2),
            "low": round(100 * m.accuracy_low, 2),
            "high": round(100 * m.accuracy_high, 2),
            "text": f"{share(m.accuracy)} ({100 * m.accuracy_low:.1f} to {100 * m.accuracy_high:.1f})",
        }
        for kind, name, m in shown
    ]
    if data.majority is not None:
        value = round(100 * data.majority, 2)
        bars.append(
            {
                "kind": "majority",
                "name": "Largest class",
                "value": value,
                "low": None,
                "high": None,
                "text": share(data.majority),
            }
        )
    return bars


def _sections(data: ReportData) -> list[tuple[str, str]]:
    m = data.metrics
    present = {
        ("figures", "Figures"): m is not None,
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


def _figures(data: ReportData) -> list[dict[str, str]]:
    m, b = data.metrics, data.baseline
    if m is None:
        return []
    multi = data.task == "multilabel"
    rows: list[tuple[str, str, str]] = [
        ("accuracy", "Accuracy", "Rows with every label right." if multi else "Rows predicted right."),
        ("interval", "95% interval", "Where the accuracy on all such texts lies, by these rows (Wilson)."),
        ("macro_f1", "Macro-F1", "Mean F1 of the classes: small classes count as much as large ones."),
        ("micro_f1", "Micro-F1", "F1 over all labels of all rows together."),
        ("auc", "AUC", _auc_meaning(data.task)),
        ("log_loss", "Log loss", "How bad the probabilities are, in nats: lower is better, 0 is perfect."),
        ("ece", "Calibration error", 'How far "80% sure" is from right in 80% of cases: lower is better.'),
    ]

    def cell(metrics: Metrics | None, key: str) -> str:
        if metrics is None:
            return ""
        if key == "interval":
            return f"{100 * metrics.accuracy_low:.2f} to {100 * metrics.accuracy_high:.2f}"
        value = getattr(metrics, key)
        return f"{100 * value:.2f}%" if key in ("accuracy", "ece") else three(value)

    return [
        {"name": name, "model": cell(m, key), "baseline": cell(b, key), "meaning": meaning}
        for key, name, meaning in rows
        if key != "micro_f1" or multi
    ]


def _auc_meaning(task: str) -> str:
    if task == "binary":
        return "Chance that a row of the second class is ranked above one of the first; 0.5 is guessing."
    return "Chance that a row of a class is ranked above one that isn't, mean over classes; 0.5 is guessing."


def _count_rows(data: ReportData) -> list[tuple[str, list[str]]]:
    return [
        (name, [count(p.class_counts[c]) if c < len(p.class_counts) else "" for p in data.parts])
        for c, name in enumerate(data.class_names)
    ]


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


def _curves(data: ReportData) -> list[dict[str, Any]]:
    if len(data.history) < 2:
        return []  # one point is no curve: the table says it
    epochs = [row.get("epoch", place) for place, row in enumerate(data.history, start=1)]
    charts = []
    for key, caption, percent in (
        ("loss", "Loss, in nats: lower is better", False),
        ("accuracy", "Accuracy: higher is better", True),
    ):
        lines = {}
        for part, name in (("train", "training"), ("valid", "validation")):
            values = [row.get(f"{part}_{key}", float("nan")) for row in data.history]
            if any(map(isfinite, values)):
                lines[name] = values
        if lines:
            last = ", ".join(f"{name} {_last(values):.3f}" for name, values in lines.items())
            title = f"{key} over {len(epochs)} epochs; at the end: {last}"
            svg = line_chart(
                epochs, lines, title=title, name=f"curve-{key}", marked=data.best_epoch, percent=percent
            )
            charts.append({"caption": caption, "svg": svg})
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


def _confusion(data: ReportData) -> list[dict[str, Any]]:
    if data.metrics is None or not data.metrics.confusion or len(data.class_names) > _MATRIX:
        return []
    rows = []
    for i, (name, counts) in enumerate(zip(data.class_names, data.metrics.confusion, strict=True)):
        total = sum(counts)
        cells = [
            {
                "kind": "hit" if i == j else "miss",
                "count": n,
                "shade": round(100 * n / total, 1) if total else 0,
                "share": share(n / total) if total else "",
            }
            for j, n in enumerate(counts)
        ]
        rows.append({"name": name, "cells": cells})
    return rows


def _pairs(data: ReportData) -> list[dict[str, Any]]:
    if data.metrics is None or not data.metrics.confusion or len(data.class_names) <= 2:
        return []
    found = [
        (n, i, j)
        for i, counts in enumerate(data.metrics.confusion)
        for j, n in enumerate(counts)
        if i != j and n
    ]
    found.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    return [
        {
            "true": data.class_names[i],
            "predicted": data.class_names[j],
            "count": n,
            "share": share(n / sum(data.metrics.confusion[i])),
        }
        for n, i, j in found[:10]
    ]


def _reliability(data: ReportData) -> Markup | None:
    curves = {}
    if data.reliability_before is not None:
        curves["as trained"] = data.reliability_before
    if data.reliability_after is not None:
        curves["with temperature"] = data.reliability_after
    if not curves:
        return None
    told = "; ".join(f"{name}: calibration error {share(curve.ece)}" for name, curve in curves.items())
    return reliability_chart(curves, title=f"Reliability diagram. {told}", name="reliability")


def _calibration(data: ReportData) -> str:
    words = []
    before, after = data.reliability_before, data.reliability_after
    if data.temperature is not None:
        habit = "too sure of itself" if data.temperature > 1 else "too modest"
        if abs(data.temperature - 1) < 0.05:
            habit = "honest already"
        words.append(
            f"The temperature fitted on the validation rows is {data.temperature:.2f}: as trained, the model "
            f"was {habit} there."
        )
    if before is not None and after is not None:
        words.append(
            f"On these rows the calibration error goes from {share(before.ece)} to {share(after.ece)}."
        )
    elif before is not None or after is not None:
        only = before if before is not None else after
        words.append(f"The calibration error on these rows is {share(only.ece if only else None)}.")
    return " ".join(words)


def _explanations(data: ReportData) -> list[dict[str, Any]]:
    shown = []
    for e in data.explanations:
        top = sorted((p for p in e.parts if p.contribution), key=lambda p: -abs(p.contribution))[:5]
        shown.append(
            {
                "label": e.label,
                "probability": share(e.probability),
                "true": e.true,
                "verdict": "" if e.true is None else "right" if e.true == e.label else "wrong",
                "row": None if e.row is None else count(e.row),
                "html": to_html(e),
                "strongest": [(p.text, f"{p.contribution:+.2f}".replace("-", "−")) for p in top],
                "note": sentence(e.note),
            }
        )
    return shown


def _ngrams(data: ReportData) -> list[dict[str, Any]]:
    groups = []
    for name, items in data.ngrams.items():
        most = max((abs(weight) for _, weight in items), default=0.0) or 1.0
        shown = [(word, f"{weight:.1f}", round(100 * abs(weight) / most)) for word, weight in items]
        groups.append({"name": name, "ngrams": shown})
    return groups


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
