"""The baseline of classification: NB-weighted logistic regression over TF-IDF n-grams.

Source: Wang and Manning, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification", ACL 2012,
with logistic regression instead of an SVM (Mesnil et al. 2014), for probabilities. The time of a regression
for each class grows with the classes; beyond a bound the baseline is that of `centroids`.
"""

from __future__ import annotations

import heapq
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.special import expit
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
from sklearn.linear_model import LogisticRegression

from recurra.errors import DataError
from recurra.io.text import clean
from recurra.measure.explain import join_words
from recurra.tasks.classification.centroids import Centroids

__all__ = ["NgramBaseline", "words_of"]

_CHUNK = 2_048  # texts that are predicted at once
# With fewer texts than this, an n-gram must occur in 2 texts, otherwise in 3. On a held-out fifth of the
# 6,920 training texts of SST-2, 2 was 0.5 to 1.5 points better than 3; on the 25,000 of IMDB, where only the
# test files were tried, the difference was within 0.1 point, and 3 leaves 0.58 instead of 1.05 million
# n-grams.
_SMALL = 20_000
# A regression takes 1 to 2 seconds a million n-grams of the training texts and 50 ms at least: with more
# classes, or more n-grams times classes, all of them would take more than some five minutes.
_CLASSES = 100
_FEW = 20  # classes for which there always is a regression each
_WORK = 200_000_000
_TOKEN = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
# Scripts written without spaces: kana, Han (with its extensions), Thai, Lao, Myanmar, Khmer.
_UNSPACED = re.compile(
    "([\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff])"
)


