"""Metrics of a tagger, with confidence intervals over sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import erfc, inf, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from recurra.errors import DataError
from recurra.measure.comparison import Comparison
from recurra.measure.formatting import percent, percents
from recurra.measure.metrics import classification_metrics, wilson_interval
from recurra.tasks.tagging.entities import EntityFigures

__all__ = ["Confusion", "Share", "TaggingMetrics", "compare_words", "tagging_metrics", "worst_confusions"]

_Z = 1.959963984540054  # 97.5% quantile of the normal distribution


class Share(BaseModel):
    """The share of correct ones among ``count``, with its 95% interval."""

    count: int
    accuracy: float
    low: float
    high: float

    @property
    def text(self) -> str:
        """The share and its interval in percent, such as ``97.10% (96.50 to 97.60)``."""
        return f"{percent(self.accuracy)} ({percents(self.low, self.high)})"


class TagFigures(BaseModel):
    """Metrics of one tag, as `recurra.measure.metrics.ClassFigures` of a class."""

    name: str
    precision: float | None
    recall: float | None
    f1: float | None
    support: int
    predicted: int


class TaggingMetrics(BaseModel):
    """All metrics of one tagger; shares are between 0 and 1.

    ``words`` is the share of words with the correct tag; ``known`` and ``unknown`` are the same for words
    that occur in the training set in this form, and for the others (None if there are none). Their intervals
    are over sentences (see `clustered_interval`). ``sentences`` is the share of sentences with all tags
    correct, with Wilson's interval. ``log_loss`` is in nats per word. ``macro_f1`` is the mean over tags that
    occur or were predicted, ``ece`` the expected calibration error. ``confusion[i][j]`` is the number of
    words of tag i predicted as j. Words with a true tag that is not among those of the model (``foreign``)
    count as wrong in the shares and are not counted in the other metrics. ``entities`` are metrics of whole
    spans, if the tags have a scheme of spans.
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
    """How often a tag was predicted as another one, and the most frequent words concerned."""

    true: str
    predicted: str
    count: int
    share: float
    """Share of all errors."""
    words: list[str]


def tagging_metrics(
    tags_true: NDArray[np.int64],
    probabilities: NDArray[np.floating],
    names: Sequence[str],
    lengths: NDArray[Any],
    known: NDArray[np.bool_],
    entities: EntityFigures | None = None,
) -> TaggingMetrics:
    """Computes the metrics of predicted probabilities.

    Args:
        tags_true: tag ids, sentence after sentence, of shape (N,); negative for tags that the model lacks.
        probabilities: predicted probabilities of shape (N, K); the largest is the prediction.
        names: the ``K`` tags.
        lengths: number of words of each sentence, of shape (S,), N in total.
        known: whether each word occurs in the training set, of shape (N,).
        entities: metrics of the spans, if the tags mark spans.

    Raises:
        DataError: no word has a tag of the model.
        ValueError: shapes do not match.

    Example:
        >>> p = np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]])
        >>> known, lengths = np.array([True, True, True]), np.array([2, 1])
        >>> metrics = tagging_metrics(np.array([0, 1, 1]), p, ["A", "B"], lengths, known)
        >>> round(metrics.words.accuracy, 3), metrics.sentences.accuracy, metrics.unknown
        (0.667, 0.5, None)
    """
    true = np.asarray(tags_true)
    if len(lengths) == 0:
        raise DataError("there are no sentences to evaluate", hint="give a file with at least one")
    if true.ndim != 1 or len({len(true), len(probabilities), len(known), int(lengths.sum())}) != 1:
        raise ValueError(
            f"tags have shape {true.shape}, probabilities {probabilities.shape}, known {known.shape}, "
            f"but the sentences have {int(lengths.sum())} words"
        )
    if lengths.min() < 1:
        raise ValueError("a sentence has no words")
    has_class = true >= 0
    if not has_class.any():
        raise DataError("there are no words to evaluate", hint="give a file with at least one tagged word")
    chosen = np.asarray(probabilities.argmax(axis=1))
    correct, starts = true == chosen, np.cumsum(lengths) - lengths
    metrics = classification_metrics(true[has_class], probabilities[has_class], names, "multiclass")
    all_correct = np.add.reduceat(correct, starts) == lengths
    low, high = wilson_interval(int(all_correct.sum()), len(all_correct))
    return TaggingMetrics(
        words=_share(correct, np.ones_like(correct), starts),
        known=_share(correct, known, starts) if known.any() else None,
        unknown=_share(correct, ~known, starts) if not known.all() else None,
        sentences=Share(count=len(all_correct), accuracy=float(all_correct.mean()), low=low, high=high),
        foreign=int((~has_class).sum()),
        log_loss=metrics.log_loss,
        macro_f1=metrics.macro_f1,
        ece=metrics.ece,
        tags=[TagFigures(**figures.model_dump(exclude={"auc"})) for figures in metrics.classes],
        confusion=metrics.confusion or [],
        entities=entities,
    )


