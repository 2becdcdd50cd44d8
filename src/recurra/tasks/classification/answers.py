"""Predictions of a classifier for texts, computed in chunks with constant memory."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain, islice
from typing import Any

import numpy as np

from recurra.errors import ConfigError
from recurra.measure.metrics import predicted_labels
from recurra.tasks.answers import MOST_CLASSES, Answers
from recurra.tasks.base import PredictRequest
from recurra.tasks.classification.assets import ClassifierBundle
from recurra.tasks.classification.decisions import UNSURE, Decision, unsure_name
from recurra.tasks.classification.outputs import predict_texts
from recurra.tasks.requested_rows import RequestedRows, rows_of
from recurra.tasks.texts import skipped_in_words
from recurra.tasks.work import Records, Work, answered

__all__ = ["answers"]

EMPTY, NO_WORDS = "empty text", "no known word"
"""The notes on a text that says nothing to the model."""
DECIMALS = 6  # of a probability
TOP = 5  # beyond, those of this many


def answers(bundle: ClassifierBundle, request: PredictRequest) -> Answers:
    """Returns the label and the class probabilities of each text of a request.

    The label is the most probable class, or what the model decides otherwise, and its probability the
    ``confidence``; below the confidence of the option ``abstain``, or that of the model, it is ``unsure``.
    For multi-label, the label
    is the list of the classes with a probability of at least their threshold, or the class itself if there is
    only one.
    Probabilities are written for texts, and for a file with the option ``probabilities``; of more than 100
    classes those of the five most probable, unless the option ``all_classes`` is set.
    The ``note`` marks a text that is empty or has no known word or n-gram: its label is a guess by the other
    texts.
    """
    rows = rows_of(request, bundle.assets.source, bundle.config.data)
    names = bundle.assets.labels.names
    sure = [] if bundle.assets.labels.label_kind == "multilabel" else ["confidence"]
    every = bool(request.options.get("all_classes"))
    some = len(names) > MOST_CLASSES and not every
    if not (request.texts or every or request.options.get("probabilities")):
        classes, cells, hidden = [], _first_cells, frozenset({"probabilities", "other_classes"})
    elif some:
        classes = [f"{what}_{place}" for place in range(1, TOP + 1) for what in ("class", "p")]
        cells, hidden = _top_cells, frozenset()
    else:
        classes, cells, hidden = [f"p_{name}" for name in names], _cells, frozenset()
    abstain = request.options.get("abstain")
    if abstain is not None:
        bundle = replace(bundle, assets=replace(bundle.assets, decision=_abstaining(bundle, abstain)))
    warnings: list[str] = []
    counts = {"rows": 0}

    def watch(records: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        return _counted(records, counts, warnings, rows, unsure_name(names))

    parts = ((rows.heads(chunk), chunk.texts) for chunk in rows.chunks)
    work = Work(bundle, parts, functools.partial(_answered, some=some), watch)
    return Answers(
        ["row", "label", *sure, "note", *classes],
        answered(work),
        cells,
        warnings,
        rows.columns,
        one_each=not bundle.config.data.skip_bad_rows,
        hidden=hidden,
        work=work,
        counts=counts,
    )


def _answered(bundle: ClassifierBundle, texts: Sequence[str], *, some: bool) -> list[Records]:
    """Returns one record for each text.

    With ``some``, a record has only the probabilities of the most probable and of the predicted classes, the
    most probable first, and the number of the others as ``other_classes``.
    """
    names, multilabel = bundle.assets.labels.names, bundle.assets.labels.label_kind == "multilabel"
    tokenizer, limits = bundle.assets.tokenizer, bundle.assets.limits
    decision, unsure = bundle.assets.decision or Decision(), unsure_name(names)
    nothing = (tokenizer.start_id, tokenizer.unknown_id)
    encoded = tokenizer.encode(texts)
    probabilities = predict_texts(bundle, texts, encoded.ids)
    predicted = predicted_labels(probabilities, bundle.assets.labels.label_kind, limits)
    sure = None if multilabel else decision.answered(probabilities, predicted)
    answers: list[Records] = []
    for at, (text, ids, unknown, p) in enumerate(
        zip(texts, encoded.ids, encoded.unknown, probabilities, strict=True)
    ):
        record: dict[str, Any] = {}
        chosen = np.flatnonzero(predicted[at]) if multilabel else [predicted[at]]
        labels = [names[c] for c in chosen]
        record["label"] = labels[0] if len(labels) == 1 else labels
        if sure is not None:
            record["confidence"] = round(float(p[predicted[at]]), DECIMALS)
            if not sure[at]:
                record["label"] = unsure
        if all(id in nothing for id in ids.tolist()) and not _ngrams(bundle, text):
            record["note"] = NO_WORDS if unknown else EMPTY
        shown: Sequence[int] = range(len(names))
        if some:
            order = np.argsort(-p, kind="stable")
            shown = [*order[:TOP], *order[TOP:][np.isin(order[TOP:], chosen)]]
        record["probabilities"] = {names[c]: round(float(p[c]), DECIMALS) for c in shown}
        if some:
            record["other_classes"] = len(names) - len(shown)
        answers.append([record])
    return answers


def _counted(
    records: Iterator[dict[str, Any]],
    counts: dict[str, int],
    warnings: list[str],
    rows: RequestedRows,
    unsure: str,
) -> Iterator[dict[str, Any]]:
    """Yields the records, counts them and their notes, and at the end adds what to warn of."""
    first: dict[str, int] = {}
    for record in records:
        counts["rows"] += 1
        if record["label"] == unsure:
            counts[UNSURE] = counts.get(UNSURE, 0) + 1
        if note := record.get("note"):
            counts[note] = counts.get(note, 0) + 1
            first.setdefault(note, record["row"])
        yield record
    if counts.get(UNSURE):
        warnings.append(f"{counts[UNSURE]:,} of {counts['rows']:,} answers are {unsure}")
    for note, row in first.items():
        texts = "1 answer is" if counts[note] == 1 else f"{counts[note]:,} answers are"
        warnings.append(f"{texts} marked {note!r} (first: row {row:,}): it does not depend on the text")
    warnings += skipped_in_words(rows.skipped)


def _abstaining(bundle: ClassifierBundle, abstain: Any) -> Decision:
    """Returns the decision of the model with another confidence below which it does not answer."""
    if bundle.assets.labels.label_kind == "multilabel":
        raise ConfigError(
            "a row of several labels has no single confidence", where="--abstain", hint="leave it out"
        )
    if not isinstance(abstain, int | float) or not 0 <= abstain <= 1:
        raise ConfigError(f"is {abstain!r}", where="--abstain", hint="give a confidence from 0 to 1")
    return replace(bundle.assets.decision or Decision(), abstain=float(abstain), fitted=None)


def _ngrams(bundle: ClassifierBundle, text: str) -> bool:
    """Whether the n-grams count and know one of the text."""
    experts = bundle.assets.experts
    return experts is not None and experts.ngrams_used and bool(experts.ngrams.explain(text))


def _cells(record: Mapping[str, Any]) -> list[Any]:
    return [*_first_cells(record), *record["probabilities"].values()]


def _top_cells(record: Mapping[str, Any]) -> list[Any]:
    pairs = islice(record["probabilities"].items(), TOP)
    return [*_first_cells(record), *chain.from_iterable(pairs)]


def _first_cells(record: Mapping[str, Any]) -> list[Any]:
    label = record["label"]
    joined = label if isinstance(label, str) else "|".join(label)
    sure = [record["confidence"]] if "confidence" in record else []
    return [record["row"], joined, *sure, record.get("note", "")]
