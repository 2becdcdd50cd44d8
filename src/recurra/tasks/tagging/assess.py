"""Evaluates a tagger and the most frequent tag on one part of the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.measure.calibration import probabilities
from recurra.measure.comparison import Comparison
from recurra.tasks.base import AssessOptions
from recurra.tasks.card import network_name, report_comparison
from recurra.tasks.reporter import Reporter, Tick
from recurra.tasks.tagging.baseline import MostFrequentTag
from recurra.tasks.tagging.batches import TaggedBatches, TaggedSentences
from recurra.tasks.tagging.bundle import TaggerBundle
from recurra.tasks.tagging.entities import (
    EntityFigures,
    Interval,
    SpanComparison,
    compare_spans,
    entity_figures,
)
from recurra.tasks.tagging.figures import (
    Confusion,
    TaggingMetrics,
    compare_words,
    tagging_metrics,
    worst_confusions,
)
from recurra.tasks.tagging.network import tag_logits
from recurra.tasks.tagging.prepare import TaggedPart, scheme_of

__all__ = [
    "EVALUATION_BATCH",
    "TagAssessment",
    "assess",
    "probabilities_of",
    "report_assessment",
    "span_rows",
    "tags_of",
    "with_interval",
]

EVALUATION_BATCH = 128
BASELINE = "the most frequent tag"


@dataclass(frozen=True)
class TagAssessment:
    """Metrics on one part of the data; ``baseline`` and the comparisons are None without a baseline."""

    part: str
    model_name: str
    metrics: TaggingMetrics
    baseline: TaggingMetrics | None
    comparison: Comparison | None
    span_comparison: SpanComparison | None
    """None also if the tags mark no spans, or the F1 of a tagger is undefined."""
    confusions: list[Confusion]
    unknown_tag: str
    """The tag that the baseline predicts for unknown words."""

    def as_json(self) -> dict[str, Any]:
        """Returns the metrics for ``metrics.json`` and ``--json``."""
        return {
            "evaluated_on": self.part,
            "scheme": self.metrics.entities.scheme if self.metrics.entities else None,
            "model": self.metrics.model_dump(mode="json"),
            "baseline": self.baseline.model_dump(mode="json") if self.baseline else None,
            "comparison": self.comparison.model_dump(mode="json") if self.comparison else None,
            "span_comparison": self.span_comparison.model_dump(mode="json") if self.span_comparison else None,
            "confusions": [confusion.model_dump(mode="json") for confusion in self.confusions],
        }


def probabilities_of(
    bundle: TaggerBundle, sentences: TaggedSentences, tick: Tick = lambda rows: None
) -> NDArray[np.float64]:
    """Returns calibrated tag probabilities, sentence after sentence, of shape (words, K)."""
    logits = tag_logits(bundle.model, TaggedBatches(sentences, None, EVALUATION_BATCH), tick)
    return probabilities(logits, "multiclass", bundle.temperature)


def assess(bundle: TaggerBundle, part: TaggedPart, options: AssessOptions) -> TagAssessment:
    """Evaluates ``bundle``, and the most frequent tag if ``options.baseline`` is set, on tagged sentences."""
    names, tags, lengths, words = bundle.assets.labels.names, part.tags, part.lengths, part.words
    name = network_name(bundle.config.model)
    known = words.among(bundle.assets.counts.words)
    with options.counting("testing", len(part)) as tick:
        proba = probabilities_of(bundle, part.numbers, tick)
    predicted = proba.argmax(axis=1)
    most_frequent = MostFrequentTag(bundle.assets.counts.words, names)
    scheme = scheme_of(bundle.config, [part.sentences]).scheme

    def metrics(proba: NDArray[np.float64]) -> TaggingMetrics:
        spans = None if scheme is None else entity_figures(*tags_of(part, proba, names), scheme)
        return tagging_metrics(tags, proba, names, lengths, known, spans)

    baseline = comparison = span_comparison = None
    if options.baseline:
        baseline_proba = most_frequent.predict_part(words)
        baseline = metrics(baseline_proba)
        correct, baseline_correct = predicted == tags, baseline_proba.argmax(axis=1) == tags
        comparison = compare_words(correct, baseline_correct, lengths, name, BASELINE)
        if scheme is not None:
            true, said = tags_of(part, proba, names)
            span_comparison = compare_spans(
                true, said, tags_of(part, baseline_proba, names)[1], (name, BASELINE)
            )
    return TagAssessment(
        part.name,
        name,
        metrics(proba),
        baseline,
        comparison,
        span_comparison,
        worst_confusions(tags, predicted, words, names),
        most_frequent.unknown_tag,
    )


def span_rows(columns: Sequence[EntityFigures]) -> list[list[str]]:
    """Returns the rows of a table that compares the metrics of whole spans, with their intervals."""

    def row(name: str, value: Callable[[EntityFigures], tuple[float | None, Interval | None]]) -> list[str]:
        return [name, *(with_interval(*value(column)) for column in columns)]

    scheme = columns[0].scheme
    return [
        row("precision of spans", lambda column: (column.precision, column.precision_interval)),
        row("recall of spans", lambda column: (column.recall, column.recall_interval)),
        row(f"F1 of spans ({scheme})", lambda column: (column.f1, column.f1_interval)),
        row("F1 of spans, strict", lambda column: (column.strict.f1, column.strict.f1_interval)),
    ]


def with_interval(figure: float | None, interval: Interval | None) -> str:
    """Returns a figure of spans and its interval; a dash if it is undefined.

    Example:
        >>> with_interval(0.8, (0.75, 0.85)), with_interval(None, None)
        ('0.800 (0.750 to 0.850)', '-')
    """
    if figure is None or interval is None:
        return "-"
    low, high = interval
    return f"{figure:.3f} ({low:.3f} to {high:.3f})"


def tags_of(
    part: TaggedPart, proba: NDArray[np.float64], names: Sequence[str]
) -> tuple[list[Sequence[str]], list[Sequence[str]]]:
    """Returns the true and the predicted tags of each sentence."""
    chosen = np.array(names, object)[proba.argmax(axis=1)]
    ends = np.cumsum(part.lengths)[:-1]
    true: list[Sequence[str]] = [*part.sentences.tag_sequences()]
    return true, [tags.tolist() for tags in np.split(chosen, ends)]


def report_assessment(assessment: TagAssessment, reporter: Reporter) -> None:
    """Reports the metrics, the comparison as a sentence, and the most frequent confusions."""
    m = assessment.metrics
    unknown = "" if m.unknown is None else f", {m.unknown.count:,} of them unknown"
    header = [
        f"{assessment.part}, {m.words.count:,} words{unknown}",
        assessment.model_name.removeprefix("the "),
    ]
    models = [m]
    if assessment.baseline is not None:
        header.append(BASELINE.removeprefix("the "))
        models.append(assessment.baseline)
    rows = [
        ["words right", *(m.words.text for m in models)],
        ["  known words", *(m.known.text if m.known else "-" for m in models)],
        ["  unknown words", *(m.unknown.text if m.unknown else "-" for m in models)],
        ["whole sentences right", *(m.sentences.text for m in models)],
        ["macro-F1", *(f"{m.macro_f1:.3f}" for m in models)],
        ["log loss", *(f"{m.log_loss:.3f}" for m in models)],
        ["calibration error", *(f"{m.ece:.3f}" for m in models)],
    ]
    if m.entities is not None:
        rows += span_rows([model.entities for model in models if model.entities])
    reporter.table("", header, rows)
    report_comparison(assessment.comparison, reporter)
    report_comparison(assessment.span_comparison, reporter)
    if assessment.confusions:
        reporter.table(
            "",
            ["tag", "taken for", "times", "words"],
            [[c.true, c.predicted, f"{c.count:,}", " ".join(c.words)] for c in assessment.confusions[:5]],
        )