class NgramBaseline:
    """Logistic regression per class over TF-IDF 1-3-grams, weighted by naive Bayes log-count ratios.

    For more than 100 classes, or more than 20 of a large set, it is `Centroids` over the same n-grams. The
    units are words, or characters in scripts without spaces. The same texts and labels give the same model.

    Args:
        characters: maximum number of training characters; larger sets are sampled, which limits the memory
            (33 million, the IMDB training reviews, take 1.3 GB), and ``note`` says so.
        longest_text: maximum number of characters of a text, in training and prediction.

    Attributes:
        note: a remark on the training, or an empty string.
        centroids: the model for many classes; None for few.
        thresholds: for multi-label, the probability from which on each label is predicted; if None, 0.5.
    """

    def __init__(self, *, characters: int = 50_000_000, longest_text: int = 100_000) -> None:
        self.characters = characters
        self.longest_text = longest_text
        self.note = ""
        self.centroids: Centroids | None = None
        self.thresholds: NDArray[np.float64] | None = None
        self._counter: CountVectorizer | None = None

    @property
    def method(self) -> str:
        """What it is, in a few words."""
        return "TF-IDF 1-3-grams, " + ("NB-weighted" if self.centroids is None else "nearest class mean")

    def fit(
        self, texts: Iterable[str], labels: NDArray[Any], label_kind: str, n_classes: int
    ) -> NgramBaseline:
        """Trains on ``N`` raw texts, read once and in order.

        Args:
            texts: the texts.
            labels: class indices of shape (N,), or 0 and 1 of shape (N, C) for multi-label.
            label_kind: ``binary``, ``multiclass`` or ``multilabel``.
            n_classes: ``C``; not all classes must occur.

        Raises:
            DataError: there are no texts.
            ValueError: the numbers of labels and texts differ.
        """
        labels = np.asarray(labels)
        rows, sample = self._sample(texts, len(labels))
        labels = labels[rows]
        self.label_kind, self.n_classes = label_kind, n_classes
        counts = self._count(sample)
        del sample
        self._tfidf = TfidfTransformer(sublinear_tf=True)
        present = csr_matrix((np.ones(counts.nnz), counts.indices, counts.indptr), counts.shape)
        features = self._tfidf.fit_transform(counts) if self._counter else None
        self._spread = np.zeros(counts.shape[1])
        if features is not None:
            self._spread = np.sqrt(np.asarray(features.mean(axis=0)).ravel())
        del counts
        if n_classes > _CLASSES or (n_classes > _FEW and n_classes * present.nnz > _WORK):
            features = present if features is None else features
            self.centroids = Centroids(
                csr_matrix(features), self._truth(labels), multilabel=label_kind == "multilabel"
            )
            return self
        # Binary labels have one regression, that of the second class.
        classes = [1] if label_kind == "binary" else range(n_classes)
        models = [
            self._fit_class(
                features, present, labels[:, c] > 0 if label_kind == "multilabel" else labels == c
            )
            for c in classes
        ]
        self._effects = [ratio * weight for ratio, weight, _ in models]
        self._biases = [bias for _, _, bias in models]
        return self

    def predict_proba(self, texts: Iterable[str]) -> NDArray[np.float64]:
        """Returns class probabilities of shape (N, C); rows sum to 1 unless the labels are multi-label."""
        return np.concatenate([np.zeros((0, self.n_classes)), *self.probability_chunks(texts)])

    def probability_chunks(self, texts: Iterable[str]) -> Iterator[NDArray[np.float64]]:
        """Yields the rows of `predict_proba` in parts of bounded size."""
        remaining = iter(texts)
        size = _CHUNK if self.centroids is None else self.centroids.rows_at_once
        while chunk := list(islice(remaining, size)):
            yield self._probabilities(chunk)

    def strongest(
        self, names: Sequence[str], count: int = 15, classes: Iterable[int] | None = None
    ) -> dict[str, list[tuple[str, float]]]:
        """Returns the ``count`` strongest n-grams of each class, or of ``classes`` alone, with their weights.

        The weight of an n-gram is its contribution to the log-odds of the class per unit of its TF-IDF value.
        N-grams are sorted by weight times the square root of their mean value over the training texts: sorted
        by weight alone, the list would consist of names that occur in three texts; by weight times the mean,
        of full stops.
        """
        strongest = {}
        for label in range(self.n_classes) if classes is None else classes:
            name, effect = names[label], self._effect(label)
            best = np.argsort(-effect * self._spread, kind="stable")[:count]
            best = best[effect[best] > 0]
            ngrams = (join_words(str(self._names[column]).split(" ")) for column in best)
            strongest[str(name)] = list(zip(ngrams, effect[best].tolist(), strict=True))
        return strongest

    def _effect(self, label: int) -> NDArray[np.float64]:
        """Returns the weight of each n-gram for a class, of shape (F,)."""
        if self.centroids is not None:
            return self.centroids.effects(label)
        if self.label_kind == "binary":
            return self._effects[0] if label else -self._effects[0]
        return self._effects[label]

    def _truth(self, labels: NDArray[Any]) -> csr_matrix:
        """Returns ones where a row is of a class, of shape (N, C)."""
        if self.label_kind == "multilabel":
            return csr_matrix(labels > 0, dtype=np.float64)
        rows = np.arange(len(labels))
        return csr_matrix((np.ones(len(labels)), (rows, labels)), (len(labels), self.n_classes))

    def _count(self, texts: list[str]) -> csr_matrix:
        """Returns counts (N, F) of n-grams that occur in enough of ``texts``, or in any if there are none."""
        for min_df in (3 if len(texts) >= _SMALL else 2, 1):
            counter = CountVectorizer(
                tokenizer=words_of, token_pattern=None, lowercase=False, ngram_range=(1, 3), min_df=min_df
            )
            try:
                counts = counter.fit_transform(texts)
            except ValueError:  # raised by scikit-learn if no n-gram is left
                continue
            self._counter, self._names = counter, counter.get_feature_names_out()
            return counts
        self._counter = None
        return csr_matrix((len(texts), 0), dtype=np.int64)

    def _fit_class(
        self, features: csr_matrix | None, present: csr_matrix, positive: NDArray[np.bool_]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Returns log-count ratios, weights and bias of one class against the rest."""
        width, hits, rows = present.shape[1], int(positive.sum()), len(positive)
        if features is None or hits in (0, rows):
            return np.zeros(width), np.zeros(width), float(np.log((hits + 0.5) / (rows - hits + 0.5)))
        p = np.asarray(present[positive].sum(axis=0)).ravel() + 1.0
        q = np.asarray(present[~positive].sum(axis=0)).ravel() + 1.0
        ratio = np.log(p / p.sum()) - np.log(q / q.sum())
        weighted = csr_matrix(
            (features.data * ratio[features.indices], features.indices, features.indptr), features.shape
        )
        model = LogisticRegression(C=20.0, solver="liblinear", dual=True, max_iter=1000, random_state=0)
        with warnings.catch_warnings():
            # The limit max_iter bounds the time; the result is used even if it has not converged.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(weighted, positive)
        return ratio, model.coef_[0], float(model.intercept_[0])

    def _probabilities(self, texts: list[str]) -> NDArray[np.float64]:
        if self.centroids is not None:
            if self._counter is None:
                return self.centroids.probabilities(csr_matrix((len(texts), 0)))
            features = self._tfidf.transform(self._counter.transform(self._cleaned(texts)))
            return self.centroids.probabilities(features)
        scores = np.tile(np.asarray(self._biases), (len(texts), 1))
        if self._counter:
            features = self._tfidf.transform(self._counter.transform(self._cleaned(texts)))
            scores = scores + features @ np.stack(self._effects, axis=1)
        p = expit(scores)
        if self.label_kind == "binary":
            return np.concatenate([1 - p, p], axis=1)
        return np.asarray(p / p.sum(axis=1, keepdims=True) if self.label_kind == "multiclass" else p)

    def _cleaned(self, texts: Iterable[str]) -> Iterator[str]:
        return (clean(text[: self.longest_text]) for text in texts)

    def _sample(self, texts: Iterable[str], expected: int) -> tuple[NDArray[np.int64], list[str]]:
        """Returns indices and cleaned texts with at most ``characters`` characters in total.

        Each text gets a random number; texts with the largest numbers are dropped first.
        """
        draws = np.random.default_rng(0)
        heap: list[tuple[float, int, str]] = []
        used = index = 0
        for index, text in enumerate(self._cleaned(texts), start=1):
            heapq.heappush(heap, (-draws.random(), index - 1, text))
            used += len(text)
            while used > self.characters and len(heap) > 1:
                used -= len(heapq.heappop(heap)[2])
        if index != expected:
            raise ValueError(f"{index} texts have {expected} labels")
        if not heap:
            raise DataError("there are no texts to train the baseline on")
        if len(heap) < index:
            share = f"{len(heap):,} of {index:,} texts"
            self.note = f"trained on a random {share}, at most {self.characters:,} characters"
        heap.sort(key=lambda entry: entry[1])
        return np.array([i for _, i, _ in heap], np.int64), [text for _, _, text in heap]


def words_of(text: str) -> list[str]:
    """Returns lower-cased words, single characters of unspaced scripts, and punctuation marks.

    Example:
        >>> words_of("It isn't 好看!")
        ['it', "isn't", '好', '看', '!']
    """
    text = text.lower()
    if not text.isascii():
        text = _UNSPACED.sub(r" \1 ", text)
    return _TOKEN.findall(text)
