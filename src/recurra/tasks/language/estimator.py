"""`LanguageModel`: the language model as a scikit-learn estimator."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from recurra.config import updated
from recurra.errors import ConfigError, DataError
from recurra.tasks.base import Prepared
from recurra.tasks.checks import many
from recurra.tasks.estimator import RECIPE, RecurrentEstimator, TextFields
from recurra.tasks.inputs import one_text, texts_of
from recurra.tasks.language import INFO
from recurra.tasks.language.answers import continuation, following
from recurra.tasks.language.assets import LanguageAssets
from recurra.tasks.language.network import LanguageBundle, LanguageNetwork
from recurra.tasks.language.prepare import LanguageData, check_settings, hold_out
from recurra.tasks.language.scores import text_log_probabilities
from recurra.tasks.language.settings import LanguageModelConfig
from recurra.tasks.language.streaming import stream
from recurra.tasks.parameters import parameters, setting
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import learned_parts

__all__ = ["LanguageModel"]


@parameters
class LanguageModel(TextFields, RecurrentEstimator):
    """A recurrent language model, trained on texts without labels.

    A parameter that is None has the recipe's value; ``fit`` validates them.

    Attributes
    ----------
    bundle_ : LanguageBundle
        Settings, tokenizer and network.
    history_ : History
        Metrics of each epoch; ``history_["loss"]`` is a column. Empty after ``load``.

    Examples
    --------
    >>> model = LanguageModel(units=16, layers=1, embedding=16, bptt=8, batch_size=4, learning_rate=0.02)
    >>> _ = model.fit(["the cat sleeps at home", "the dog runs at night"] * 60)
    >>> [word for word, p in model.predict_next("the cat", 1)]
    ['sleeps']
    >>> model.generate("the dog", 3, temperature=0)
    'the dog runs at night'
    """

    task = INFO.name
    bundle_: LanguageBundle = field(init=False)

    recipe: str = field(default=INFO.recipe, kw_only=False, metadata=RECIPE)
    bptt: int | None = setting("language")
    tie: bool | None = setting("language")
    output: str | None = setting("language")
    samples: int | None = setting("language")
    proposal: str | None = setting("language")
    cutoffs: Sequence[int] | None = setting("language")
    ngram: int | None = setting("language")
    word_dropout: float | None = setting("model")
    experts: str | Sequence[str] | None = setting("model")

    def fit(
        self,
        X: Sequence[str],
        y: object = None,
        *,
        validation_data: Sequence[str] | None = None,
        reporter: Reporter | None = None,
    ) -> Self:
        """Trains on texts.

        Args:
            X: ``N`` texts; a text may continue the one before.
            y: ignored.
            validation_data: texts that choose the best epoch, in place of the last texts of ``X``.
            reporter: receives the summary and the progress.

        Raises:
            RecurraError: unusable texts, or a parameter out of its range.
        """

        def prepare(config: LanguageModelConfig, reporter: Reporter) -> LanguageData:
            check_settings(config)
            if config.language.vocabulary is not None:
                what = "the vocabulary of texts from Python is learned from these texts"
                raise ConfigError(
                    what, where="language.vocabulary", hint="leave it out, or train from a file"
                )
            texts, columns = texts_of(X, config.data.text)
            if columns is not None:
                config = updated(config, {"data": {"text": columns}})
            if len(texts) < (2 if validation_data is None else 1):
                given = many(len(texts), "text is", "texts are")
                raise DataError(f"{given} too few", hint="give two at least, one to validate on")
            rows = validation = None
            if validation_data is None:
                sizes = np.array([len(text) for text in texts], np.int64)
                rows = hold_out(sizes, config, None, in_order=True)
            else:
                validation = texts_of(validation_data, columns, "validation_data")[0], None
                if not validation[0]:
                    raise DataError("there are no texts", where="validation_data")
            tokenizer, training, held_out = learned_parts(texts, None, config.tokenizer, rows, validation)
            return Prepared(config, LanguageAssets(tokenizer), training, held_out)

        return self._fit(prepare, reporter)

    def summary(self) -> str:
        """Returns a table of the layers; before ``fit`` that of a full vocabulary. A notebook shows it."""

        def untrained(config: LanguageModelConfig) -> LanguageNetwork:
            return LanguageNetwork(config.model, config.language, config.tokenizer.vocab_size)

        return self._summary(untrained)

    def log_probability(self, X: Sequence[str]) -> NDArray[np.float64]:
        """Returns the natural logarithm of the probability of each text with its end, of shape ``(N,)``.

        Each text is read alone.
        """
        return np.array([float(values.sum(dtype=np.float64)) for values in self._log_probabilities(X)])

    def score(self, X: Sequence[str], y: object = None) -> float:
        """Returns the mean natural log-probability of a token: the negative of the loss."""
        return float(np.concatenate(self._log_probabilities(X)).mean(dtype=np.float64))

    def evaluate(self, X: Sequence[str]) -> dict[str, float]:
        """Returns the loss, the mean negative log-probability of a token, and the perplexity."""
        loss = -self.score(X)
        return {"loss": loss, "perplexity": math.exp(min(loss, 700.0))}

    def perplexity(self, X: Sequence[str]) -> float:
        """Returns ``exp(-score(X))``; lower is better."""
        return math.exp(min(-self.score(X), 700.0))

    def predict_next(self, text: str, count: int = 5) -> list[tuple[str, float]]:
        """Returns the ``count`` most probable tokens after ``text`` with their probabilities.

        The end of the text is shown as ``<end>``.

        Raises:
            DataError: ``text`` is not a string.
            ConfigError: ``count`` is not a whole number of 1 or more.
        """
        self._check_fitted()
        text = one_text(text)
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
        """Returns ``text`` continued by ``count`` sampled tokens; the end of a text becomes a line break.

        Args:
            text: the beginning.
            count: number of tokens.
            temperature: 0 takes the most probable token each time; values below 1 favour probable tokens.
            top_k: sample from the ``top_k`` most probable tokens only.
            seed: the same seed gives the same text.

        Raises:
            DataError: ``text`` is not a string.
            ConfigError: ``count``, ``temperature``, ``top_k`` or ``seed`` is out of its range.
        """
        self._check_fitted()
        text = one_text(text)
        return continuation(self.bundle_, text, count, temperature=temperature, top_k=top_k, seed=seed)

    def stream(
        self,
        text: str = "",
        count: int = 50,
        *,
        temperature: float = 1.0,
        top_k: int | None = None,
        seed: int = 0,
    ) -> Iterator[str]:
        """Yields what each of ``count`` generated tokens adds to a text, as it is generated.

        The arguments are those of `generate`, whose result is the prompt followed by all pieces.

        Raises:
            DataError: ``text`` is not a string.
            ConfigError: ``count``, ``temperature``, ``top_k`` or ``seed`` is out of its range.
        """
        self._check_fitted()
        options = {"generate": count, "temperature": temperature, "top_k": top_k, "seed": seed}
        given = {name: value for name, value in options.items() if value is not None}
        return (answer["piece"] for answer in stream(self.bundle_, one_text(text), given, False))

    def _log_probabilities(self, X: Sequence[str]) -> list[NDArray[np.float32]]:
        """Returns for each text the log-probabilities of its tokens and its end."""
        self._check_fitted()
        texts = self._texts(X)
        if not texts:
            raise DataError("there is no text")
        tokenizer = self.bundle_.assets.tokenizer
        ids = tokenizer.encode(texts).ids
        mixture = self.bundle_.assets.mixture
        return text_log_probabilities(self.bundle_.model, ids, end=tokenizer.start_id, mixture=mixture)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = False
        return tags
