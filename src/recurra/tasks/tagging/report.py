"""The report and the model card of a trained tagger."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import numpy as np

from recurra.layers.summary import summarize
from recurra.measure.formatting import sentence
from recurra.measure.report import Bar, ReportData, ReportTable, Section
from recurra.measure.report import Part as ReportPart
from recurra.tasks.card import began_from, network_fields, today, training_fields
from recurra.tasks.tagging.assess import BASELINE, TagAssessment
from recurra.tasks.tagging.bundle import TaggerBundle
from recurra.tasks.tagging.figures import Share, TaggingMetrics
from recurra.tasks.tagging.prepare import TaggedPart, TaggerData
from recurra.train.loop import Outcome

__all__ = ["evaluation_report", "model_card", "report_data"]

_LONG = 30  # tags beyond which their table is folded


def report_data(
    bundle: TaggerBundle,
    ready: TaggerData,
    outcome: Outcome,
    assessment: TagAssessment,
    baseline: object,
    command: str,
) -> ReportData:
    """Returns the report of a fit."""
    parts = [part for part in (ready.train, ready.valid, ready.test) if part is not None]
    vocabulary = bundle.assets.vocabulary
    source = bundle.assets.source.describe() if bundle.assets.source else {}
    fields = {
        **_assessed(bundle, assessment),
        **training_fields(bundle.config, outcome, command),
        "title": f"{assessment.model_name.removeprefix('the ')} on {ready.source_name}",
        "data": {
            **source,
            "tags": str(len(bundle.assets.labels.names)),
            "vocabulary": f"{len(vocabulary.words):,} words and {len(vocabulary.characters):,} characters, "
            "from the training sentences only",
        },
        "parts": [_part(part, bundle) for part in parts],
        "curves": {
            "loss": "Loss per word, in nats: lower is better",
            "accuracy": "Words with the right tag: higher is better",
        },
    }
    return ReportData.model_validate(fields)


def evaluation_report(bundle: TaggerBundle, assessment: TagAssessment, name: str) -> ReportData:
    """Returns the report of a saved tagger on the file called ``name``."""
    title = f"{assessment.model_name.removeprefix('the ')} on {name}"
    return ReportData.model_validate({**_assessed(bundle, assessment), "title": title})


def _assessed(bundle: TaggerBundle, assessment: TagAssessment) -> dict[str, Any]:
    """Returns the fields of a report that show an assessment."""
    m, comparison = assessment.metrics, assessment.comparison
    bars = [_bar("model", assessment.model_name.removeprefix("the "), m.words)]
    if assessment.baseline is not None:
        bars.append(_bar("baseline", "most frequent tag", assessment.baseline.words))
    if m.unknown is not None:
        bars.append(_bar("model", f"{assessment.model_name.removeprefix('the ')}, unknown words", m.unknown))
        if assessment.baseline is not None and assessment.baseline.unknown is not None:
            bars.append(_bar("baseline", "most frequent tag, unknown words", assessment.baseline.unknown))
    kind = (
        "" if comparison is None or not comparison.shown else "good" if comparison.difference > 0 else "bad"
    )
    cautions = []
    if assessment.part != "test":
        cautions.append(
            f"These are {assessment.part} sentences, which also chose the epoch: expect slightly lower "
            "figures on new ones."
        )
    if m.sentences.count < 100:
        cautions.append("There are few sentences: note the width of the interval.")
    return {
        **network_fields(bundle),
        "lead": f"{sentence(assessment.model_name)} gives {_percent(m.words)} of {m.words.count:,} "
        f"{assessment.part} words the right tag (95% interval {_ends(m.words)}).",
        "verdict": "" if comparison is None else f"{sentence(comparison.sentence)}.",
        "verdict_kind": kind,
        "caution": " ".join(cautions),
        "bars": bars,
        "bars_label": "Words with the right tag, in percent: higher is better",
        "sections": _sections(assessment),
    }


def _sections(assessment: TagAssessment) -> list[Section]:
    m, b = assessment.metrics, assessment.baseline
    columns: list[TaggingMetrics] = [m] if b is None else [m, b]
    header = ["", assessment.model_name.removeprefix("the ")] + ([] if b is None else ["most frequent tag"])
    figures = [
        ["words with the right tag", *(_whole(column.words) for column in columns)],
        ["known words", *(_whole(column.known) for column in columns)],
        ["unknown words", *(_whole(column.unknown) for column in columns)],
        ["sentences without a mistake", *(_whole(column.sentences) for column in columns)],
        ["macro-F1", *(f"{column.macro_f1:.3f}" for column in columns)],
        ["log loss, in nats per word", *(f"{column.log_loss:.3f}" for column in columns)],
        ["calibration error", *(f"{100 * column.ece:.2f}%" for column in columns)],
    ]
    known, unknown = (0 if share is None else share.count for share in (m.known, m.unknown))
    paragraphs = [
        f"{known:,} of the words occur in the training sentences in the same form (known words), {unknown:,} "
        "do not (unknown words). The words of one sentence are not independent, so the intervals are "
        "computed over sentences (Wilson's interval with the effective number of words).",
    ]
    if b is not None:
        paragraphs.append(
            f"The baseline gives each word {BASELINE} that it has in training, and an unknown word "
            f"{assessment.unknown_tag}, the most frequent tag of the words that occur once."
        )
    if m.foreign:
        paragraphs.append(
            f"{m.foreign:,} words have a tag that does not occur in training; they count as wrong."
        )
    sections = [
        Section(
            anchor="figures",
            title="Figures",
            paragraphs=paragraphs,
            tables=[ReportTable(header=header, rows=figures)],
        ),
        Section(anchor="tags", title="Tags", tables=[_tags_table(m)]),
    ]
    if m.entities is not None:
        sections.append(_spans(m))
    if assessment.confusions:
        rows = [
            [c.true, c.predicted, f"{c.count:,}", f"{100 * c.share:.1f}%", " ".join(c.words)]
            for c in assessment.confusions
        ]
        table = ReportTable(header=["tag", "predicted as", "times", "of all mistakes", "words"], rows=rows)
        sections.append(Section(anchor="confusions", title="Most frequent confusions", tables=[table]))
    return sections


def _tags_table(m: TaggingMetrics) -> ReportTable:
    rows = [
        [
            tag.name,
            f"{tag.support:,}",
            f"{tag.predicted:,}",
            _three(tag.precision),
            _three(tag.recall),
            _three(tag.f1),
        ]
        for tag in sorted(m.tags, key=lambda tag: -tag.support)
        if tag.support or tag.predicted
    ]
    header = ["tag", "words", "predicted", "precision", "recall", "F1"]
    return ReportTable(
        caption=f"{len(rows)} tags, the most frequent first",
        header=header,
        rows=rows,
        folded=len(rows) > _LONG,
    )


def _spans(m: TaggingMetrics) -> Section:
    entities = m.entities
    assert entities is not None  # noqa: S101  # checked by the caller
    rows = [
        [kind, f"{count:,}", _three(precision), _three(recall), _three(f1)]
        for kind, (precision, recall, f1, count) in entities.kinds.items()
    ]
    rows.append(
        [
            "all",
            f"{entities.entities:,}",
            _three(entities.precision),
            _three(entities.recall),
            _three(entities.f1),
        ]
    )
    return Section(
        anchor="spans",
        title="Whole spans",
        paragraphs=["A span is right if its kind and both its ends are right."],
        tables=[ReportTable(header=["kind", "spans", "precision", "recall", "F1"], rows=rows)],
    )


def _part(part: TaggedPart, bundle: TaggerBundle) -> ReportPart:
    words = part.words
    unknown = sum(word not in bundle.assets.counts.words for word in words) / len(words)
    return ReportPart(
        name=part.name,
        rows=len(part),
        source=PurePath(part.where).name,
        notes=f"{len(words):,} words, median {int(np.median(part.lengths)):,} per sentence, "
        f"{100 * unknown:.1f}% unknown",
    )


def model_card(bundle: TaggerBundle, assessment: TagAssessment) -> str:
    """Returns ``README.md`` of a model directory: what the model is, its figures, its use and its limits."""
    config, names = bundle.config, bundle.assets.labels.names
    words = assessment.metrics.words.count
    rows = [_card_row(assessment.model_name, assessment.metrics)]
    if assessment.baseline is not None:
        rows.append(_card_row(BASELINE, assessment.baseline))
    verdict = f"\n{sentence(assessment.comparison.sentence)}.\n" if assessment.comparison else ""
    few = ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
    return f"""# {assessment.model_name.removeprefix("the ")}: a tag for each word

