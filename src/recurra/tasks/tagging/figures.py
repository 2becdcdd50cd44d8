"""The figures of a tagger on tagged sentences, with intervals over sentences: their words belong together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import erfc, inf, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from recurra.errors import DataError
from recurra.measure.comparison import Comparison, describe_difference
from recurra.measure.metrics import classification_metrics, wilson_interval
from recurra.tasks.tagging.entities import EntityFigures, entity_figures

__all__ = [
    "Confusion",
    "Share",
    "TagFigures",
    "TaggingMetrics",
    "clustered_interval",
    "compare_words",
    "tagging_metrics",
    "worst_confusions",
]

_Z = 1.959963984540054  # of 95%


class Share(BaseModel):
    """How many of ``count`` are right, as a share, with its 95% interval."""

    count: int
    accuracy: float
    low: float
    high: float


class TagFigures(BaseModel):
    """One tag, as `recurra.measure.metrics.ClassFigures` has a class."""

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int
    predicted: int


class TaggingMetrics(BaseModel):
    """All figures of one tagger on some sentences; shares are 0 to 1.

    ``accuracy`` is the share of words with the right tag; ``known`` and ``unknown`` are the same of the words
    that stand in the training part as they are, and of the others (None where there are none). Their
    intervals are of sentences drawn, not of words (see `clustered_interval`). ``sentences`` has the share of
    sentences whose every tag is right, with Wilson's interval. ``log_loss`` is in nats a word. ``macro_f1``
    is the mean over the tags that occur or were predicted, ``ece`` the expected calibration error.
    ``confusion[i][j]`` counts words of tag i predicted as j. Words whose true tag the model does not know
    (``foreign``) count as wrong, and are left out of the figures after the shares. ``entities`` are figures
    of whole spans, where the tags are of the form ``B-X``, ``I-X``, ``O``.
    """

    words: Share
    known: Share | None
    unknown: Share | None
    sentences: Share
    foreign: int
    log_loss: float
    macro_f1: float
    ece: float
    tags: list[TagFigures]
    confusion: list[list[int]]
    entities: EntityFigures | None


class Confusion(BaseModel):
    """How often a tag was taken for another, and the words it happened to most often."""

    true: str
    predicted: str
    count: int
    share: float
    """Of all mistakes."""
    words: list[str]


def tagging_metrics(
    tags_true: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    names: Sequence[str],
    lengths: NDArray[Any],
    known: NDArray[np.bool_],
) -> TaggingMetrics:
    """The figures of ``probabilities`` against the truth.

    Args:
        tags_true: ``(N,)`` tag numbers, sentence after sentence; negative where the model does not know it.
        probabilities: ``(N, K)``; the largest is the prediction.
        names: the ``K`` tags.
        lengths: ``(S,)`` words of each sentence, N in all.
        known: ``(N,)`` whether each word stands in the training part.

    Raises:
        DataError: there is no word with a tag that the model knows.
        ValueError: shapes don't fit.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
        >>> known, lengths = np.array([True, True, True]), np.array([2, 1])
        >>> found = tagging_metrics(np.array([0, 1, 1]), p, ["A", "B"], lengths, known)
        >>> round(found.words.accuracy, 3), found.sentences.accuracy, found.unknown
        (0.667, 0.5, None)
    """
    true, chosen, starts = _checked(tags_true, probabilities, lengths, known)
    right = true == chosen
    sayable = true >= 0
    if not sayable.any():
        raise DataError("there is no word to evaluate", hint="give a file with at least one tagged word")
    found = classification_metrics(true[sayable], probabilities[sayable], names, "multiclass")
    whole = np.add.reduceat(right, starts) == lengths
    low, high = wilson_interval(int(whole.sum()), len(whole))
    return TaggingMetrics(
        words=_share(right, np.ones_like(right), starts),
        known=_share(right, known, starts) if known.any() else None,
        unknown=_share(right, ~known, starts) if not known.all() else None,
        sentences=Share(count=len(whole), accuracy=float(whole.mean()), low=low, high=high),
        foreign=int((~sayable).sum()),
        log_loss=found.log_loss,
        macro_f1=found.macro_f1,
        ece=found.ece,
        tags=[TagFigures(**one.model_dump(exclude={"auc"})) for one in found.classes],
        confusion=found.confusion or [],
        entities=entity_figures(true, chosen, names, lengths),
    )


def clustered_interval(hits: NDArray[Any], sizes: NDArray[Any]) -> tuple[float, float]:
    """The 95% interval of a share of words, where sentences were drawn and not words.

    Words of a sentence are not independent: a tagger that stumbles over one often stumbles over its
    neighbours. The variance of the share is that of a ratio of sums over sentences (linearised); it gives
    the number of independent words that would say as much, and Wilson's interval of so many (Dean and
    Pagano, Journal of Survey Statistics and Methodology 3 (2015)). With all words right, all wrong, or one
    sentence alone there is no such variance, and the words are taken as independent.

    Args:
        hits: ``(S,)`` right words of each sentence.
        sizes: ``(S,)`` words of each sentence, one at least in all.

    Example:
        >>> hits = np.repeat([10, 0], [360, 40])  # of 10 words each: a sentence is right or wrong as a whole
        >>> [round(end, 3) for end in clustered_interval(hits, np.full(400, 10))]
        [0.867, 0.926]
        >>> [round(end, 3) for end in wilson_interval(360, 400)]  # so it says as much as its 400 sentences
        [0.867, 0.926]
    """
    n = float(sizes.sum())
    p = float(hits.sum()) / n
    variance = _ratio_variance(hits, sizes, p)
    effective = n if not 0 < p < 1 or not variance else p * (1 - p) / variance
    # Sentences that are more alike than chance would have them are chance too.
    effective = min(effective, n)
    middle = p + _Z**2 / (2 * effective)
    reach = _Z * sqrt(p * (1 - p) / effective + (_Z / (2 * effective)) ** 2)
    scale = 1 + _Z**2 / effective
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)


def compare_words(
    first_right: NDArray[np.bool_],
    second_right: NDArray[np.bool_],
    lengths: NDArray[Any],
    first: str = "the tagger",
    second: str = "the baseline",
) -> Comparison:
    """Two taggers on the same sentences: the difference of their accuracies, with its 95% interval.

    The interval is the difference plus and minus 1.96 standard errors over sentences, each of which gives
    the difference of its right words; ``p_value`` is of the same normal test.

    Args:
        first_right: ``(N,)`` whether the first has each word's tag right.
        second_right: the same words for the second.
        lengths: ``(S,)`` words of each sentence.
        first: what the sentence calls the first.
        second: what it calls the second.

    Raises:
        ValueError: shapes don't fit.

    Example:
        >>> a, b = np.arange(4000) % 10 < 9, np.arange(4000) % 10 < 8
        >>> print(compare_words(a, b, np.full(400, 10)).sentence)
        the tagger is ahead of the baseline by 10.0 points (10.0 to 10.0)
    """
    a, b = np.asarray(first_right, bool), np.asarray(second_right, bool)
    if a.shape != b.shape or len(a) != int(lengths.sum()) or len(a) == 0 or lengths.min() < 1:
        raise ValueError(f"{a.shape} and {b.shape} words in sentences of {int(lengths.sum())}")
    starts = np.cumsum(lengths) - lengths
    gains = np.add.reduceat(a.astype(np.int64) - b, starts)
    difference = float(gains.sum()) / len(a)
    variance = _ratio_variance(gains, lengths, difference)
    reach = 1.0 if variance is None else _Z * sqrt(variance)
    low, high = max(-1.0, difference - reach), min(1.0, difference + reach)
    shown = low > 0 or high < 0
    z = abs(difference) / (reach / _Z) if reach else (inf if difference else 0.0)
    return Comparison(
        first=first,
        second=second,
        rows=len(a),
        difference=difference,
        low=low,
        high=high,
        only_first=int((a & ~b).sum()),
        only_second=int((b & ~a).sum()),
        p_value=erfc(z / sqrt(2)),
        shown=shown,
        sentence=describe_difference(first, second, difference, low, high, shown),
    )


def worst_confusions(
    tags_true: NDArray[np.int64],
    chosen: NDArray[np.int64],
    words: Sequence[str],
    names: Sequence[str],
    *,
    most: int = 10,
    examples: int = 6,
) -> list[Confusion]:
    """The pairs of true and predicted tag that make up the most mistakes, each with its commonest words.

    Example:
        >>> found = worst_confusions(np.array([0, 0, 1]), np.array([1, 1, 1]), ["a", "a", "b"], ["X", "Y"])
        >>> [(one.true, one.predicted, one.count, one.share, one.words) for one in found]
        [('X', 'Y', 2, 1.0, ['a'])]
    """
    wrong = np.flatnonzero((tags_true != chosen) & (tags_true >= 0))
    pairs = Counter(zip(tags_true[wrong].tolist(), chosen[wrong].tolist(), strict=True))
    found = []
    for (true, predicted), count in sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))[:most]:
        here = wrong[(tags_true[wrong] == true) & (chosen[wrong] == predicted)]
        common = Counter(words[place] for place in here.tolist()).most_common(examples)
        found.append(
            Confusion(
                true=names[true],
                predicted=names[predicted],
                count=count,
                share=count / len(wrong),
                words=[word for word, _ in common],
            )
        )
    return found


def _checked(
    tags_true: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    lengths: NDArray[Any],
    known: NDArray[np.bool_],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """True tags, chosen ones, and where each sentence starts."""
    true = np.asarray(tags_true)
    if len(lengths) == 0:
        raise DataError("there is no sentence to evaluate", hint="give a file with at least one")
    if true.ndim != 1 or len({len(true), len(probabilities), len(known), int(lengths.sum())}) != 1:
        raise ValueError(
            f"tags are {true.shape}, probabilities {probabilities.shape}, known {known.shape}, "
            f"sentences have {int(lengths.sum())} words"
        )
    if lengths.min() < 1:
        raise ValueError("a sentence has no word")
    return true, np.asarray(probabilities.argmax(axis=1)), np.cumsum(lengths) - lengths


def _share(right: NDArray[np.bool_], chosen: NDArray[np.bool_], starts: NDArray[np.int64]) -> Share:
    """The accuracy on the chosen words."""
    hits = np.add.reduceat((right & chosen).astype(np.int64), starts)
    sizes = np.add.reduceat(chosen.astype(np.int64), starts)
    low, high = clustered_interval(hits, sizes)
    count = int(sizes.sum())
    return Share(count=count, accuracy=float(hits.sum() / count), low=low, high=high)


def _ratio_variance(sums: NDArray[Any], sizes: NDArray[Any], ratio: float) -> float | None:
    """The variance of ``sum(sums) / sum(sizes)`` over sentences drawn (Cochran, Sampling Techniques, 6.4)."""
    clusters = int((sizes > 0).sum())
    if clusters < 2:
        return None
    rest = sums - ratio * sizes
    return float((rest**2).sum()) * clusters / (clusters - 1) / float(sizes.sum()) ** 2
