"""`TextClassifier`: the classifier as a scikit-learn estimator, sharing every step with the command line."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from recurra.errors import DataError
from recurra.io.labels import Labels
from recurra.io.splits import split
from recurra.io.tokenizer import TextTokenizer
from recurra.runtime import use_threads
from recurra.tasks.base import Prepared
from recurra.tasks.classification.answers import predict_proba
from recurra.tasks.classification.bundle import ClassifierAssets, ClassifierBundle
from recurra.tasks.classification.task import TASK
from recurra.tasks.estimator import MODEL, TRAIN, TRANSFER, RecurrentEstimator
from recurra.tasks.fit import train_bundle
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import Part, checked_texts, part_of
from recurra.tasks.transfer import open_pretrained

__all__ = ["TextClassifier"]


class TextClassifier(ClassifierMixin, RecurrentEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A recurrent text classifier with scikit-learn's manners.

    Works with ``clone``, ``cross_val_score``, ``GridSearchCV`` and ``Pipeline``. Parameters left at None
    have the recipe's value; their meaning and ranges stand in `recurra.config`.

    Args:
        recipe: named settings to begin with.
        cell: ``simple_rnn``, ``lstm`` or ``gru``.
        units: hidden units; a list gives each layer its own.
        layers: recurrent layers.
        bidirectional: read from both ends.
        dropout: on the input of every recurrent layer, one mask a sequence.
        recurrent_dropout: on the state entering the recurrent product, one mask a sequence.
        activation: ``tanh`` or ``relu``; a list gives each layer its own.
        pooling: ``last``, ``mean``, ``max`` or ``attention``.
        embedding: features of a token.
        head_dropout: on the pooled vector.
        backend: the kernels that compute the recurrence.
        level: ``word`` or ``subword``.
        vocab_size: entries of the vocabulary.
        max_tokens: a longer text is cut.
        optimizer: ``adam``, ``adamw``, ``rmsprop`` or ``sgd``.
        learning_rate: its step size.
        batch_size: texts a step.
        epochs: passes over the training rows, at most.
        patience: epochs without improvement before training stops.
        monitor: the validation figure that stops training.
        class_weight: ``none``, ``balanced`` or a dictionary of class name to weight.
        pretrained: a model's directory, or a file of word vectors, from which the embedding begins.
        pretrained_layers: begin from that model's recurrent layers too.
        freeze: what was pretrained stays as it is.
        unfreeze_after: what was pretrained stays as it is for so many epochs.
        layerwise_lr: each layer's learning rate as a share of that of the layer above.
        validation_fraction: share of the rows held out to choose the epoch.
        random_state: seed of the split, the weights, the masks and the batches.
        settings: any further settings, as nested dictionaries.

    Attributes:
        classes_: ``(C,)`` the classes, sorted; for multi-label the columns of ``y``.
        bundle_: settings, tokenizer, labels and network.
        history_: a dictionary of figures for each epoch.

    Example:
        >>> texts = ["good film", "bad film", "good plot", "bad plot"] * 8
        >>> model = TextClassifier(units=8, epochs=20, patience=20, learning_rate=0.05, vocab_size=20)
        >>> model.fit(texts, [1, 0, 1, 0] * 8).predict(["good plot", "bad film"]).tolist()
        [1, 0]
    """

    bundle_: ClassifierBundle

    task = "classify"
    default_recipe = "default"
    sections: ClassVar[dict[str, str]] = {
        **dict.fromkeys((*MODEL, "pooling", "embedding"), "model"),
        **dict.fromkeys(("level", "vocab_size", "max_tokens"), "tokenizer"),
        **dict.fromkeys((*TRAIN, "class_weight"), "train"),
        **dict.fromkeys(TRANSFER, "train"),
    }

    def __init__(
        self,
        recipe: str = "default",
        *,
        cell: str | None = None,
        units: int | Sequence[int] | None = None,
        layers: int | None = None,
        bidirectional: bool | None = None,
        dropout: float | None = None,
        recurrent_dropout: float | None = None,
        activation: str | Sequence[str] | None = None,
        pooling: str | None = None,
        embedding: int | None = None,
        head_dropout: float | None = None,
        backend: str | None = None,
        level: str | None = None,
        vocab_size: int | None = None,
        max_tokens: int | None = None,
        optimizer: str | None = None,
        learning_rate: float | None = None,
        batch_size: int | None = None,
        epochs: int | None = None,
        patience: int | None = None,
        monitor: str | None = None,
        class_weight: str | dict[str, float] | None = None,
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
        y: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        validation_data: tuple[Sequence[str], ArrayLike] | None = None,
        reporter: Reporter | None = None,
    ) -> Self:
        """Train on texts and labels.

        Args:
            X: ``N`` texts.
            y: ``(N,)`` classes of any sortable kind, or ``(N, C)`` zeros and ones for multi-label.
            groups: ``(N,)`` rows with equal values stay on one side of the validation split.
            validation_data: texts and labels to choose the epoch by, in place of held-out rows.
            reporter: receives the summary and the progress.

        Raises:
            RecurraError: unusable texts or labels, or a parameter out of its range.
        """
        config, pretrained = open_pretrained(self._config())
        texts, codes = checked_texts(X), self._learn(y)
        if len(texts) != len(codes):
            raise DataError(f"{len(texts)} texts have {len(codes)} labels")
        rows = np.arange(len(texts))
        if validation_data is None:
            numbered = None
            if groups is not None:
                numbered = np.unique(np.asarray(groups), return_inverse=True)[1].astype(np.int64)
            rows, held_out = split(codes, self.validation_fraction, self.random_state, numbered)
        tokenizer = TextTokenizer.train((texts[row] for row in rows), config.tokenizer)
        labels = Labels(tuple(str(name) for name in self.classes_), self._kind)
        whole = part_of("training", tokenizer, texts, codes)
        training = Part("training", "", whole.examples, rows, whole.texts)
        if validation_data is None:
            validation = Part("validation", "", whole.examples, held_out, whole.texts)
        else:
            theirs = self._encode(validation_data[1])
            validation = part_of("validation", tokenizer, checked_texts(validation_data[0]), theirs)
        prepared = Prepared(config, ClassifierAssets(tokenizer, labels), training, validation)
        return self._remember(train_bundle(TASK, prepared, pretrained=pretrained, reporter=reporter))

    def predict_proba(self, X: Sequence[str]) -> NDArray[np.float64]:
        """``(N, C)`` calibrated probabilities of the classes, in the order of ``classes_``."""
        check_is_fitted(self, "bundle_")
        use_threads()
        return predict_proba(self.bundle_, checked_texts(X))

    def predict(self, X: Sequence[str]) -> NDArray[Any]:
        """``(N,)`` the most probable class; for multi-label ``(N, C)`` zeros and ones."""
        found = self.predict_proba(X)
        if self.bundle_.assets.labels.label_kind == "multilabel":
            return (found >= 0.5).astype(np.int64)
        return np.asarray(self.classes_[found.argmax(axis=1)])

    def save(self, folder: str | Path) -> None:
        """Save as the directory that ``recurra predict`` and ``recurra evaluate`` read."""
        check_is_fitted(self, "bundle_")
        self.bundle_.metrics = {**self.bundle_.metrics, "classes": self.classes_.tolist()}
        super().save(folder)

    def _take(self, bundle: ClassifierBundle) -> None:
        self.classes_ = np.array(bundle.metrics.get("classes", bundle.assets.labels.names))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.target_tags.multi_output = True
        tags.classifier_tags.multi_label = True
        return tags

    def _learn(self, y: ArrayLike) -> NDArray[Any]:
        found = np.asarray(y)
        if found.ndim == 2:
            self.classes_ = np.arange(found.shape[1])
            self._kind = "multilabel"
        elif found.ndim == 1:
            self.classes_ = np.unique(found)
            self._kind = "binary" if len(self.classes_) == 2 else "multiclass"
        else:
            raise DataError(
                f"labels have {found.ndim} dimensions", hint="give (N,) classes or (N, C) zeros and ones"
            )
        if len(self.classes_) < 2:
            raise DataError("all labels are the same class", hint="give texts of two classes at least")
        return self._encode(found)

    def _encode(self, y: ArrayLike) -> NDArray[Any]:
        found = np.asarray(y)
        if self._kind == "multilabel":
            return found.astype(np.float32)
        codes = np.minimum(np.searchsorted(self.classes_, found), len(self.classes_) - 1)
        strangers = found[self.classes_[codes] != found]
        if len(strangers):
            raise DataError(f"label {str(strangers[0])!r} is not among the training labels")
        return codes.astype(np.int64)
