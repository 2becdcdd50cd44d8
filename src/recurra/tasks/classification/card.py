"""What is written about a trained classifier for people: its report's data and its model card."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

import numpy as np

from recurra.layers.summary import summarize
from recurra.measure.metrics import Metrics
from recurra.measure.report_data import Part as ReportPart
from recurra.measure.report_data import ReportData
from recurra.tasks.card import began_from, network_fields, today, training_fields
from recurra.tasks.classification.assess import Assessment
from recurra.tasks.classification.baseline import NgramBaseline
from recurra.tasks.classification.bundle import ClassifierBundle
from recurra.tasks.classification.prepare import ClassifierData
from recurra.tasks.texts import Part
from recurra.train.loop import Outcome

__all__ = ["evaluation_report", "model_card", "report_data"]


def report_data(
    bundle: ClassifierBundle,
    prepared: ClassifierData,
    outcome: Outcome,
    found: Assessment,
    baseline: NgramBaseline | None,
    command: str,
) -> ReportData:
    """All that the report of a fit shows."""
    parts = [part for part in (prepared.train, prepared.valid, prepared.test) if part is not None]
    config = bundle.config
    fields = {
        **_assessed(bundle, found),
        **training_fields(config, outcome, command),
        "title": f"{found.model_name.removeprefix('the ')} on {prepared.source_name}",
        "baseline_note": baseline.note if baseline else "",
        "data": {
            "file": prepared.train.where,
            "columns": f"{' + '.join(config.data.text or [])} -> {config.data.label}",
            "classes": str(len(bundle.assets.labels.names)),
            "vocabulary": f"{bundle.assets.tokenizer.vocab_size:,} entries, from the training rows only",
            "text cut to": f"{config.tokenizer.max_tokens:,} tokens, at its {config.tokenizer.cut}",
        },
        "parts": [_part(part, bundle) for part in parts],
        "ngrams": baseline.strongest(bundle.assets.labels.names) if baseline else {},
    }
    return ReportData.model_validate(fields)


def evaluation_report(bundle: ClassifierBundle, found: Assessment, name: str) -> ReportData:
    """The report of a saved classifier on the file called ``name``."""
    title = f"{found.model_name.removeprefix('the ')} on {name}"
    return ReportData.model_validate({"title": title, **_assessed(bundle, found)})


def _assessed(bundle: ClassifierBundle, found: Assessment) -> dict[str, Any]:
    """The fields of a report that any assessment fills, of a fit or of a saved model."""
    return {
        **network_fields(bundle),
        "label_kind": bundle.assets.labels.label_kind,
        "class_names": list(bundle.assets.labels.names),
        "evaluated_on": found.part,
        "metrics": found.metrics,
        "baseline": found.baseline,
        "majority": found.majority,
        "comparison": found.comparison,
        "warnings": [leak] if (leak := found.leak_sentence()) else [],
        "temperature": bundle.temperature,
        "reliability_before": found.before,
        "reliability_after": found.after,
        "mistakes": found.mistakes,
        "explanations": found.explanations,
    }


def _part(part: Part, bundle: ClassifierBundle) -> ReportPart:
    classes = len(bundle.assets.labels.names)
    if part.labels.ndim == 2:
        counts = part.labels.sum(axis=0).astype(int)
    else:
        counts = np.bincount(part.labels.astype(np.int64), minlength=classes)
    full = part.examples.full_lengths[part.rows]
    longer = float((full > bundle.config.tokenizer.max_tokens).mean())
    return ReportPart(
        name=part.name,
        rows=len(part),
        source=PurePath(part.where).name,
        class_counts=counts.tolist(),
        notes=f"median {int(np.median(full)):,} tokens, {100 * longer:.1f}% cut",
    )


def model_card(bundle: ClassifierBundle, found: Assessment) -> str:
    """``README.md`` of a model directory: what it is, how good, how to use it, what it can't do."""
    config = bundle.config
    figures = [_figures(found.model_name, found.metrics)]
    if found.baseline:
        figures.append(_figures("n-gram baseline", found.baseline))
    if found.majority is not None:
        figures.append(f"| always the largest class | {100 * found.majority:.2f}% | |")
    verdict = (
        f"\n{found.comparison.sentence[:1].upper()}{found.comparison.sentence[1:]}.\n"
        if found.comparison
        else ""
    )
    return f"""# {found.model_name.removeprefix("the ")}: {", ".join(bundle.assets.labels.names[:12])}

A text classifier ({bundle.assets.labels.label_kind}) made with recurra, {today()};
recipe `{config.recipe}`, {summarize(bundle.model).total:,} parameters.

| on {found.metrics.rows:,} {found.part} rows | accuracy (95% interval) | macro-F1 |
|---|---|---|
{chr(10).join(figures)}
{verdict}{began_from(bundle)}
## Use

    recurra predict . --text "..."
    recurra evaluate . DATA

## Limits

It knows {bundle.assets.tokenizer.vocab_size:,} words of the texts it was trained on and reads the first
or last {config.tokenizer.max_tokens:,} of a text. On texts of another kind, place or time its figures
will differ: measure there first. `report.html` shows its worst mistakes and how far its probabilities
can be trusted.
"""


def _figures(name: str, m: Metrics) -> str:
    interval = f"{100 * m.accuracy_low:.2f} to {100 * m.accuracy_high:.2f}"
    return f"| {name} | {100 * m.accuracy:.2f}% ({interval}) | {m.macro_f1:.3f} |"
