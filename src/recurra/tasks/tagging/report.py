"""The report and the model card of a trained tagger."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from recurra.measure.formatting import count, percent, percents, sentence
from recurra.measure.report import Bar, ReportTable, Section
from recurra.tasks.card import caution, model_card, part_row, use_in_card, verdict_fields
from recurra.tasks.tagging.assess import BASELINE, TagAssessment, span_rows, with_interval
from recurra.tasks.tagging.bundle import TaggerBundle
from recurra.tasks.tagging.entities import EntityFigures, SpanComparison
from recurra.tasks.tagging.figures import Share, TaggingMetrics
from recurra.tasks.tagging.prepare import TaggedPart, TaggerData, scheme_of
from recurra.tasks.tagging.schemes import FoundScheme

__all__ = ["USE", "card", "fit_fields", "report_fields"]

USE = {
    'recurra predict MODEL --text "..."': "tag a sentence",
    "recurra predict MODEL SENTENCES": "tag a file",
    "recurra evaluate MODEL DATA": "measure it on other data",
}
"""What a model is used for, by command."""

_LONG = 30  # tags beyond which their table is folded


def fit_fields(bundle: TaggerBundle, prepared: TaggerData, assessment: TagAssessment) -> dict[str, Any]:
    """Returns the fields of the report of a fit that show data and training."""
    vocabulary = bundle.assets.vocabulary
    source = bundle.assets.source.describe() if bundle.assets.source else {}
    return {
        "data": {
            **source,
            "tags": str(len(bundle.assets.labels.names)),
            "scheme": scheme_of(bundle.config, ()).text,
            "vocabulary": f"{len(vocabulary.words):,} words and {len(vocabulary.characters):,} characters, "
            "from the training sentences only",
        },
        "parts": [part_row(part, len(part), _facts(part, bundle)) for part in prepared.parts],
        "curves": {
            "loss": "Loss per word, in nats: lower is better",
            "accuracy": "Words with the right tag: higher is better",
        },
    }


def report_fields(
    bundle: TaggerBundle, assessment: TagAssessment, name: str, baseline: None
) -> dict[str, Any]:
    """Returns the fields of a report that show an assessment on the file called ``name``."""
    title, m, b = assessment.model_name.removeprefix("the "), assessment.metrics, assessment.baseline
    bars = [
        _bar("model", title, m.words),
        _bar("baseline", "most frequent tag", b.words if b else None),
        _bar("model", f"{title}, unknown words", m.unknown),
        _bar("baseline", "most frequent tag, unknown words", b.unknown if b else None),
    ]
    return {
        "title": f"{title} on {name}",
        "lead": f"{sentence(assessment.model_name)} gives {percent(m.words.accuracy)} of {m.words.count:,} "
        f"{assessment.part} words the right tag (95% interval {percents(m.words.low, m.words.high)}).",
        **verdict_fields(assessment.comparison),
        "caution": caution(assessment.part, m.sentences.count, "sentences", "ones"),
        "bars": [bar for bar in bars if bar is not None],
        "bars_label": "Words with the right tag, in percent: higher is better",
        "sections": _sections(assessment),
    }


def _sections(assessment: TagAssessment) -> list[Section]:
    m, b = assessment.metrics, assessment.baseline
    columns = [m] if b is None else [m, b]
    header = ["", assessment.model_name.removeprefix("the "), "most frequent tag"][: 1 + len(columns)]
    figures = [
        ["words with the right tag", *(_whole(column.words) for column in columns)],
        ["known words", *(_whole(column.known) for column in columns)],
        ["unknown words", *(_whole(column.unknown) for column in columns)],
        ["sentences without a mistake", *(_whole(column.sentences) for column in columns)],
        ["macro-F1", *(f"{column.macro_f1:.3f}" for column in columns)],
        ["log loss, in nats per word", *(f"{column.log_loss:.3f}" for column in columns)],
        ["calibration error", *(f"{100 * column.ece:.2f}%" for column in columns)],
    ]
    if m.entities is not None:
        figures += span_rows([column.entities for column in columns if column.entities])
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
    if m.entities is None:
        paragraphs.append(f"Scheme of spans: {FoundScheme(None).text}.")
    sections = [
        Section(
            anchor="figures",
            title="Figures",
            paragraphs=paragraphs,
            tables=[ReportTable(header=header, rows=figures)],
            half=True,
        ),
        Section(anchor="tags", title="Tags", tables=[_tags_table(m)], half=True),
    ]
    if m.entities is not None:
        sections.append(_spans(m.entities, assessment.span_comparison))
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
            count(tag.support),
            count(tag.predicted),
            *map(_three, (tag.precision, tag.recall, tag.f1)),
        ]
        for tag in sorted(m.tags, key=lambda tag: -tag.support)
        if tag.support or tag.predicted
    ]
    return ReportTable(
        caption=f"{len(rows)} tags, the most frequent first",
        header=["tag", "words", "predicted", "precision", "recall", "F1"],
        rows=rows,
        folded=len(rows) > _LONG,
    )


def _spans(entities: EntityFigures, comparison: SpanComparison | None) -> Section:
    rows = [[kind, count(spans), *map(_three, figures)] for kind, (*figures, spans) in entities.kinds.items()]
    for name, total in (("all", entities), ("all, strict", entities.strict)):
        shares = (
            (total.precision, total.precision_interval),
            (total.recall, total.recall_interval),
            (total.f1, total.f1_interval),
        )
        rows.append([name, count(total.entities), *(with_interval(*share) for share in shares)])
    return Section(
        anchor="spans",
        title="Whole spans",
        paragraphs=[
            f"The tags have the scheme {entities.scheme}. A span is right if its kind and both its ends are "
            "right. Spans are counted as by conlleval and by seqeval's default mode; in the strict mode, "
            "spans that break the scheme are not counted. The 95% intervals are "
            "from a bootstrap over sentences (2,000 rounds).",
            *([f"{comparison.sentence}."] if comparison else []),
        ],
        tables=[ReportTable(header=["kind", "spans", "precision", "recall", "F1"], rows=rows)],
    )


def _facts(part: TaggedPart, bundle: TaggerBundle) -> str:
    words = part.words
    unknown = (~words.among(bundle.assets.counts.words)).mean()
    median = int(np.median(part.lengths))
    return f"{len(words):,} words, median {median:,} per sentence, {100 * unknown:.1f}% unknown"


def card(bundle: TaggerBundle, assessment: TagAssessment) -> str:
    """Returns the model card."""
    names, m = bundle.assets.labels.names, assessment.metrics
    rows = f"on {m.words.count:,} {assessment.part} words"
    scheme = m.entities.scheme if m.entities else None
    spans = [f"F1 of spans ({scheme}; 95% interval)"] if scheme else []
    table = [[rows, "all words (95% interval)", "unknown words", "macro-F1", *spans]]
    for name, metrics in ((assessment.model_name, m), (BASELINE, assessment.baseline)):
        if metrics is not None:
            unknown = percent(metrics.unknown.accuracy) if metrics.unknown else ""
            f1 = (
                [with_interval(metrics.entities.f1, metrics.entities.f1_interval)] if metrics.entities else []
            )
            table.append([name, metrics.words.text, unknown, f"{metrics.macro_f1:.3f}", *f1])
    few = ", ".join(names[:20]) + (f", ... ({len(names)} in all)" if len(names) > 20 else "")
    return model_card(
        bundle,
        title=f"{assessment.model_name.removeprefix('the ')}: a tag for each word",
        kind="A tagger",
        about=f"Its tags: {few}.\nScheme of spans: {scheme or 'none'}.\n",
        table=table,
        verdict=assessment.comparison.sentence if assessment.comparison else "",
        note=f"\n{assessment.span_comparison.sentence}.\n" if assessment.span_comparison else "",
        use=f"""\
{use_in_card(USE)}
SENTENCES has one sentence per line with words separated by spaces, or the format of the training file.
""",
        limits=f"""\
The vocabulary has {len(bundle.assets.vocabulary.words):,} words of the training sentences; other words are
represented by their characters. Words must be split as in the training sentences. The figures will differ on
texts of another kind or time: measure the model on such texts first. `report.html` shows the figures of each
tag and the most frequent confusions.
""",
    )


def _bar(kind: Literal["model", "baseline"], name: str, share: Share | None) -> Bar | None:
    if share is None:
        return None
    value, low, high = (100 * figure for figure in (share.accuracy, share.low, share.high))
    return Bar(kind=kind, name=name, value=value, low=low, high=high, text=share.text)


def _whole(share: Share | None) -> str:
    return "" if share is None else f"{share.text} of {share.count:,}"


def _three(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