A tagger made with recurra, {today()}; recipe `{config.recipe}`, {summarize(bundle.model).total:,} parameters.
Its tags: {few}.

| on {words:,} {assessment.part} words | all words (95% interval) | unknown words | macro-F1 |
|---|---|---|---|
{chr(10).join(rows)}
{verdict}{began_from(bundle)}
## Use

    recurra predict . SENTENCES
    recurra predict . --text "..."
    recurra evaluate . DATA

SENTENCES has one sentence per line with words separated by spaces, or the format of the training file.

## Limits

The vocabulary has {len(bundle.assets.vocabulary.words):,} words of the training sentences; other words are
represented by their characters. Words must be split as in the training sentences. The figures will differ on
texts of another kind or time: measure the model on such texts first. `report.html` shows the figures of each
tag and the most frequent confusions.
"""


def _card_row(name: str, m: TaggingMetrics) -> str:
    unknown = "" if m.unknown is None else _percent(m.unknown)
    return f"| {name} | {_percent(m.words)} ({_ends(m.words)}) | {unknown} | {m.macro_f1:.3f} |"


def _bar(kind: str, name: str, share: Share) -> Bar:
    return Bar.model_validate(
        {
            "kind": kind,
            "name": name,
            "value": 100 * share.accuracy,
            "low": 100 * share.low,
            "high": 100 * share.high,
            "text": f"{_percent(share)} ({_ends(share)})",
        }
    )


def _whole(share: Share | None) -> str:
    return "" if share is None else f"{_percent(share)} ({_ends(share)}) of {share.count:,}"


def _percent(share: Share) -> str:
    return f"{100 * share.accuracy:.2f}%"


def _ends(share: Share) -> str:
    return f"{100 * share.low:.2f} to {100 * share.high:.2f}"


def _three(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
