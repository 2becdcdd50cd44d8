"""Precision, recall and F1 of whole spans, for tags of the form ``B-X``, ``I-X`` and ``O``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

__all__ = ["EntityFigures", "entity_figures", "looks_like_spans", "spans"]

Span = tuple[int, int, str]


class EntityFigures(BaseModel):
    """Spans that are right in both ends and kind; None where a figure is undefined.

    ``kinds`` has ``(precision, recall, f1, how many there are)`` of each kind of span.
    """

    entities: int
    predicted: int
    precision: float | None
    recall: float | None
    f1: float | None
    kinds: dict[str, tuple[float | None, float | None, float | None, int]]


def looks_like_spans(names: Iterable[str]) -> bool:
    """Whether all tags are ``O``, ``B-X`` or ``I-X``, with at least one span among them.

    Example:
        >>> looks_like_spans(["O", "B-PER", "I-PER"]), looks_like_spans(["NOUN", "VERB"])
        (True, False)
    """
    tags = list(names)
    return all(tag == "O" or tag[:2] in ("B-", "I-") for tag in tags) and any(tag != "O" for tag in tags)


def spans(tags: Sequence[str]) -> set[Span]:
    """The spans of a sentence as (first, past the last, kind).

    As ``conlleval`` reads them: a span begins at ``B-X``, and at an ``I-X`` that does not follow one of X.

    Example:
        >>> sorted(spans(["B-PER", "I-PER", "O", "I-LOC", "B-LOC", "I-ORG"]))
        [(0, 2, 'PER'), (3, 4, 'LOC'), (4, 5, 'LOC'), (5, 6, 'ORG')]
    """
    found: set[Span] = set()
    begin, kind = 0, ""
    for place, tag in enumerate([*tags, "O"]):
        if kind and tag != f"I-{kind}":
            found.add((begin, place, kind))
            kind = ""
        if tag != "O" and not kind:
            begin, kind = place, tag[2:]
    return found


def entity_figures(
    true: NDArray[np.int64], chosen: NDArray[np.int64], names: Sequence[str], lengths: NDArray[Any]
) -> EntityFigures | None:
    """Figures of whole spans; None where the tags are of another form.

    Args:
        true: ``(N,)`` tag numbers, sentence after sentence; negative (none that the model knows) is no span.
        chosen: ``(N,)`` predicted ones.
        names: the tags.
        lengths: ``(S,)`` words of each sentence.
    """
    if not looks_like_spans(names):
        return None
    there: Counter[str] = Counter()
    said: Counter[str] = Counter()
    both: Counter[str] = Counter()
    end = 0
    for length in lengths.tolist():
        start, end = end, end + length
        mine, theirs = (
            spans([names[tag] if tag >= 0 else "O" for tag in tags[start:end].tolist()])
            for tags in (chosen, true)
        )
        for counts, found in ((there, theirs), (said, mine), (both, mine & theirs)):
            counts.update(kind for _, _, kind in found)
    kinds = {
        kind: (*_figures(both[kind], said[kind], there[kind]), there[kind])
        for kind in sorted({*there, *said})
    }
    entities, predicted = there.total(), said.total()
    precision, recall, f1 = _figures(both.total(), predicted, entities)
    return EntityFigures(
        entities=entities, predicted=predicted, precision=precision, recall=recall, f1=f1, kinds=kinds
    )


def _figures(both: int, said: int, there: int) -> tuple[float | None, float | None, float | None]:
    precision = both / said if said else None
    recall = both / there if there else None
    return precision, recall, 2 * both / (said + there) if said + there else None
