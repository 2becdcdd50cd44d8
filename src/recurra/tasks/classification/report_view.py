"""The words, rounded numbers and charts that only a classifier's report has, made from its metrics."""

from __future__ import annotations

from typing import Any, Literal

from markupsafe import Markup

from recurra.measure.charts import reliability_chart
from recurra.measure.explain import to_html
from recurra.measure.metrics import Metrics
from recurra.measure.report_data import Bar, ReportData
from recurra.measure.report_numbers import count, sentence, share, three

__all__ = ["heading", "view"]

_COLUMNS = 6  # more classes than this don't get a column each in the table of parts
_MATRIX = 30  # nor, beyond this, a confusion matrix that anyone could read


def heading(data: ReportData) -> dict[str, Any]:
    """Lead, verdict, caution and bars at the top of the page, where the data has none of its own."""
    return {"lead": _lead(data), **_verdict(data), "caution": _caution(data), "bars": _bars(data)}


def view(data: ReportData) -> dict[str, Any]:
    """What a classifier's sections show."""
    wide = len(data.class_names) > _COLUMNS
    counted = any(part.class_counts for part in data.parts)
    return {
        "model_short": sentence(data.model_name.removeprefix("the ")),
        "figures": _figures(data),
        "count_names": [] if wide or not counted else data.class_names,
        "count_rows": _count_rows(data) if wide and counted else [],
        "confusion": _confusion(data),
        "pairs": _pairs(data),
        "reliability": _reliability(data),
        "calibration": _calibration(data),
        "explanations": _explanations(data),
        "ngrams": _ngrams(data),
    }


def _lead(data: ReportData) -> str:
    m = data.metrics
    if m is None:
        return "Trained, but not measured: there were no labelled rows to test it on."
    what = "gets all labels right on" if data.label_kind == "multilabel" else "is right on"
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
    return " ".join(notes)


def _bars(data: ReportData) -> list[Bar]:
    if data.metrics is None:
        return []
    bars = [_bar("model", data.model_name.removeprefix("the "), data.metrics)]
    if data.baseline is not None:
        bars.append(_bar("baseline", "N-gram baseline", data.baseline))
    if data.majority is not None:
        text = share(data.majority)
        bars.append(Bar(kind="majority", name="Largest class", value=100 * data.majority, text=text))
    return bars


def _bar(kind: Literal["model", "baseline"], name: str, m: Metrics) -> Bar:
    low, high = 100 * m.accuracy_low, 100 * m.accuracy_high
    text = f"{share(m.accuracy)} ({low:.1f} to {high:.1f})"
    return Bar(kind=kind, name=name, value=100 * m.accuracy, low=low, high=high, text=text)


def _figures(data: ReportData) -> list[dict[str, str]]:
    m, b = data.metrics, data.baseline
    if m is None:
        return []
    multi = data.label_kind == "multilabel"
    rows: list[tuple[str, str, str]] = [
        ("accuracy", "Accuracy", "Rows with every label right." if multi else "Rows predicted right."),
        ("interval", "95% interval", "Where the accuracy on all such texts lies, by these rows (Wilson)."),
        ("macro_f1", "Macro-F1", "Mean F1 of the classes: small classes count as much as large ones."),
        ("micro_f1", "Micro-F1", "F1 over all labels of all rows together."),
        ("auc", "AUC", _auc_meaning(data.label_kind)),
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


def _auc_meaning(label_kind: str) -> str:
    if label_kind == "binary":
        return "Chance that a row of the second class is ranked above one of the first; 0.5 is guessing."
    return "Chance that a row of a class is ranked above one that isn't, mean over classes; 0.5 is guessing."


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


def _count_rows(data: ReportData) -> list[tuple[str, list[str]]]:
    return [
        (name, [count(p.class_counts[c]) if c < len(p.class_counts) else "" for p in data.parts])
        for c, name in enumerate(data.class_names)
    ]
