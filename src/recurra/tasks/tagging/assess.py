"""A trained tagger measured on one part of the data, with the most frequent tag beside it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recurra.measure.calibration import probabilities
from recurra.measure.comparison import Comparison
from recurra.tasks.base import AssessOptions
from recurra.tasks.card import network_name
from recurra.tasks.reporter import Reporter
from recurra.tasks.tagging.baseline import MostFrequentTag
from recurra.tasks.tagging.batches import TaggedBatches, TaggedSentences
from recurra.tasks.tagging.bundle import TaggerBundle
from recurra.tasks.tagging.figures import (
    Confusion,
    Share,
    TaggingMetrics,
    compare_words,
    tagging_metrics,
    worst_confusions,
)
from recurra.tasks.tagging.network import tag_logits
from recurra.tasks.tagging.prepare import TaggedPart

__all__ = ["EVALUATION_BATCH", "TagAssessment", "assess", "probabilities_of", "report_assessment"]

EVALUATION_BATCH = 128
BASELINE = "the most frequent tag"


@dataclass(frozen=True)
class TagAssessment:
    """Figures on one part of the data; ``baseline`` and ``comparison`` are None where it was not wanted."""

    part: str
    model_name: str
    metrics: TaggingMetrics
    baseline: TaggingMetrics | None
    comparison: Comparison | None
    confusions: list[Confusion]
    unknown_tag: str
    """The tag that the baseline gives to an unknown word."""

    def as_json(self) -> dict[str, Any]:
        """The figures that ``metrics.json`` and ``--json`` hold."""
        return {
            "evaluated_on": self.part,
            "model": self.metrics.model_dump(mode="json"),
            "baseline": self.baseline.model_dump(mode="json") if self.baseline else None,
            "comparison": self.comparison.model_dump(mode="json") if self.comparison else None,
            "confusions": [one.model_dump(mode="json") for one in self.confusions],
        }


def probabilities_of(bundle: TaggerBundle, sentences: TaggedSentences) -> NDArray[np.float64]:
    """``(words, K)`` calibrated probabilities of the tags, sentence after sentence."""
    logits = tag_logits(bundle.model, TaggedBatches(sentences, None, EVALUATION_BATCH))
    return probabilities(logits, "multiclass", bundle.temperature)


def assess(bundle: TaggerBundle, part: TaggedPart, options: AssessOptions) -> TagAssessment:
    """Measure ``bundle`` on tagged sentences, and the most frequent tag of training on the same if wanted."""
    names, tags, lengths, words = bundle.assets.labels.names, part.tags, part.lengths, part.words
    name = network_name(bundle.config.model)
    known = np.array([word in bundle.assets.counts.words for word in words], bool)
    found = probabilities_of(bundle, part.numbers)
    chosen = found.argmax(axis=1)
    other = MostFrequentTag(bundle.assets.counts.words, names)
    theirs = comparison = None
    if options.baseline:
        shares = other.predict_proba(words)
        theirs = tagging_metrics(tags, shares, names, lengths, known)
        right, their_right = chosen == tags, shares.argmax(axis=1) == tags
        comparison = compare_words(right, their_right, lengths, name, BASELINE)
    return TagAssessment(
        part.name,
        name,
        tagging_metrics(tags, found, names, lengths, known),
        theirs,
        comparison,
        worst_confusions(tags, chosen, words, names),
        other.unknown_tag,
    )


def report_assessment(found: TagAssessment, reporter: Reporter) -> None:
    """The figures side by side, the verdict in words, and what was confused most."""
    columns = [(found.model_name.removeprefix("the "), found.metrics)]
    if found.baseline is not None:
        columns.append((BASELINE.removeprefix("the "), found.baseline))
    figures: list[tuple[str, Callable[[TaggingMetrics], str]]] = [
        ("words right", lambda m: _share(m.words)),
        ("  known words", lambda m: _share(m.known)),
        ("  unknown words", lambda m: _share(m.unknown)),
        ("whole sentences right", lambda m: _share(m.sentences)),
        ("macro-F1", lambda m: f"{m.macro_f1:.3f}"),
        ("log loss", lambda m: f"{m.log_loss:.3f}"),
        ("calibration error", lambda m: f"{m.ece:.3f}"),
    ]
    if found.metrics.entities is not None:
        figures.append(("F1 of whole spans", lambda m: f"{(m.entities.f1 if m.entities else None) or 0:.3f}"))
    m = found.metrics
    unknown = "" if m.unknown is None else f", {m.unknown.count:,} of them unknown"
    header = [f"{found.part}, {m.words.count:,} words{unknown}", *(name for name, _ in columns)]
    reporter.table("", header, [[name, *(show(metrics) for _, metrics in columns)] for name, show in figures])
    if found.comparison is not None:
        sentence = found.comparison.sentence
        reporter.note(f"{sentence[:1].upper()}{sentence[1:]}.")
    if found.confusions:
        reporter.table(
            "",
            ["tag", "taken for", "times", "words"],
            [
                [one.true, one.predicted, f"{one.count:,}", " ".join(one.words)]
                for one in found.confusions[:5]
            ],
        )


def _share(found: Share | None) -> str:
    if found is None:
        return "-"
    return f"{100 * found.accuracy:.2f}% ({100 * found.low:.2f} to {100 * found.high:.2f})"
