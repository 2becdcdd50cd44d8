"""`SequenceTagger`: the tagger as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field
from itertools import chain
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from recurra.errors import DataError
from recurra.tasks.base import Prepared
from recurra.tasks.estimator import RECIPE, RecurrentEstimator, WordFields
from recurra.tasks.inputs import check_length, is_missing, listed, pair_of, written
from recurra.tasks.parameters import parameters, setting
from recurra.tasks.reporter import Reporter
from recurra.tasks.streaming import Streamed
from recurra.tasks.tagging import INFO
from recurra.tasks.tagging.assess import probabilities_of
from recurra.tasks.tagging.bundle import TaggerBundle
from recurra.tasks.tagging.entities import entity_figures
from recurra.tasks.tagging.network import Tagger
from recurra.tasks.tagging.prepare import (
    TaggerData,
    check_settings,
    held_out,
    learn,
    numbered,
    scheme_of,
    with_scheme,
)
from recurra.tasks.tagging.sentences import Sentence, table_of
from recurra.tasks.tagging.settings import TaggerConfig
from recurra.tasks.tagging.streaming import stream

__all__ = ["SequenceTagger"]

Words = Sequence[Sequence[str]]
"""Sentences as lists of words, or their tags as lists of tags."""


@parameters
class SequenceTagger(WordFields, RecurrentEstimator):
    """A recurrent tagger: a sentence is a list of words, its tags are a list of the same length.

    Works with ``clone`` and ``cross_val_score``. A parameter that is None has the recipe's value; ``fit``
    validates them.

    Attributes
    ----------
    classes_ : ndarray of shape (K,)
        The tags, sorted.
    bundle_ : TaggerBundle
        Settings, words, tags and network.
    history_ : History
        Metrics of each epoch; ``history_["loss"]`` is a column. Empty after ``load``.

    Examples
    --------
    >>> X = [["the", "dog", "barks"], ["a", "cat", "sleeps"]] * 20
    >>> y = [["DET", "NOUN", "VERB"]] * 40
    >>> tagger = SequenceTagger(units=8, character_units=8, epochs=6, learning_rate=0.03)
    >>> tagger.fit(X, y).predict([["the", "cat", "barks"]])
    [['DET', 'NOUN', 'VERB']]
    """

    task = INFO.name
    bundle_: TaggerBundle = field(init=False)
    classes_: NDArray[Any] = field(init=False)

    recipe: str = field(default=INFO.recipe, kw_only=False, metadata=RECIPE)
    bidirectional: bool | None = setting("model")
    merge_mode: str | None = setting("model")
    scheme: str | None = setting("tagging")
    unknown_tags: str | None = setting("tagging")
    lowercase: bool | None = setting("tagging")
    min_count: int | None = setting("tagging")
    word_dropout: float | None = setting("tagging")
    character_embedding: int | None = setting("tagging")
    character_units: int | None = setting("tagging")
    character_dropout: float | None = setting("tagging")
    max_characters: int | None = setting("tagging")

    def fit(
        self,
        X: Words,
        y: Words,
        *,
        validation_data: tuple[Words, Words] | None = None,
        reporter: Reporter | None = None,
    ) -> Self:
        """Trains on sentences and their tags.

        Args:
            X: ``N`` lists of words.
            y: ``N`` lists of tags, one for each word.
            validation_data: sentences and tags that choose the best epoch, in place of held-out sentences.
            reporter: receives the summary and the progress.

        Raises:
            RecurraError: unusable sentences or tags, or a parameter out of its range.
        """

        def prepare(config: TaggerConfig, reporter: Reporter) -> TaggerData:
            check_settings(config)
            training = sentences = table_of(_sentences(X, y))
            if validation_data is not None:
                validation = table_of(_sentences(*pair_of(validation_data), "validation_data"))
            else:
                training, validation = held_out(sentences, config, None)
            assets = learn(sentences, training, config)
            config = with_scheme(config, sentences, reporter)
            train, valid = (
                numbered(name, name, part, assets, config)
                for name, part in (("training", training), ("validation", validation))
            )
            return Prepared(config, assets, train, valid)

        return self._fit(prepare, reporter)

    def summary(
        self, words: int | None = None, characters: int | None = None, tags: int | None = None
    ) -> str:
        """Returns a table of the layers with output shapes and numbers of weights; a notebook shows it.

        Args:
            words: number of words before ``fit``, which learns them from the sentences; 10,000 if None.
            characters: number of characters before ``fit``; 100 if None.
            tags: number of tags before ``fit``; 17 if None, as in Universal Dependencies.
        """

        def untrained(config: TaggerConfig) -> Tagger:
            sizes = words or 10_000, characters or 100, tags or 17
            return Tagger(config.model, config.tagging, *sizes)

        return self._summary(untrained)

    def predict_proba(self, X: Words) -> list[NDArray[np.float64]]:
        """Returns for each sentence calibrated probabilities of shape ``(T, K)`` of the tags of its words."""
        self._check_fitted()
        given = [_strings(words, "words", "X", at) for at, words in enumerate(listed(X, "X"), 1)]
        lengths = [len(words) for words in given]
        sentences = [Sentence(words, None, at) for at, words in enumerate(given, 1) if words]
        if not sentences:
            return [np.zeros((0, len(self.classes_)))] * len(lengths)
        bundle = self.bundle_
        part = numbered("texts", "", sentences, bundle.assets, bundle.config, tagged=False)
        return np.split(probabilities_of(bundle, part.numbers), np.cumsum(lengths)[:-1])

    def predict(self, X: Words) -> list[list[str]]:
        """Returns the most probable tag of each word of each sentence."""
        return self._tags(self.predict_proba(X))

    def _tags(self, shares: list[NDArray[np.float64]]) -> list[list[str]]:
        return [[str(self.classes_[k]) for k in share.argmax(axis=1)] for share in shares]

    def evaluate(self, X: Words, y: Words) -> dict[str, float]:
        """Returns the loss, the mean negative log-probability of a word's tag, and the accuracy.

        If the tags mark spans (``bundle_.config.tagging.scheme``), ``span_precision``, ``span_recall``,
        ``span_f1`` and ``span_f1_strict`` are those of whole spans; 0 if undefined. A tag that training did
        not have makes the loss infinite.
        """
        column = {str(name): k for k, name in enumerate(self.classes_)}
        sentences = _sentences(X, y)
        truth = [tag for sentence in sentences for tag in sentence.tags or ()]
        shares = self.predict_proba(X)
        rows = np.concatenate(shares)
        right = np.array(
            [row[column[tag]] if tag in column else 0.0 for row, tag in zip(rows, truth, strict=True)]
        )
        with np.errstate(divide="ignore"):
            loss = float(-np.log(right).mean())
        predicted = self._tags(shares)
        accuracy = np.mean([a == b for a, b in zip(chain(*predicted), truth, strict=True)])
        found = {"loss": loss, "accuracy": float(accuracy)}
        scheme = scheme_of(self.bundle_.config, [table_of(sentences)]).scheme
        if scheme is not None:
            spans = entity_figures([sentence.tags or () for sentence in sentences], predicted, scheme)
            found |= {
                "span_precision": spans.precision or 0.0,
                "span_recall": spans.recall or 0.0,
                "span_f1": spans.f1 or 0.0,
                "span_f1_strict": spans.strict.f1 or 0.0,
            }
        return found

    def score(self, X: Words, y: Words) -> float:
        """Returns the accuracy: the share of words with the right tag."""
        truth = [tag for sentence in _sentences(X, y) for tag in sentence.tags or ()]
        predicted = [tag for tags in self.predict(X) for tag in tags]
        return float(np.mean([a == b for a, b in zip(predicted, truth, strict=True)]))

    def stream(self, words: str | Iterable[str], *, recompute: bool = False) -> Iterator[Streamed]:
        """Yields after each word of a sentence its tag, and those of earlier words that it changes.

        The states of the network are carried from word to word, so that each word is read once.

        Args:
            words: the words of a sentence as they arrive; or a text, which is split into words.
            recompute: whether the network reads each prefix from its beginning. A bidirectional network has
                to; the default network is one.

        Yields:
            Dictionaries with ``step``, ``piece`` (the word) and ``words``: dictionaries with ``position``,
            ``word``, ``tag`` and ``probability`` of the words that are new or whose tag changed.

        Raises:
            ConfigError: the network is bidirectional, and ``recompute`` is not set.
        """
        self._check_fitted()
        return stream(self.bundle_, words, {}, recompute)

    def _set_fitted(self, bundle: TaggerBundle, history: list[dict[str, Any]]) -> None:
        super()._set_fitted(bundle, history)
        self.classes_ = np.array(bundle.assets.labels.names)


def _sentences(X: Any, y: Any, name: str | None = None) -> list[Sentence]:
    """Returns sentences given as lists of words with their tags.

    ``name`` is the argument, for messages, if these are not ``X`` and ``y``.

    Raises:
        DataError: something else was given; the message names the sentence.
    """
    of_words, of_tags = name or "X", name or "y"
    words = [_strings(row, "words", of_words, at) for at, row in enumerate(listed(X, of_words), 1)]
    tags = [_strings(row, "tags", of_tags, at) for at, row in enumerate(listed(y, of_tags), 1)]
    check_length(tags, len(words), "lists of tags", "sentences", where=name or "")
    if not words:
        raise DataError("there are no sentences", where=of_words)
    sentences = [Sentence(*pair, at) for at, pair in enumerate(zip(words, tags, strict=True), 1)]
    for at, sentence in enumerate(sentences, 1):
        if not sentence.words:
            raise DataError("the sentence has no words", where=of_words, row=at)
        if len(sentence.tags or ()) != len(sentence.words):
            what = f"{len(sentence.words)} words have {len(sentence.tags or ())} tags"
            raise DataError(what, where=of_tags, row=at)
    return sentences


def _strings(row: Any, what: str, name: str, at: int) -> tuple[str, ...]:
    """Returns the words or the tags of one sentence."""
    if is_missing(row):
        raise DataError(f"the {what} are missing", where=name, row=at, hint="leave the sentence out")
    if isinstance(row, str):
        hint = f"give a list of {what}, such as text.split()"
        raise DataError(f"the sentence is one string, not a list of {what}", where=name, row=at, hint=hint)
    items = listed(row, f"{name}, row {at}")
    for item in items:
        if not isinstance(item, str) or not item.strip():
            shown = "missing" if is_missing(item) else repr(item)[:40]
            raise DataError(f"one of the {what} is {shown}", where=name, row=at, hint="give strings")
    return tuple(written(item, what[:-1], name, at) for item in items)
