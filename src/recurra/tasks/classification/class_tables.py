"""The part of a classifier's report about each class: tables, confusion matrix, most frequent confusions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from recurra.measure.formatting import count, share, three
from recurra.measure.metrics import Metrics
from recurra.measure.report import ReportTable, Section

__all__ = ["COLUMNS", "LISTED", "class_sections", "frequent", "of_all"]

COLUMNS = 6
"""Classes that get a column each in a table."""
LISTED = 60
"""Classes beyond which a table has the most frequent ones alone."""
_WORST = 20
_MATRIX = 30  # classes beyond which a confusion matrix is not readable


def class_sections(
    m: Metrics, names: Sequence[str], macros: Any, thresholds: NDArray[np.float64] | None = None
) -> list[Section]:
    """Returns the figures of each class and the confusion matrix, a section of its own if it is wide.

    Of many classes, the most frequent ones and those with the lowest F1 are listed.
    """
    listed = frequent(m, LISTED)
    caption = of_all(len(listed), len(names)).removeprefix(": ").capitalize()
    tables = [_class_table(m, listed, thresholds, caption)]
    if len(listed) < len(names):
        known = [c for c, figures in enumerate(m.classes) if figures.f1 is not None and figures.support]
        worst = sorted(known, key=lambda c: (m.classes[c].f1, -m.classes[c].support))[:_WORST]
        caption = f"The {len(worst)} with the lowest F1, the most frequent first"
        tables.append(_class_table(m, worst, thresholds, caption))
    notes = [
        "Precision: share of the rows predicted as this class that are of it. Recall: share of its rows "
        "that were predicted as it. A dash: undefined, since there is no such row."
    ]
    if thresholds is not None:
        notes.append(
            "Threshold: the probability from which on the label is predicted. It has the highest F1 on the "
            "validation rows; predict and evaluate use it."
        )
    few = len(names) <= COLUMNS
    confusion = macros.confusion(names, _confusion(m, names), _pairs(m, names))
    classes = Section(
        anchor="classes",
        title="Classes",
        tables=tables,
        notes=notes,
        html=confusion if few else Markup(""),
        half=True,
    )
    if few or not confusion.strip():
        return [classes]
    return [classes, Section(anchor="confusion", title="Confusion", html=confusion)]


def _class_table(
    m: Metrics, listed: Sequence[int], thresholds: NDArray[np.float64] | None, caption: str
) -> ReportTable:
    header = ["Class", "Rows", "Predicted", "Precision", "Recall", "F1", "AUC"]
    rows = [
        [
            c.name,
            count(c.support),
            count(c.predicted),
            share(c.precision),
            share(c.recall),
            share(c.f1),
            three(c.auc),
        ]
        for c in (m.classes[number] for number in listed)
    ]
    if thresholds is not None:
        header.append("Threshold")
        rows = [[*row, share(thresholds[number])] for row, number in zip(rows, listed, strict=True)]
    return ReportTable(caption=caption, header=header, rows=rows)


def _confusion(m: Metrics, names: Sequence[str]) -> list[dict[str, Any]]:
    if not m.confusion or len(names) > _MATRIX:
        return []
    rows = []
    for i, (name, counts) in enumerate(zip(names, m.confusion, strict=True)):
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


def _pairs(m: Metrics, names: Sequence[str]) -> list[dict[str, Any]]:
    """The most frequent confusions of a true and a predicted class, where there are more than two classes."""
    return [{**pair.model_dump(), "share": share(pair.share)} for pair in m.confused if len(names) > 2]


def frequent(m: Metrics, limit: int) -> list[int]:
    """Returns the most frequent classes, in the order of the classes."""
    support = np.array([c.support for c in m.classes])
    return sorted(np.argsort(-support, kind="stable")[:limit].tolist())


def of_all(listed: int, classes: int) -> str:
    """Returns the end of a caption that says what is listed; nothing if all are."""
    return f": the {listed} most frequent of {classes:,}" if listed < classes else ""