def clustered_interval(hits: NDArray[Any], sizes: NDArray[Any]) -> tuple[float, float]:
    """Returns the 95% interval of a share of words in a sample of sentences.

    The words of a sentence are not independent: an error often causes errors in neighbouring words. The
    variance of the share is that of a ratio of sums over sentences (linearised). It determines the effective
    number of independent words, for which Wilson's interval is computed (Dean and Pagano, Journal of Survey
    Statistics and Methodology 3 (2015)). If all words are correct, all are wrong, or there is only one
    sentence, this variance is not available, and the words are treated as independent.

    Args:
        hits: number of correct words of each sentence, of shape (S,).
        sizes: number of words of each sentence, of shape (S,); the sum is at least 1.

    Example:
        >>> hits = np.repeat([10, 0], [360, 40])  # sentences of 10 words, all correct or all wrong
        >>> [round(end, 3) for end in clustered_interval(hits, np.full(400, 10))]
        [0.867, 0.926]
        >>> [round(end, 3) for end in wilson_interval(360, 400)]  # equal to that of 400 sentences
        [0.867, 0.926]
    """
    n = float(sizes.sum())
    p = float(hits.sum()) / n
    variance = _ratio_variance(hits, sizes, p)
    effective = n if not 0 < p < 1 or not variance else p * (1 - p) / variance
    # More similar sentences than expected by chance are due to chance: never more than n words.
    effective = min(effective, n)
    centre = p + _Z**2 / (2 * effective)
    margin = _Z * sqrt(p * (1 - p) / effective + (_Z / (2 * effective)) ** 2)
    scale = 1 + _Z**2 / effective
    return max(0.0, (centre - margin) / scale), min(1.0, (centre + margin) / scale)


def compare_words(
    first_right: NDArray[np.bool_],
    second_right: NDArray[np.bool_],
    lengths: NDArray[Any],
    first: str = "the tagger",
    second: str = "the baseline",
) -> Comparison:
    """Compares two taggers on the same sentences: the difference of their accuracies, with its 95% interval.

    The interval is the difference plus and minus 1.96 standard errors over sentences, computed from the
    difference of the correct words of each sentence; ``p_value`` is that of the same normal test.

    Args:
        first_right: whether the first tagger is correct for each word, of shape (N,).
        second_right: the same for the second tagger.
        lengths: number of words of each sentence, of shape (S,).
        first, second: names of the taggers in the sentence.

    Raises:
        ValueError: shapes do not match.

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
    margin = 1.0 if variance is None else _Z * sqrt(variance)
    interval = max(-1.0, difference - margin), min(1.0, difference + margin)
    z = abs(difference) / (margin / _Z) if margin else (inf if difference else 0.0)
    return Comparison.of((a, b), (first, second), interval, erfc(z / sqrt(2)))


def worst_confusions(
    tags_true: NDArray[np.int64],
    chosen: NDArray[np.int64],
    words: Sequence[str],
    names: Sequence[str],
    *,
    count: int = 10,
    examples: int = 6,
) -> list[Confusion]:
    """Returns the most frequent pairs of true and predicted tag among the errors, with frequent words.

    Example:
        >>> pairs = worst_confusions(np.array([0, 0, 1]), np.array([1, 1, 1]), ["a", "a", "b"], ["X", "Y"])
        >>> [(pair.true, pair.predicted, pair.count, pair.share, pair.words) for pair in pairs]
        [('X', 'Y', 2, 1.0, ['a'])]
    """
    wrong = np.flatnonzero((tags_true != chosen) & (tags_true >= 0))
    pairs = Counter(zip(tags_true[wrong].tolist(), chosen[wrong].tolist(), strict=True))
    confusions = []
    for (true, predicted), times in sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))[:count]:
        positions = wrong[(tags_true[wrong] == true) & (chosen[wrong] == predicted)]
        frequent = Counter(words[position] for position in positions.tolist()).most_common(examples)
        confusions.append(
            Confusion(
                true=names[true],
                predicted=names[predicted],
                count=times,
                share=times / len(wrong),
                words=[word for word, _ in frequent],
            )
        )
    return confusions


def _share(correct: NDArray[np.bool_], subset: NDArray[np.bool_], starts: NDArray[np.int64]) -> Share:
    """Returns the accuracy on a subset of the words."""
    hits = np.add.reduceat((correct & subset).astype(np.int64), starts)
    sizes = np.add.reduceat(subset.astype(np.int64), starts)
    low, high = clustered_interval(hits, sizes)
    count = int(sizes.sum())
    return Share(count=count, accuracy=float(hits.sum() / count), low=low, high=high)


def _ratio_variance(sums: NDArray[Any], sizes: NDArray[Any], ratio: float) -> float | None:
    """Returns the variance of ``sum(sums) / sum(sizes)`` over sentences (Cochran 1977, section 6.4)."""
    clusters = int((sizes > 0).sum())
    if clusters < 2:
        return None
    residuals = sums - ratio * sizes
    return float((residuals**2).sum()) * clusters / (clusters - 1) / float(sizes.sum()) ** 2
