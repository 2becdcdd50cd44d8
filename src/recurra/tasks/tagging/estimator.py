"""`SequenceTagger`: the tagger as a scikit-learn estimator, by the steps of the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from recurra.errors import DataError
from recurra.io.splits import split
from recurra.runtime import use_threads
from recurra.tasks.base import Prepared
from recurra.tasks.estimator import MODEL, TRAIN, TRANSFER, RecurrentEstimator
from recurra.tasks.fit import train_bundle
from recurra.tasks.reporter import Reporter
from recurra.tasks.tagging.assess import probabilities_of
from recurra.tasks.tagging.bundle import TaggerAssets, TaggerBundle
from recurra.tasks.tagging.prepare import check_settings, learn, numbered
from recurra.tasks.tagging.sentences import Sentence
from recurra.tasks.tagging.task import TASK
from recurra.tasks.transfer import open_pretrained

__all__ = ["SequenceTagger"]

_OWN = (
    "min_count",
    "word_dropout",
    "character_embedding",
    "character_units",
    "character_dropout",
    "unknown_tags",
)

Words = Sequence[Sequence[str]]
"""Sentences as lists of words, or their tags as lists of tags."""


class SequenceTagger(RecurrentEstimator):
    """A recurrent tagger with scikit-learn's manners: sentences as lists of words, tags as lists as long.

    Works with ``clone`` and ``cross_val_score``. Parameters left at None have the recipe's value; their
    meaning and ranges stand in `recurra.config`.

    Args:
        recipe: named settings to begin with.
        cell: ``simple_rnn``, ``lstm`` or ``gru``.
        units: hidden units; a list gives each layer its own.
        layers: recurrent layers.
        bidirectional: read from both ends.
        dropout: on the input of every recurrent layer, one mask a sentence.
        recurrent_dropout: on the state entering the recurrent product, one mask a sentence.
        activation: ``tanh`` or ``relu``; a list gives each layer its own.
        embedding: features of a word.
        head_dropout: on the states before the head.
        backend: the kernels that compute the recurrence.
        min_count: a word that training has less often is an unknown word to the embedding.
        word_dropout: share of the training words taken for unknown ones.
        character_embedding: features of a character.
        character_units: hidden units of each direction over a word's characters; 0 for none.
        character_dropout: on a word's characters.
        unknown_tags: ``refuse`` or ``wrong``: a tag in ``validation_data`` that training has not.
        optimizer: ``adam``, ``adamw``, ``rmsprop`` or ``sgd``.
        learning_rate: its step size.
        batch_size: sentences a step.
        epochs: passes over the training sentences, at most.
        patience: epochs without improvement before training stops.
        monitor: the validation figure that stops training: ``loss``, ``accuracy`` or ``macro_f1``.
        pretrained: a model's directory, or a file of word vectors, from which the embedding begins.
        pretrained_layers: not to be had: a tagger's layers read characters too.
        freeze: what was pretrained stays as it is.
        unfreeze_after: what was pretrained stays as it is for so many epochs.
        layerwise_lr: each layer's learning rate as a share of that of the layer above.
        validation_fraction: share of the sentences held out to choose the epoch.
        random_state: seed of the split, the weights, the masks and the batches.
        settings: any further settings, as nested dictionaries.

    Attributes:
        classes_: ``(K,)`` the tags, sorted.
        bundle_: settings, words, tags and network.
        history_: a dictionary of figures for each epoch.

    Example:
        >>> X = [["the", "dog", "barks"], ["a", "cat", "sleeps"]] * 20
        >>> y = [["DET", "NOUN", "VERB"]] * 40
        >>> tagger = SequenceTagger(units=8, character_units=8, epochs=6, learning_rate=0.03)
        >>> tagger.fit(X, y).predict([["the", "cat", "barks"]])
        [['DET', 'NOUN', 'VERB']]
    """

    bundle_: TaggerBundle

    task = "tag"
    default_recipe = "tagger"
    sections: ClassVar[dict[str, str]] = {
        **dict.fromkeys((*MODEL, "embedding"), "model"),
        **dict.fromkeys(_OWN, "tagging"),
        **dict.fromkeys((*TRAIN, *TRANSFER), "train"),
    }

    def __init__(
        self,
        recipe: str = "tagger",
        *,
        cell: str | None = None,
        units: int | Sequence[int] | None = None,
        layers: int | None = None,
        bidirectional: bool | None = None,
        dropout: float | None = None,
        recurrent_dropout: float | None = None,
        activation: str | Sequence[str] | None = None,
        embedding: int | None = None,
        head_dropout: float | None = None,
        backend: str | None = None,
        min_count: int | None = None,
        word_dropout: float | None = None,
        character_embedding: int | None = None,
        character_units: int | None = None,
        character_dropout: float | None = None,
        unknown_tags: str | None = None,
        optimizer: str | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        epochs: int | None = None,
        patience: int | None = None,
        monitor: str | None = None,
        pretrained: str | Path | None = None,
        pretrained_layers: bool | None = None,
        freeze: bool | None = None,
        unfreeze_after: int | None = None,
        layerwise_lr: float | None = None,
        validation_fraction: float = 0.1,
        random_state: int = 1,
        settings: dict[str, Any] | None = None,
    ) -> None:
        self._keep(locals())

    def fit(
        self,
        X: Words,
        y: Words,
        *,
        validation_data: tuple[Words, Words] | None = None,
        reporter: Reporter | None = None,
    ) -> Self:
        """Train on sentences and their tags.

        Args:
            X: ``N`` lists of words.
            y: ``N`` lists of tags, one for each word.
            validation_data: sentences and tags to choose the epoch by, in place of held-out ones.
            reporter: receives the summary and the progress.

        Raises:
            RecurraError: unusable sentences or tags, or a parameter out of its range.
        """
        config, pretrained = open_pretrained(self._config())
        check_settings(config)
        sentences = _sentences(X, y)
        training, held = sentences, []
        if validation_data is None:
            if len(sentences) < 2:
                raise DataError("one sentence can't be split", hint="give more, or validation_data")
            nothing = np.zeros(len(sentences), np.int64)
            rows, others = split(nothing, self.validation_fraction, self.random_state)
            training = [sentences[row] for row in rows.tolist()]
            held = [sentences[row] for row in others.tolist()]
        labels, counts, vocabulary = learn(sentences, training, config, None)
        if validation_data is not None:
            held = _sentences(*validation_data)
        parts = [
            numbered(name, name, some, vocabulary, labels, config)
            for name, some in (("training", training), ("validation", held))
        ]
        prepared = Prepared(config, TaggerAssets(vocabulary, labels, counts), parts[0], parts[1])
        trained = train_bundle(TASK, prepared, pretrained=pretrained, reporter=reporter)
        self._take(trained.bundle)
        return self._remember(trained)

    def predict_proba(self, X: Words) -> list[NDArray[np.float64]]:
        """``(T, K)`` calibrated probabilities of the tags of each sentence's ``T`` words."""
        check_is_fitted(self, "bundle_")
        use_threads()
        lengths = [len(words) for words in X]
        some = _sentences([words for words in X if len(words)], None) if any(lengths) else []
        if not some:
            return [np.zeros((0, len(self.classes_)))] * len(lengths)
        bundle = self.bundle_
        part = numbered("texts", "", some, bundle.assets.vocabulary, None, bundle.config)
        return np.split(probabilities_of(bundle, part.numbers), np.cumsum(lengths)[:-1])

    def predict(self, X: Words) -> list[list[str]]:
        """The most probable tag of each word of each sentence."""
        return [[str(self.classes_[k]) for k in found.argmax(axis=1)] for found in self.predict_proba(X)]

    def score(self, X: Words, y: Words) -> float:
        """The share of words with the right tag."""
        truth = [tag for sentence in _sentences(X, y) for tag in sentence.tags or ()]
        found = [tag for tags in self.predict(X) for tag in tags]
        return float(np.mean([one == other for one, other in zip(found, truth, strict=True)]))

    def _take(self, bundle: TaggerBundle) -> None:
        self.classes_ = np.array(bundle.assets.labels.names)


def _sentences(X: Words, y: Words | None) -> list[Sentence]:
    """Sentences that are lists of words with as many tags.

    Raises:
        DataError: something else was given; the message says which sentence.
    """
    if isinstance(X, str) or (y is not None and len(y) != len(X)):
        what = "one string was given for sentences" if isinstance(X, str) else "X and y differ in length"
        raise DataError(what, hint="give a list of lists of words, and as many lists of tags")
    found = []
    for number, words in enumerate(X, 1):
        tags = None if y is None else y[number - 1]
        for name, some in (("words", words), ("tags", tags)):
            if some is None:
                continue
            if isinstance(some, str) or not all(isinstance(one, str) and one.strip() for one in some):
                raise DataError(f"the sentence is not a list of {name} that are strings", row=number)
        if not len(words):
            raise DataError("the sentence has no words", row=number)
        if tags is not None and len(tags) != len(words):
            raise DataError(f"{len(words)} words have {len(tags)} tags", row=number)
        found.append(Sentence(tuple(words), None if tags is None else tuple(tags), number))
    if not found:
        raise DataError("there are no sentences")
    return found
