"""What is written about a trained classifier for people: its report's data and its model card."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

import numpy as np

from recurra.bundle import ClassifierBundle
from recurra.evaluate.baseline import NgramBaseline
from recurra.evaluate.metrics import Metrics
from recurra.evaluate.report_data import ModelRow, ReportData
from recurra.evaluate.report_data import Part as ReportPart
from recurra.models.summary import summarize
from recurra.runtime import facts
from recurra.tasks.assess import Assessment
from recurra.tasks.prepare import Part, Prepared
from recurra.train.loop import Outcome

__all__ = ["assessed", "model_card", "pretrained_card", "report_data"]

_VERSIONS = ("recurra", "python", "torch", "numpy")


def report_data(
    bundle: ClassifierBundle,
    prepared: Prepared,
    outcome: Outcome,
    found: Assessment,
    baseline: NgramBaseline | None,
    command: str,
) -> ReportData:
    """All that the report of a fit shows."""
    parts = [part for part in (prepared.train, prepared.valid, prepared.test) if part is not None]
    machine = facts()
    config = bundle.config
    return ReportData(
        **assessed(bundle, found),
        title=f"{found.model_name.removeprefix('the ')} on {PurePath(prepared.train.where).name}",
        baseline_note=baseline.note if baseline else "",
        data={
            "file": prepared.train.where,
            "columns": f"{' + '.join(config.data.text or [])} -> {config.data.label}",
            "classes": str(len(bundle.labels.names)),
            "vocabulary": f"{bundle.tokenizer.vocab_size:,} entries, from the training rows only",
            "text cut to": f"{config.tokenizer.max_tokens:,} tokens, at its {config.tokenizer.cut}",
        },
        parts=[_part(part, bundle) for part in parts],
        history=[{k: float(v) for k, v in record.row().items()} for record in outcome.history],
        best_epoch=outcome.best_epoch,
        stopped=outcome.stopped,
        ngrams=baseline.strongest(bundle.labels.names) if baseline else {},
        settings=config.plain(),
        command=command,
        seed=config.train.seed,
        versions={name: machine[name] for name in _VERSIONS},
        hardware={name: value for name, value in machine.items() if name not in _VERSIONS},
    )


def assessed(bundle: ClassifierBundle, found: Assessment) -> dict[str, Any]:
    """The fields of a report that any assessment fills, of a fit or of a saved model."""
    return {
        "model_name": found.model_name,
        "created": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "task": bundle.labels.task,
        "class_names": list(bundle.labels.names),
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
        "summary": [
            ModelRow(
                name=row.name,
                layer=row.layer,
                output_shape=row.output_shape,
                parameters=row.parameters,
                trainable=row.trainable,
            )
            for row in summarize(bundle.model).rows
        ],
    }


def _part(part: Part, bundle: ClassifierBundle) -> ReportPart:
    classes = len(bundle.labels.names)
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
    return f"""# {found.model_name.removeprefix("the ")}: {", ".join(bundle.labels.names[:12])}

A text classifier ({bundle.labels.task}) made with recurra, {datetime.now(UTC):%Y-%m-%d};
recipe `{config.recipe}`, {summarize(bundle.model).total:,} parameters.

| on {found.metrics.rows:,} {found.part} rows | accuracy (95% interval) | macro-F1 |
|---|---|---|
{chr(10).join(figures)}
{verdict}{began_from(bundle)}
## Use

    recurra predict . --text "..."
    recurra evaluate . DATA

## Limits

It knows {bundle.tokenizer.vocab_size:,} words of the texts it was trained on and reads the first or last
{config.tokenizer.max_tokens:,} of a text. On texts of another kind, place or time its figures will differ:
measure there first. `report.html` shows its worst mistakes and how far its probabilities can be trusted.
"""


def pretrained_card(bundle: ClassifierBundle, seconds: float) -> str:
    """``README.md`` of a model that was trained to begin others from: it was never tested."""
    labels = bundle.labels
    return f"""# Pretrained: {", ".join(labels.names[:12])}

A network trained with `recurra pretrain` ({labels.task}), {datetime.now(UTC):%Y-%m-%d}, in {seconds:,.0f} s,
for others to begin from: {bundle.tokenizer.vocab_size:,} words, {bundle.config.model.embedding} numbers each.
It answers as any model does, but was never tested: `recurra evaluate . DATA` measures it.
{began_from(bundle)}
## Use

    recurra fit DATA --pretrained .
    recurra fit DATA --pretrained . --freeze
"""


def began_from(bundle: ClassifierBundle) -> str:
    """A paragraph on what training began from; nothing where it began from nothing."""
    found = bundle.pretrained
    if found is None:
        return ""
    train = bundle.config.train
    layers = f" and its lowest recurrent layers ({found['layers']})" if found["layers"] else ""
    then = "trained on"
    if train.freeze:
        then = "left as they were"
    elif train.unfreeze_after is not None:
        then = f"left as they were for {train.unfreeze_after} epochs"
    return f"""
Its word vectors{layers} were taken from `{found["name"]}` and {then}.
SHA-256 of its weights: `{found["sha256"]}`.
It had {found["words"]:,} of {found["vocabulary"]:,} words, {100 * found["token_share"]:.1f}% of the tokens.
"""


def _figures(name: str, m: Metrics) -> str:
    interval = f"{100 * m.accuracy_low:.2f} to {100 * m.accuracy_high:.2f}"
    return f"| {name} | {100 * m.accuracy:.2f}% ({interval}) | {m.macro_f1:.3f} |"
