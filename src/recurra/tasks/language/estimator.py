"""`LanguageModel`: the language model as a scikit-learn estimator, by the steps of the command line."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import check_is_fitted

from recurra.errors import DataError
from recurra.io.tokenizer import TextTokenizer
from recurra.runtime import use_threads
from recurra.tasks.base import Prepared
from recurra.tasks.estimator import MODEL, TRAIN, TRANSFER, RecurrentEstimator
from recurra.tasks.fit import train_bundle
from recurra.tasks.language.answers import continuation, following
from recurra.tasks.language.bundle import LanguageAssets, LanguageBundle
from recurra.tasks.language.prepare import check_settings, hold_out
from recurra.tasks.language.scores import text_log_probabilities
from recurra.tasks.language.task import TASK
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import Part, checked_texts, part_of
from recurra.tasks.transfer import open_pretrained

__all__ = ["LanguageModel"]


class LanguageModel(RecurrentEstimator):
    """A recurrent language model with scikit-learn's manners: it learns from texts alone.

    Parameters left at None have the recipe's value; their meaning and ranges stand in `recurra.config`.

    Args:
        recipe: named settings to begin with, such as ``language-model`` or ``character-model``.
        cell: ``simple_rnn``, ``lstm`` or ``gru``.
        units: hidden units; a list gives each layer its own.
        layers: recurrent layers.
        dropout: on the input of every recurrent layer, one mask a window.
        recurrent_dropout: on the state entering the recurrent product, one mask a window.
        activation: ``tanh`` or ``relu``; a list gives each layer its own.
        embedding: features of a token.
        head_dropout: on the states that the output sees.
        backend: the kernels that compute the recurrence.
        level: ``word``, ``subword``, ``character`` or ``whitespace``.
        vocab_size: entries of the vocabulary.
        max_tokens: a longer text is cut.
        bptt: steps of a window.
        tie: the output's weights are the embedding's.
        output: ``full``, ``sampled`` or ``adaptive`` softmax in training.
        optimizer: ``adam``, ``adamw``, ``rmsprop`` or ``sgd``.
        learning_rate: its step size.
        batch_size: parallel streams.
        epochs: passes over the training texts, at most.
        patience: epochs without improvement before training stops.
        monitor: the validation figure that stops training: ``loss``.
        pretrained: a model's directory, or a file of word vectors, from which the embedding begins.
        pretrained_layers: begin from that model's recurrent layers too.
        freeze: what was pretrained stays as it is.
        unfreeze_after: what was pretrained stays as it is for so many epochs.
        layerwise_lr: each layer's learning rate as a share of that of the layer above.
        validation_fraction: share of the texts, the last ones, held out to choose the epoch.
        random_state: seed of the weights and the masks.
        settings: any further settings, as nested dictionaries.

    Attributes:
        bundle_: settings, tokenizer and network.
        history_: a dictionary of figures for each epoch.

    Example:
        >>> model = LanguageModel(units=16, layers=1, embedding=16, bptt=8, batch_size=4, learning_rate=0.02)
        >>> _ = model.fit(["the cat sleeps at home", "the dog runs at night"] * 60)
        >>> [word for word, p in model.predict_next("the cat", 1)]
        ['sleeps']
        >>> model.generate("the dog", 3, temperature=0)
        'the dog runs at night'
    """

    bundle_: LanguageBundle

    task = "lm"
    default_recipe = "language-model"
    sections: ClassVar[dict[str, str]] = {
        **dict.fromkeys((*(name for name in MODEL if name != "bidirectional"), "embedding"), "model"),
        **dict.fromkeys(("level", "vocab_size", "max_tokens"), "tokenizer"),
        **dict.fromkeys(("bptt", "tie", "output"), "language"),
        **dict.fromkeys((*TRAIN, *TRANSFER), "train"),
    }

    def __init__(
        self,
        recipe: str = "language-model",
        *,
        cell: str | None = None,
        units: int | Sequence[int] | None = None,
        layers: int | None = None,
        dropout: float | None = None,
        recurrent_dropout: float | None = None,
        activation: str | Sequence[str] | None = None,
        embedding: int | None = None,
        head_dropout: float | None = None,
        backend: str | None = None,
        level: str | None = None,
        vocab_size: int | None = None,
        max_tokens: int | None = None,
        bptt: int | None = None,
        tie: bool | None = None,
        output: str | None = None,
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
        X: Sequence[str],
        y: object = None,
        *,
        validation_data: Sequence[str] | None = None,
        reporter: Reporter | None = None,
    ) -> Self:
        """Train on texts.

        Args:
            X: ``N`` texts; neighbours may go on from one another.
            y: nothing; scikit-learn wants it to be there.
            validation_data: texts to choose the epoch by, in place of the last ones.
            reporter: receives the summary and the progress.

        Raises:
            RecurraError: unusable texts, or a parameter out of its range.
        """
        config, pretrained = open_pretrained(self._config())
        check_settings(config)
        data = config.data.model_copy(update={"valid_fraction": self.validation_fraction})
        config = config.model_copy(update={"data": data})
        texts = checked_texts(X)
        if len(texts) < (2 if validation_data is None else 1):
            raise DataError(f"there are {len(texts)} texts", hint="give two at least, one to validate on")
        rows = np.arange(len(texts))
        if validation_data is None:
            sizes = np.array([len(text) for text in texts], np.int64)
            rows, held_out = hold_out(sizes, config, None, in_order=True)
        tokenizer = TextTokenizer.train((texts[row] for row in rows), config.tokenizer)
        whole = part_of("training", tokenizer, texts)
        training = Part("training", "", whole.examples, rows, whole.texts)
        if validation_data is None:
            validation = Part("validation", "", whole.examples, held_out, whole.texts)
        else:
            validation = part_of("validation", tokenizer, checked_texts(validation_data))
        prepared = Prepared(config, LanguageAssets(tokenizer), training, validation)
        return self._remember(train_bundle(TASK, prepared, pretrained=pretrained, reporter=reporter))

    def log_probability(self, X: Sequence[str]) -> NDArray[np.float64]:
        """``(N,)`` the natural logarithm of each text's probability, its end included, each read alone."""
        return np.array([float(told.sum(dtype=np.float64)) for told in self._told(X)])

    def score(self, X: Sequence[str], y: object = None) -> float:
        """The mean natural log-probability of a token: higher is better, and minus it is the loss."""
        return float(np.concatenate(self._told(X)).mean(dtype=np.float64))

    def perplexity(self, X: Sequence[str]) -> float:
        """``exp`` of minus the score: lower is better. Each text is read alone."""
        return math.exp(min(-self.score(X), 700.0))

    def predict_next(self, text: str, count: int = 5) -> list[tuple[str, float]]:
        """The ``count`` tokens most likely to come after ``text``, with their probabilities.

        The end of the text is shown as ``<end>``.
        """
        check_is_fitted(self, "bundle_")
        use_threads()
        return following(self.bundle_, text, count)

    def generate(
        self,
        text: str = "",
        count: int = 50,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 0,
    ) -> str:
        """``text`` and ``count`` tokens more, drawn one after the other; a text's end is a line's.

        Args:
            text: what stands before.
            count: tokens.
            temperature: 0 takes the most likely token each time; below 1 likely ones are still likelier.
            top_k: draw from the likeliest ``top_k`` alone.
            seed: the same seed draws the same text.
        """
        check_is_fitted(self, "bundle_")
        use_threads()
        return continuation(self.bundle_, text, count, temperature=temperature, top_k=top_k, seed=seed)

    def _told(self, X: Sequence[str]) -> list[NDArray[np.float32]]:
        check_is_fitted(self, "bundle_")
        use_threads()
        texts = checked_texts(X)
        if not texts:
            raise DataError("there is no text")
        tokenizer = self.bundle_.assets.tokenizer
        ids = tokenizer.encode(texts).ids
        return text_log_probabilities(self.bundle_.model, ids, end=tokenizer.start_id)

    def _take(self, bundle: LanguageBundle) -> None:
        """Nothing besides the bundle."""

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.target_tags.required = False
        return tags
