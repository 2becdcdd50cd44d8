"""The headline figure and the decisions of a classifier on labelled rows, and their part of the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.measure.charts import line_chart
from recurra.measure.formatting import count, sentence, share
from recurra.measure.headline import Figure
from recurra.measure.metrics import Metrics, wilson_interval
from recurra.measure.operating import Answering, Operating, answering_curve, operating_curve
from recurra.measure.report import Chart, ReportTable, Section
from recurra.tasks.classification.decisions import Decision

__all__ = ["Decisions", "decision_sections", "decisions_of", "headline_lead"]

_LEAST_ROWS = 20  # rows below which a curve says nothing
_LEAST_OF_CLASS = 5


@dataclass(frozen=True)
class Decisions:
    """How a classifier decides, on labelled rows.

    Attributes:
        decision: the decision of the model; None for the most probable class of each row.
        answering: accuracy by the share of rows answered; empty for multi-label and few rows.
        smallest: the name of the class with the fewest rows, 5 at least; "" if there is none.
        operating: its precision and recall by threshold.
        answered: number of rows that are answered; None if all are.
        right: number of right answers among these.
        rows: number of rows.
    """

    decision: Decision | None
    answering: list[Answering]
    smallest: str
    operating: list[Operating]
    answered: int | None
    right: int
    rows: int

    def as_json(self) -> dict[str, Any]:
        """Returns the figures as JSON values."""
        return {
            "decision": None if self.decision is None else self.decision.as_json(),
            "answered": self.answered,
            "right": self.right,
            "answering": [point._asdict() for point in self.answering],
            "smallest_class": self.smallest or None,
            "operating": [point._asdict() for point in self.operating],
        }

    def sentence(self) -> str:
        """Returns how many rows are answered and how many of these right; "" if all are."""
        if self.answered is None:
            return ""
        if not self.answered:
            return f"None of {self.rows:,} rows is answered."
        low, high = wilson_interval(self.right, self.answered)
        return (
            f"{self.answered:,} of {self.rows:,} rows ({share(self.answered / self.rows)}) are answered, and "
            f"{share(self.right / self.answered)} of these right (95% interval {100 * low:.1f} to "
            f"{100 * high:.1f})."
        )


def decisions_of(
    decision: Decision | None,
    truth: NDArray[Any],
    p: NDArray[np.float64],
    chosen: NDArray[np.int64],
    names: Sequence[str],
) -> Decisions:
    """Returns the figures of decisions on rows.

    Args:
        decision: that of the model.
        truth: classes (N,), or zeros and ones (N, C).
        p: probabilities (N, C).
        chosen: the predictions, in the form of ``truth``.
        names: the classes.
    """
    multilabel, rows = truth.ndim == 2, len(p)
    marks = truth > 0 if multilabel else truth.astype(np.int64)[:, None] == np.arange(len(names))
    support = marks.sum(axis=0)
    enough = np.flatnonzero(support >= _LEAST_OF_CLASS)
    smallest = int(enough[np.argmin(support[enough])]) if len(enough) and rows >= _LEAST_ROWS else None
    operating = [] if smallest is None else operating_curve(p[:, smallest], marks[:, smallest])
    answering, answered, right = [], None, 0
    if not multilabel:
        confidence, hits = p[np.arange(rows), chosen], chosen == truth
        if rows >= _LEAST_ROWS:
            answering = answering_curve(confidence, hits)
        if decision is not None and decision.abstain is not None:
            given = decision.answered(p, chosen)
            answered, right = int(given.sum()), int(hits[given].sum())
    name = "" if smallest is None else str(names[smallest])
    return Decisions(decision, answering, name, operating, answered, right, rows)


def decision_sections(d: Decisions, names: Sequence[str], headline: Figure | None) -> list[Section]:
    """Returns the section on decisions; none for few rows."""
    charts, tables = [], []
    if d.answering:
        abstain = d.decision.abstain if d.decision is not None else None
        at = next((point.share for point in reversed(d.answering) if point.threshold >= (abstain or 0)), None)
        charts.append(
            Chart(
                caption="Accuracy if only the answers with the highest confidence are given",
                svg=line_chart(
                    [point.share for point in d.answering],
                    {"accuracy": [point.accuracy for point in d.answering]},
                    bands={"accuracy": ([p.low for p in d.answering], [p.high for p in d.answering])},
                    title="Accuracy by the share of rows that are answered, with 95% intervals",
                    name="answering",
                    x_label="share answered",
                    y_label="accuracy",
                    marked={"of this model": at} if abstain is not None and at is not None else None,
                    percent=True,
                ),
            )
        )
        tables.append(_answering_table(d.answering))
    if len(d.operating) > 1:
        charts.append(_operating_chart(d))
        tables.append(_operating_table(d))
    sentences = []
    if d.decision is not None:
        sentences.append(d.decision.sentence(names))
    sentences.append(d.sentence())
    if headline is not None and headline.value is not None:
        sentences.append(f"The first figure of this report is the {headline.title}: {headline.text}.")
    paragraphs = [" ".join(filter(None, sentences))]
    if not charts:
        return []
    return [
        Section(
            anchor="decisions",
            title="Decisions",
            paragraphs=[paragraph for paragraph in paragraphs if paragraph],
            charts=charts,
            tables=tables,
            notes=[
                "Intervals are those of Wilson, each for its own threshold: a threshold that is chosen here "
                "needs other rows to be measured. recurra decide fits thresholds on the validation rows."
            ],
        )
    ]


def headline_lead(headline: Figure, model_name: str, m: Metrics, part: str) -> str:
    """Returns the first sentences of a report whose headline is another figure than the accuracy."""
    rows = f"{m.rows:,} {part} {'row' if m.rows == 1 else 'rows'}"
    what = "all labels of" if m.label_kind == "multilabel" else "on"
    return (
        f"{sentence(model_name)} has {_article(headline.title)} of {headline.text} on {rows}. It is right "
        f"{what} {share(m.accuracy)} of them "
        f"(95% interval {100 * m.accuracy_low:.1f} to {100 * m.accuracy_high:.1f})."
    )


def _article(title: str) -> str:
    """Returns ``title`` with its article.

    Example:
        >>> _article("AUC"), _article("macro-F1"), _article("F1 of spam")
        ('an AUC', 'a macro-F1', 'an F1 of spam')
    """
    return f"{'an' if title.startswith(('A', 'F', 'a')) else 'a'} {title}"


def _answering_table(points: Sequence[Answering]) -> ReportTable:
    shown = [point for number, point in enumerate(points, 1) if number % 2 == 0 or number == len(points)]
    return ReportTable(
        caption="Accuracy by the share of rows answered",
        header=["Answered", "From confidence", "Accuracy", "95% interval"],
        rows=[
            [
                share(p.share),
                share(p.threshold),
                share(p.accuracy),
                f"{100 * p.low:.1f} to {100 * p.high:.1f}",
            ]
            for p in shown
        ],
        folded=True,
    )


def _operating_chart(d: Decisions) -> Chart:
    points = d.operating
    return Chart(
        caption=f"Precision and recall of {d.smallest}, the smallest class, by its threshold",
        svg=line_chart(
            [point.threshold for point in points],
            {
                "precision": [point.precision for point in points],
                "recall": [point.recall for point in points],
            },
            bands={
                "precision": ([p.precision_low for p in points], [p.precision_high for p in points]),
                "recall": ([p.recall_low for p in points], [p.recall_high for p in points]),
            },
            title=f"Precision and recall of {d.smallest} by the probability from which on it is predicted",
            name="operating",
            x_label="predicted from this probability on",
            percent=True,
        ),
    )


def _operating_table(d: Decisions) -> ReportTable:
    return ReportTable(
        caption=f"Precision and recall of {d.smallest} by threshold",
        header=["From probability", "Predicted", "Precision", "95% interval", "Recall", "95% interval"],
        rows=[
            [
                share(p.threshold),
                count(p.predicted),
                share(p.precision),
                f"{100 * p.precision_low:.1f} to {100 * p.precision_high:.1f}",
                share(p.recall),
                f"{100 * p.recall_low:.1f} to {100 * p.recall_high:.1f}",
            ]
            for p in d.operating
        ],
        folded=True,
    )
