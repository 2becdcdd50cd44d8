"""The n-gram model: TF-IDF features, and a regression for each class or the cosines of class means.

The features are those of 1-3-grams and, if wanted, of pieces of words.

It is the baseline of classification, and can be an expert beside the network. The time of a regression for
each class grows with the classes; beyond a bound the model is that of `centroids`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import log_expit

from recurra.io.text import clean
from recurra.measure.calibration import probabilities
from recurra.measure.explain import join_words
from recurra.tasks.classification.ngrams.centroids import Centroids
from recurra.tasks.classification.ngrams.features import Features
from recurra.tasks.classification.ngrams.keys import LONGEST
from recurra.tasks.classification.ngrams.kinds import Kinds
from recurra.tasks.classification.ngrams.regression import Regressions, passes_of
from recurra.tasks.classification.ngrams.sample import encoded_sample
from recurra.tasks.classification.ngrams.state import Arrays, damaged, text_array
from recurra.tasks.classification.ngrams.words import Words, words_of
from recurra.tasks.reporter import Counting, Reporter, Tick

__all__ = ["NgramModel"]

_CHUNK = 2_048  # texts that are predicted at once
# With fewer texts than this, an n-gram must occur in 2 texts, otherwise in 3. On a held-out fifth of the
# 6,920 training texts of SST-2, 2 was 0.5 to 1.5 points better than 3; on the 25,000 of IMDB, where only the
# test files were tried, the difference was within 0.1 point, and 3 leaves 0.58 instead of 1.05 million
# n-grams.
_SMALL = 20_000
_CLASSES = 100
_FEW = 20  # classes for which there always is a regression each
_WORK = 200_000_000
_REMEMBERED = 20
"""N-grams of each class whose names are kept."""
_SILENT = Reporter().counting
Explained: TypeAlias = tuple[str, tuple[int, int], NDArray[np.float64]]


class NgramModel:
    """Logistic regression per class over TF-IDF 1-3-grams, weighted by naive Bayes log-count ratios.

    For more than 100 classes, or more than 20 of a large set, it is `Centroids` over the same n-grams. The
    units are words, or characters in scripts without spaces. The same texts and labels give the same model,
    with any number of threads.

    Args:
        pieces: whether pieces of 4 characters of the words count too (`pieces_of`).
        characters: maximum number of training characters; larger sets are sampled, which limits the memory,
            and ``note`` says so.
        rows: maximum number of training texts; of more, as many are drawn.
        longest_text: maximum number of characters of a text, in training and prediction.

    Attributes:
        label_kind: ``binary``, ``multiclass`` or ``multilabel``.
        n_classes: the number of classes ``C``.
        note: a remark on the training, or an empty string.
        temperature: the divisor of the logits in `predict_proba`.
        thresholds: for multi-label, the probability from which on each label is predicted; if None, 0.5.
        centroids: the model for many classes; None for few.

    Example:
        >>> texts = ["good film", "bad film", "good music", "bad music"]
        >>> model = NgramModel().fit(texts, np.array([1, 0, 1, 0]), "binary", 2)
        >>> model.predict_proba(["a good book"]).argmax(axis=1).tolist()
        [1]
    """

    def __init__(
        self,
        *,
        pieces: bool = False,
        characters: int = 50_000_000,
        rows: int = 1_500_000,
        longest_text: int = 100_000,
    ) -> None:
        self.characters, self.rows = characters, rows
        self.longest_text = longest_text
        self.label_kind, self.n_classes = "binary", 2
        self.note = ""
        self.temperature = 1.0
        self.thresholds: NDArray[np.float64] | None = None
        nothing = Features(np.empty(0, np.uint64), np.empty(0, np.float32))
        self._kinds = Kinds(nothing, replace(nothing, longest=1) if pieces else None)
        self._head: Regressions | Centroids = Regressions(np.empty((0, 1), np.float32), np.zeros(1))
        self._strongest: list[list[tuple[str, float]]] = [[], []]

    @property
    def centroids(self) -> Centroids | None:
        """The model for many classes; None for few."""
        return self._head if isinstance(self._head, Centroids) else None

    @property
    def method(self) -> str:
        """What it is, in a few words."""
        return f"TF-IDF 1-3-grams{' and pieces of words' if self.pieces else ''}, " + (
            "NB-weighted" if self.centroids is None else "nearest class mean"
        )

    @property
    def pieces(self) -> bool:
        """Whether pieces of words count too."""
        return self._kinds.pieces is not None

    @property
    def n_ngrams(self) -> int:
        """The number of n-grams and pieces that it knows."""
        return len(self._kinds)

    def fit(
        self,
        texts: Iterable[str],
        labels: NDArray[Any],
        label_kind: str,
        n_classes: int,
        counting: Counting = _SILENT,
    ) -> Self:
        """Trains on ``N`` raw texts, read once and in order.

        Args:
            texts: the texts.
            labels: class indices of shape (N,), or 0 and 1 of shape (N, C) for multi-label.
            label_kind: ``binary``, ``multiclass`` or ``multilabel``.
            n_classes: ``C``; not all classes must occur.
            counting: shows the progress.

        Raises:
            DataError: there are no texts.
            ValueError: the numbers of labels and texts differ.
        """
        labels = np.asarray(labels)
        words = Words()
        cleaned = self._cleaned(texts)
        with counting("reading n-grams", len(labels)) as tick:
            rows, encoded = encoded_sample(cleaned, words, len(labels), self.characters, self.rows, tick)
        self.note = ""
        if len(rows) < len(labels):
            share = f"{len(rows):,} of {len(labels):,} texts"
            limits = f"at most {self.rows:,} texts and {self.characters:,} characters"
            self.note = f"trained on a random {share}: {limits}"
        labels, known = labels[rows], self._kinds.read(encoded, words)
        self.label_kind, self.n_classes = label_kind, n_classes
        with counting("counting n-grams", len(rows) * known.passes) as tick:
            least = 3 if len(rows) >= _SMALL else 2
            self._kinds, features = Kinds.learn(known, least, tick)
        if n_classes > _CLASSES or (n_classes > _FEW and n_classes * features.nnz > _WORK):
            self._head = Centroids.fit(features, self._truth(labels), multilabel=label_kind == "multilabel")
        else:
            # Binary labels have one regression, that of the second class.
            classes = np.arange(n_classes)[1 if label_kind == "binary" else 0 :]
            positive = labels > 0 if label_kind == "multilabel" else labels[:, None] == classes
            work = passes_of(features.nnz, positive.shape[1]) * len(rows)
            with counting("fitting the n-grams", work) as tick:
                self._head = Regressions.fit(features, positive, tick)
        spread = np.sqrt(np.asarray(features.mean(axis=0)).ravel())
        found = [self._strongest_of(label, spread) for label in range(n_classes)]
        columns = np.unique(np.concatenate([columns for columns, _ in found]))
        names = dict(zip(columns.tolist(), self._kinds.names(columns, known), strict=True))
        self._strongest = [
            [
                (names[column], weight)
                for column, weight in zip(columns.tolist(), weights.tolist(), strict=True)
            ]
            for columns, weights in found
        ]
        return self

    def logits(self, texts: Iterable[str], tick: Tick = lambda rows: None) -> NDArray[np.float64]:
        """Returns the logits of ``N`` texts, not divided by the temperature, of shape (N, 1) or (N, C).

        For binary labels, (N, 1): the log-odds of the second class. For multi-label, the log-odds of each
        class. For one class a row, the logarithms of probabilities up to a constant for each row.
        """
        width = 1 if self.label_kind == "binary" else self.n_classes
        return np.concatenate([np.zeros((0, width)), *self._logit_chunks(texts, tick)])

    def predict_proba(self, texts: Iterable[str], tick: Tick = lambda rows: None) -> NDArray[np.float64]:
        """Returns class probabilities of shape (N, C); rows sum to 1 unless the labels are multi-label."""
        return np.concatenate([np.zeros((0, self.n_classes)), *self.probability_chunks(texts, tick)])

    def probability_chunks(
        self, texts: Iterable[str], tick: Tick = lambda rows: None
    ) -> Iterator[NDArray[np.float64]]:
        """Yields the rows of `predict_proba` in parts of bounded size."""
        for logits in self._logit_chunks(texts, tick):
            yield probabilities(logits, self.label_kind, self.temperature)

    def strongest(
        self, names: Sequence[str], count: int = 15, classes: Iterable[int] | None = None
    ) -> dict[str, list[tuple[str, float]]]:
        """Returns the strongest n-grams of each class, or of ``classes`` alone, with their weights.

        The weight of an n-gram is its contribution to the log-odds of the class per unit of its TF-IDF value.
        N-grams are sorted by weight times the square root of their mean value over the training texts: sorted
        by weight alone, the list would consist of names that occur in three texts; by weight times the mean,
        of full stops.

        Args:
            names: the names of the classes.
            count: n-grams of a class, at most 20.
            classes: the classes; None for all.
        """
        chosen = range(self.n_classes) if classes is None else classes
        return {str(names[label]): self._strongest[label][:count] for label in chosen}

    def explain(self, text: str) -> list[Explained]:
        """Returns each known n-gram of a text, in its order: the n-gram, its place, its contribution.

        The place is the number of its first word among `words_of` the cleaned text, and the number after its
        last one. Contributions, of shape (C,), or (1,) for binary labels, are parts of the log-odds of the
        classes: together with the same constant for every text they add up to them. For one class a row with
        `centroids`, they are parts of the logits. The contribution of an n-gram that occurs several times is
        divided evenly. That of a word has those of its pieces in it.
        """
        (cleaned,) = self._cleaned([text])
        found, words = words_of(cleaned), Words()
        known = self._kinds.read(words.encode([found]), words)
        row = self._kinds.matrix(known)
        parts = self._head.parts(row.indices, row.data)
        spans = sorted(self._kinds.spans(known))
        which = np.searchsorted(row.indices, [column for _, _, column in spans])
        parts /= np.bincount(which, minlength=len(parts))[:, None]  # how often each occurs
        totals: dict[tuple[int, int], NDArray[np.float64]] = {}
        for (begin, end, _), part in zip(spans, parts[which], strict=True):
            totals[begin, end] = totals.get((begin, end), 0.0) + part
        return [(join_words(found[slice(*place)]), place, total) for place, total in totals.items()]

    def state(self) -> dict[str, NDArray[Any]]:
        """Returns all that prediction, `explain` and `strongest` need, as arrays by name."""
        strongest = [pair for row in self._strongest for pair in row]
        arrays: dict[str, NDArray[Any]] = {
            "label_kind": text_array(self.label_kind),
            "n_classes": np.array([self.n_classes], np.int64),
            "note": text_array(self.note),
            "temperature": np.array([self.temperature]),
            "keys": self._kinds.ngrams.keys,
            "idf": self._kinds.ngrams.idf,
            "strongest": text_array("\n".join(name for name, _ in strongest)),
            "strongest_counts": np.array([len(row) for row in self._strongest], np.int64),
            "strongest_weights": np.array(
                [weight for row in self._strongest for _, weight in row], np.float64
            ),
            **self._head.state(),
        }
        if self._kinds.pieces is not None:
            arrays |= {"piece_keys": self._kinds.pieces.keys, "piece_idf": self._kinds.pieces.idf}
        return arrays if self.thresholds is None else {**arrays, "thresholds": self.thresholds}

    @classmethod
    def from_state(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        """Returns the model that `state` described.

        Raises:
            BundleError: an array is missing, of another shape or type, or holds values that can't be.
        """
        saved, model = Arrays(arrays), cls()
        model.label_kind, model.note = saved.text("label_kind"), saved.text("note")
        if model.label_kind not in ("binary", "multiclass", "multilabel"):
            raise damaged("label_kind is no kind of labels")
        model.n_classes = classes = int(saved.between("n_classes", 1, 1 << 31, 1)[0])
        model.temperature = float(saved.take("temperature", np.float64, 1)[0])
        if not 1e-3 <= model.temperature <= 1e3:
            raise damaged("temperature is not between 0.001 and 1000")
        if "thresholds" in saved:
            model.thresholds = saved.take("thresholds", np.float64, classes)
        ngrams = _saved_features(saved, "keys", "idf", LONGEST)
        pieces = _saved_features(saved, "piece_keys", "piece_idf", 1) if "piece_keys" in saved else None
        model._kinds = Kinds(ngrams, pieces)
        if "weights" in saved:
            outputs = 1 if model.label_kind == "binary" else classes
            model._head = Regressions.from_state(saved, len(model._kinds), outputs)
        else:
            several = model.label_kind == "multilabel"
            model._head = Centroids.from_state(saved, len(model._kinds), classes, multilabel=several)
        counts = saved.between("strongest_counts", 0, _REMEMBERED + 1, classes)
        weights = saved.take("strongest_weights", np.float64, int(counts.sum())).tolist()
        names = saved.text("strongest").split("\n") if weights else []
        if len(names) != len(weights):
            raise damaged("strongest are not as many as their weights")
        pairs = iter(zip(names, weights, strict=True))
        model._strongest = [list(islice(pairs, count)) for count in counts.tolist()]
        return model

    def _logit_chunks(self, texts: Iterable[str], tick: Tick) -> Iterator[NDArray[np.float64]]:
        remaining = iter(texts)
        size = _CHUNK if self.centroids is None else self.centroids.rows_at_once
        while chunk := list(islice(remaining, size)):
            words = Words()
            encoded = words.encode([words_of(text) for text in self._cleaned(chunk)])
            for features in self._kinds.matrices(self._kinds.read(encoded, words)):
                scores = self._head.scores(features)
                one_of_several = self.centroids is None and self.label_kind == "multiclass"
                yield log_expit(scores) if one_of_several else scores
            tick(len(chunk))

    def _strongest_of(
        self, label: int, spread: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Returns the columns and the weights of the strongest n-grams of a class, strongest first."""
        one = self.label_kind == "binary" and self.centroids is None
        columns, effects = self._head.effects(0 if one else label)
        if one and label == 0:
            effects = -effects
        weighed = effects * spread[columns]
        most = min(_REMEMBERED, len(weighed))
        least = np.partition(weighed, len(weighed) - most)[len(weighed) - most] if most else 0.0
        best = np.flatnonzero((weighed >= least) & (effects > 0))
        # The first columns among those of equal strength.
        best = best[np.argsort(-weighed[best], kind="stable")][:most]
        return columns[best], effects[best]

    def _truth(self, labels: NDArray[Any]) -> csr_matrix:
        """Returns ones where a row is of a class, of shape (N, C)."""
        if self.label_kind == "multilabel":
            return csr_matrix(labels > 0, dtype=np.float64)
        rows = np.arange(len(labels))
        return csr_matrix((np.ones(len(labels)), (rows, labels)), (len(labels), self.n_classes))

    def _cleaned(self, texts: Iterable[str]) -> Iterator[str]:
        return (clean(text[: self.longest_text]) for text in texts)


def _saved_features(saved: Arrays, keys: str, idf: str, longest: int) -> Features:
    found = saved.take(keys, np.uint64, -1)
    if not (found[1:] > found[:-1]).all():
        raise damaged(f"{keys} are not sorted")
    return Features(found, saved.take(idf, np.float32, len(found)), longest)
