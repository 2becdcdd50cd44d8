"""`TextClassifier`: the text classifier as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recurra.errors import DataError
from recurra.io.labels import Labels
from recurra.io.splits import split
from recurra.tasks.base import Prepared
from recurra.tasks.classification import INFO
from recurra.tasks.classification.answers import predict_proba
from recurra.tasks.classification.network import ClassifierAssets, ClassifierBundle
from recurra.tasks.classification.prepare import ClassifierData
from recurra.tasks.classification.settings import ClassifierConfig
from recurra.tasks.estimator import (
    RECIPE,
    ClassifierMixin,
    RecurrentEstimator,
    TextFields,
    parameters,
    setting,
)
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import checked_texts, learned_parts

__all__ = ["TextClassifier"]


@parameters
class TextClassifier(ClassifierMixin, TextFields, RecurrentEstimator):
    """A recurrent text classifier for two classes, several classes, or several labels at once.

    Works with ``clone``, ``cross_val_score``, ``GridSearchCV`` and ``Pipeline``. A parameter that is None has
    the recipe's value; ``fit`` validates them.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
        The classes, sorted; for multi-label the column numbers of ``y``.
    bundle_ : ClassifierBundle
        Settings, tokenizer, labels and network.
    history_ : list of dict
        Metrics of each epoch by name; empty after ``load``.

    Examples
    --------
    >>> texts = ["good film", "bad film", "good plot", "bad plot"] * 8
    >>> model = TextClassifier(units=8, epochs=20, patience=20, learning_rate=0.05, vocab_size=20)
    >>> model.fit(texts, [1, 0, 1, 0] * 8).predict(["good plot", "bad film"]).tolist()
    [1, 0]
    """

    task = INFO.name
    bundle_: ClassifierBundle = field(init=False)
    classes_: NDArray[Any] = field(init=False)

    recipe: str = field(default=INFO.recipe, kw_only=False, metadata=RECIPE)
    bidirectional: bool | None = setting("model")
    pooling: str | None = setting("model")
    class_weight: str | dict[Any, float] | None = setting("train")

    def fit(
        self,
        X: Sequence[str],
        y: ArrayLike,
        *,
        groups: ArrayLike | None = None,
        validation_data: tuple[Sequence[str], ArrayLike] | None = None,
        reporter: Reporter | None = None,
    ) -> Self:
        """Trains on texts and labels.

        Args:
            X: ``N`` texts.
            y: ``(N,)`` classes of any sortable type, or ``(N, C)`` zeros and ones for multi-label.
            groups: ``(N,)``; rows with equal values are on the same side of the validation split.
            validation_data: texts and labels that choose the best epoch, in place of held-out rows.
            reporter: receives the summary and the progress.

        Raises:
            RecurraError: unusable texts or labels, or a parameter out of its range.
        """

        texts, (classes, kind) = checked_texts(X), _classes(y)
        codes = _encode(y, classes, kind)
        if len(texts) != len(codes):
            raise DataError(f"{len(texts)} texts have {len(codes)} labels")
        labels = Labels(tuple(str(name) for name in classes), kind)

        def prepare(config: ClassifierConfig, reporter: Reporter) -> ClassifierData:
            rows = validation = None
            if validation_data is None:
                numbers = None if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
                rows = split(codes, config.data.valid_fraction, config.data.split_seed, numbers)
            else:
                validation = checked_texts(validation_data[0]), _encode(validation_data[1], classes, kind)
            tokenizer, training, held_out = learned_parts(texts, codes, config.tokenizer, rows, validation)
            return Prepared(config, ClassifierAssets(tokenizer, labels), training, held_out)

        self._fit(prepare, reporter)
        self.classes_ = classes
        self.bundle_.metrics["classes"] = classes.tolist()
        return self

    def predict_proba(self, X: Sequence[str]) -> NDArray[np.float64]:
        """Returns calibrated probabilities of shape ``(N, C)``, columns in the order of ``classes_``."""
        self._check_fitted()
        return predict_proba(self.bundle_, checked_texts(X))

    def predict(self, X: Sequence[str]) -> NDArray[Any]:
        """Returns the most probable classes ``(N,)``; for multi-label zeros and ones ``(N, C)``."""
        probabilities = self.predict_proba(X)
        if self.bundle_.assets.labels.label_kind == "multilabel":
            return (probabilities >= 0.5).astype(np.int64)
        return np.asarray(self.classes_[probabilities.argmax(axis=1)])

    def _set_fitted(self, bundle: ClassifierBundle, history: list[dict[str, Any]]) -> None:
        super()._set_fitted(bundle, history)
        # A model that the command line trained has the names of its classes only.
        self.classes_ = np.array(bundle.metrics.get("classes", bundle.assets.labels.names))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.classifier_tags.multi_label = True
        return tags


def _classes(y: ArrayLike) -> tuple[NDArray[Any], str]:
    """Returns the classes ``(C,)``, sorted, and the kind of the labels.

    Raises:
        DataError: there are fewer than two classes, or the labels have three dimensions or more.
    """
    values = np.asarray(y)
    if values.ndim not in (1, 2):
        raise DataError(
            f"labels have {values.ndim} dimensions", hint="give (N,) classes or (N, C) zeros and ones"
        )
    classes = np.unique(values) if values.ndim == 1 else np.arange(values.shape[1])
    if len(classes) < 2:
        raise DataError("all labels are the same class", hint="give texts of two classes at least")
    return classes, "multilabel" if values.ndim == 2 else "binary" if len(classes) == 2 else "multiclass"


def _encode(y: ArrayLike, classes: NDArray[Any], kind: str) -> NDArray[Any]:
    """Returns ``(N,)`` int64 class numbers, or ``(N, C)`` float32 zeros and ones for multi-label.

    Raises:
        DataError: a label is not among the classes.
    """
    values = np.asarray(y)
    if kind == "multilabel":
        return values.astype(np.float32)
    codes = np.minimum(np.searchsorted(classes, values), len(classes) - 1)
    unknown = values[classes[codes] != values]
    if len(unknown):
        raise DataError(f"label {str(unknown[0])!r} is not among the training labels")
    return codes.astype(np.int64)
