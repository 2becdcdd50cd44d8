"""Precision, recall and F1 of whole spans, such as the names of a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from pydantic import BaseModel

from recurra.tasks.tagging.schemes import Scheme, Span, lenient

__all__ = ["EntityFigures", "SpanFigures", "entity_figures"]


class SpanFigures(BaseModel):
    """Precision, recall and F1 of spans with correct start, end and kind; None if undefined.

    ``entities`` is the number of true spans. ``kinds`` has ``(precision, recall, f1, number of true spans)``
    for each kind of span.
    """

    entities: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None
    kinds: dict[str, tuple[float | None, float | None, float | None, int]]


class EntityFigures(SpanFigures):
    """Metrics of spans in the named scheme, as ``conlleval`` and seqeval's default mode count them.

    ``strict`` has the same metrics of the spans that follow the scheme (seqeval's strict mode): a span that
    breaks it is then not predicted.
    """

    scheme: str
    strict: SpanFigures


def entity_figures(
    true: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], scheme: Scheme
) -> EntityFigures:
    """Computes metrics of whole spans.

    Args:
        true: the tags of each sentence; tags that are not of the scheme count as ``O``.
        predicted: the predicted tags.
        scheme: the scheme of both.

    Example:
        >>> from recurra.tasks.tagging.schemes import SCHEMES
        >>> figures = entity_figures([["B-X", "I-X", "O"]], [["I-X", "I-X", "O"]], SCHEMES["iob2"])
        >>> figures.f1, figures.strict.f1
        (1.0, 0.0)
    """
    pairs = list(zip(true, predicted, strict=True))
    strict = _figures(pairs, scheme.strict)
    return EntityFigures(scheme=scheme.name, strict=strict, **_figures(pairs, lenient).model_dump())


def _figures(
    pairs: Sequence[tuple[Sequence[str], Sequence[str]]], spans: Callable[[Sequence[str]], set[Span]]
) -> SpanFigures:
    true_counts: Counter[str] = Counter()
    predicted_counts: Counter[str] = Counter()
    correct_counts: Counter[str] = Counter()
    for sentence in pairs:
        true_spans, predicted_spans = map(spans, sentence)
        true_counts.update(kind for _, _, kind in true_spans)
        predicted_counts.update(kind for _, _, kind in predicted_spans)
        correct_counts.update(kind for _, _, kind in predicted_spans & true_spans)
    kinds = {
        kind: (
            *_precision_recall_f1(correct_counts[kind], predicted_counts[kind], true_counts[kind]),
            true_counts[kind],
        )
        for kind in sorted({*true_counts, *predicted_counts})
    }
    entities, predicted = true_counts.total(), predicted_counts.total()
    precision, recall, f1 = _precision_recall_f1(correct_counts.total(), predicted, entities)
    return SpanFigures(
        entities=entities, predicted=predicted, precision=precision, recall=recall, f1=f1, kinds=kinds
    )


def _precision_recall_f1(
    correct: int, predicted: int, true: int
) -> tuple[float | None, float | None, float | None]:
    precision = correct / predicted if predicted else None
    recall = correct / true if true else None
    return precision, recall, 2 * correct / (predicted + true) if predicted + true else None
