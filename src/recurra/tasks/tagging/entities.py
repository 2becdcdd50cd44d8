"""Precision, recall and F1 of whole spans, such as the names of a text, with intervals over sentences."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from recurra.measure.bootstrap import Difference, ends, resampled_sums
from recurra.measure.comparison import difference_in_words
from recurra.measure.metrics import wilson_interval
from recurra.tasks.tagging.schemes import Scheme, Span, lenient

__all__ = ["EntityFigures", "SpanComparison", "SpanFigures", "compare_spans", "entity_figures"]

Interval = tuple[float, float]
Counts = NDArray[np.int64]

_F1 = 2  # column of F1, after precision and recall


class SpanFigures(BaseModel):
    """Precision, recall and F1 of spans with correct start, end and kind; None if undefined.

    The 95% intervals are from a bootstrap over sentences: the spans of a sentence are not independent.
    ``entities`` is the number of true spans. ``kinds`` has ``(precision, recall, f1, number of true spans)``
    for each kind of span.
    """

    entities: int
    predicted: int
    precision: float | None
    precision_interval: Interval | None
    recall: float | None
    recall_interval: Interval | None
    f1: float | None
    f1_interval: Interval | None
    kinds: dict[str, tuple[float | None, float | None, float | None, int]]


class EntityFigures(SpanFigures):
    """Metrics of spans in the named scheme, as ``conlleval`` and seqeval's default mode count them.

    ``strict`` has the same metrics of the spans that follow the scheme (seqeval's strict mode): a span that
    breaks it is then not predicted.
    """

    scheme: str
    strict: SpanFigures


class SpanComparison(Difference):
    """The F1 of the first tagger minus that of the second, with its 95% interval."""

    @property
    def better(self) -> bool:
        """Whether the first tagger has the higher F1."""
        return self.difference > 0


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


def compare_spans(
    true: Sequence[Sequence[str]],
    first_predicted: Sequence[Sequence[str]],
    second_predicted: Sequence[Sequence[str]],
    names: tuple[str, str] = ("the tagger", "the baseline"),
) -> SpanComparison | None:
    """Compares the F1 of spans of two taggers on the same sentences; None if one of them is undefined.

    The interval is that of the difference on the same bootstrap samples of sentences. With fewer than two
    sentences that have spans, it is from -1 to 1.

    Example:
        >>> compare_spans([["B-X"]] * 9, [["B-X"]] * 9, [["B-X"]] * 8 + [["O"]]).difference > 0
        True
    """
    first, second = (
        _counts([tuple(map(lenient, pair)) for pair in zip(true, predicted, strict=True)])
        for predicted in (first_predicted, second_predicted)
    )
    if not first.any() or not second.any():
        return None
    both = np.hstack([first, second])
    sums = resampled_sums(both)
    samples = _figures_of(sums[:, :3])[:, _F1] - _figures_of(sums[:, 3:])[:, _F1]
    difference = float(_figures_of(first.sum(axis=0))[_F1] - _figures_of(second.sum(axis=0))[_F1])
    low, high = -1.0, 1.0
    if both.any(axis=1).sum() > 1:
        low, high = _around(difference, ends(samples[~np.isnan(samples)]))
    return SpanComparison(
        first=names[0],
        second=names[1],
        difference=difference,
        low=low,
        high=high,
        shown=low > 0 or high < 0,
        sentence=f"F1 of spans: {difference_in_words(names, difference, (low, high))}",
    )


def _figures(
    pairs: Sequence[tuple[Sequence[str], Sequence[str]]], spans: Callable[[Sequence[str]], set[Span]]
) -> SpanFigures:
    found = [(spans(true), spans(predicted)) for true, predicted in pairs]
    counts = _counts(found)
    of_kinds: dict[str, list[int]] = {}
    for true, predicted in found:
        for column, some in enumerate((true, predicted, true & predicted)):
            for _, _, kind in some:
                of_kinds.setdefault(kind, [0, 0, 0])[column] += 1
    kinds = {}
    for kind, total in sorted(of_kinds.items()):
        precision, recall, f1 = map(_defined, _figures_of(np.array(total)))
        kinds[kind] = precision, recall, f1, total[0]
    entities, predicted_spans, _ = counts.sum(axis=0).tolist()
    precision, recall, f1 = map(_defined, _figures_of(counts.sum(axis=0)))
    intervals = _intervals(counts)
    return SpanFigures(
        entities=entities,
        predicted=predicted_spans,
        precision=precision,
        precision_interval=intervals[0],
        recall=recall,
        recall_interval=intervals[1],
        f1=f1,
        f1_interval=intervals[_F1],
        kinds=kinds,
    )


def _counts(found: Sequence[tuple[set[Span], ...]]) -> Counts:
    """Returns the numbers of true, predicted and correct spans of each sentence, of shape (S, 3)."""
    rows = [(len(true), len(predicted), len(true & predicted)) for true, predicted in found]
    return np.array(rows, np.int64).reshape(-1, 3)


def _figures_of(counts: Counts) -> NDArray[np.float64]:
    """Returns precision, recall and F1 of counts of shape (..., 3), in the same shape; NaN if undefined."""
    true, predicted, correct = np.moveaxis(counts, -1, 0)
    above = np.stack([correct, correct, 2 * correct], axis=-1)
    below = np.stack([predicted, true, predicted + true], axis=-1)
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0))


def _intervals(counts: Counts) -> list[Interval | None]:
    """Returns the intervals of precision, recall and F1 by bootstrap over sentences.

    Where all samples have the same figure, as if all spans are correct, there is no variance over sentences.
    The spans are then treated as independent: Wilson's interval, for F1 that of the share of correct spans
    among all true and predicted ones, of which F1 is a function.
    """
    if not counts.any():
        return [None, None, None]
    true, predicted, correct = counts.sum(axis=0).tolist()
    sizes = predicted, true, true + predicted - correct
    samples = _figures_of(resampled_sums(counts))
    intervals: list[Interval | None] = []
    for column, (point, size) in enumerate(zip(_figures_of(counts.sum(axis=0)).tolist(), sizes, strict=True)):
        if not size:
            intervals.append(None)
            continue
        defined = samples[:, column][~np.isnan(samples[:, column])]
        low, high = ends(defined)
        if defined.min() == defined.max():
            low, high = wilson_interval(correct, size)
            if column == _F1:
                low, high = 2 * low / (1 + low), 2 * high / (1 + high)
        intervals.append(_around(point, (low, high)))
    return intervals


def _around(point: float, interval: Interval) -> Interval:
    """Returns the interval, extended to the point: samples of few sentences may all be on one side of it."""
    return min(point, interval[0]), max(point, interval[1])


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
