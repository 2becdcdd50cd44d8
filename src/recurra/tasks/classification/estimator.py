"""`TextClassifier`: the text classifier as a scikit-learn estimator."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from recurra.config import updated
from recurra.errors import DataError
from recurra.io.splits import divide
from recurra.measure.explain import Explanation
from recurra.measure.metrics import classification_metrics, predicted_labels
from recurra.tasks.base import Prepared
from recurra.tasks.classification import INFO
from recurra.tasks.classification.assets import ClassifierAssets, ClassifierBundle
from recurra.tasks.classification.explaining import explain_text
from recurra.tasks.classification.network import Classifier
from recurra.tasks.classification.outputs import predict_texts
from recurra.tasks.classification.prepare import ClassifierData, measured_part
from recurra.tasks.classification.rules import by_rules, facts_of
from recurra.tasks.classification.settings import ClassifierConfig
from recurra.tasks.classification.streaming import stream
from recurra.tasks.classification.targets import Targets
from recurra.tasks.corpus import HeldOut, corpus_of_texts
from recurra.tasks.estimator import RECIPE, ClassifierMixin, RecurrentEstimator, TextFields
from recurra.tasks.inputs import check_length, groups_of, one_text, pair_of, texts_of, weights_of
from recurra.tasks.parameters import parameters, setting
from recurra.tasks.reporter import Reporter
from recurra.tasks.streaming import Streamed
from recurra.tasks.texts import learned_parts

__all__ = ["TextClassifier"]


@parameters
class TextClassifier(ClassifierMixin, TextFields, RecurrentEstimator):
    """A recurrent text classifier for two classes, several classes, or several labels at once.

    Works with ``clone``, ``cross_val_score``, ``GridSearchCV`` and ``Pipeline``. A parameter that is None has
    the recipe's value; ``fit`` validates them.

    Attributes
    ----------
    classes_ : ndarray of shape (C,)
        The classes, sorted; the column numbers or names of ``y`` if it has columns of zeros and ones.
    bundle_ : ClassifierBundle
        Settings, tokenizer, labels and network.
    history_ : History
        Metrics of each epoch; ``history_["loss"]`` is a column. Empty after ``load``.

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
    merge_mode: str | None = setting("model")
    pooling: str | Sequence[str] | None = setting("model")
    experts: str | Sequence[str] | None = setting("model")
    pieces: bool | None = setting("model")
    bigrams: int | None = setting("model")
    evidence: int | None = setting("model")
    words: int | None = setting("model")
    members: int | None = setting("model")
    word_dropout: float | None = setting("model")
    initial_embedding: str | None = setting("model")
    class_weight: str | dict[Any, float] | None = setting("train")
    metric: str | None = setting("predict")
    costs: dict[Any, dict[Any, float]] | None = setting("predict")
    abstain: float | None = setting("predict")
    risk: float | None = setting("predict")

    def fit(
        self,
        X: Any,
        y: Any,
        *,
        sample_weight: ArrayLike | None = None,
        groups: ArrayLike | None = None,
        validation_data: tuple[Any, Any] | None = None,
        unlabeled: Any = None,
        reporter: Reporter | None = None,
    ) -> Self:
        """Trains on texts and labels.

        Args:
            X: ``N`` texts: a list, an array, a column of a data frame; or a data frame of text columns, which
                are joined by a space.
            y: the labels: ``(N,)`` strings, numbers or truth values; or, for several labels a row, ``(N, C)``
                zeros and ones (an array or a data frame) or a list of labels for each row.
            sample_weight: ``(N,)`` weights of the rows in the training loss, of 0 or more; only their ratios
                count. Rows held out for validation count the same.
            groups: ``(N,)``; rows with equal values are on the same side of the validation split.
            validation_data: texts and labels that choose the best epoch, in place of held-out rows.
            unlabeled: texts without labels, given as ``X``, to learn from too (``unlabeled.method``), with
                the recipe ``unlabeled`` in place of the default one. Those that are in the validation rows
                too are left out; leave out those that you test on.
            reporter: receives the summary and the progress.

        Raises:
            RecurraError: unusable texts, labels, weights or groups, or a parameter out of its range.
        """
        targets: Targets

        def prepare(config: ClassifierConfig, reporter: Reporter) -> ClassifierData:
            nonlocal targets
            texts, columns = texts_of(X, config.data.text)
            if not texts:
                raise DataError("there are no texts", where="X")
            targets = Targets.learn(y)
            codes = targets.encode(y)
            check_length(codes, len(texts), "labels")
            weights, numbers = weights_of(sample_weight, len(texts)), groups_of(groups, len(texts))
            if columns is not None:
                config = updated(config, {"data": {"text": columns}})
            rows = validation = None
            if validation_data is None:
                rows = divide(codes, config.data, numbers)
            else:
                where, (valid_X, valid_y) = "validation_data", pair_of(validation_data)
                validation = texts_of(valid_X, columns, where)[0], targets.encode(valid_y, where)
                check_length(validation[1], len(validation[0]), "labels", where=where)
            corpus = None
            if unlabeled is not None:
                held_out = HeldOut()
                if validation is not None:
                    held_out.add("validation", validation[0])
                elif rows is not None:
                    held_out.add("validation", (texts[row] for row in rows[1]))
                corpus = corpus_of_texts(texts_of(unlabeled, columns, "unlabeled")[0], held_out)
                for remark in corpus.remarks:
                    reporter.note(remark)
            tokenizer, train, valid = learned_parts(
                texts, codes, config.tokenizer, rows, validation, weights, corpus
            )
            valid = measured_part(valid, len(targets.classes), reporter)
            facts = facts_of(train, tokenizer, targets.labels, config.train.batch_size)
            if corpus is not None and config.unlabeled.method != "language_model":
                facts = replace(facts, rows=facts.rows + len(corpus))  # all of them are training rows
            config = by_rules(config, facts, reporter)
            assets = ClassifierAssets(tokenizer, labels=targets.labels)
            return Prepared(config, assets, train, valid, corpus=corpus)

        self._fit(prepare, reporter, unlabeled=unlabeled is not None)
        self.classes_ = targets.classes
        self.bundle_.metrics["classes"] = targets.classes.tolist()
        return self

    def summary(self, classes: int | None = None) -> str:
        """Returns a table of the layers; before ``fit`` that of a full vocabulary.

        Args:
            classes: number of classes before ``fit``; 2 if None, which have one output.
        """
        kind = "binary" if classes in (None, 2) else "multiclass"

        def untrained(config: ClassifierConfig) -> Classifier:
            return Classifier(config.model, config.tokenizer.vocab_size, classes or 2, kind)

        return self._summary(untrained)

    def evaluate(self, X: Any, y: Any) -> dict[str, float]:
        """Returns loss, accuracy, macro-F1, micro-F1 (of several labels a row) and AUC.

        The arguments are those of `score`. The loss is the cross entropy of the calibrated probabilities.
        """
        probabilities = self.predict_proba(X)
        labels = self.bundle_.assets.labels
        truth = Targets(self.classes_, labels.label_kind).encode(y)
        check_length(truth, len(probabilities), "labels")
        if not len(truth):
            raise DataError("there are no texts", where="X")
        found = classification_metrics(
            truth, probabilities, labels.names, labels.label_kind, self.bundle_.assets.limits
        )
        values = {"loss": found.log_loss, "accuracy": found.accuracy, "macro_f1": found.macro_f1}
        if found.micro_f1 is not None:
            values["micro_f1"] = found.micro_f1
        return values if found.auc is None else {**values, "auc": found.auc}

    def explain(self, text: str) -> Explanation:
        """Returns how much each word of a text contributes to its prediction; a notebook shows it."""
        self._check_fitted()
        return explain_text(self.bundle_, one_text(text))

    def stream(self, text: str | Iterable[str], *, recompute: bool = False) -> Iterator[Streamed]:
        """Yields after each piece of a text the answer to all pieces so far.

        The states of the network are carried from piece to piece, so that each token is read once.

        Args:
            text: a text, which is answered after each word; or pieces of a text as they arrive, with the
                spaces between them.
            recompute: whether the network reads each prefix from its beginning. A bidirectional network has
                to; the default network is one.

        Yields:
            Dictionaries with ``step``, ``piece``, ``label``, ``confidence`` and ``probabilities``, as
            ``recurra predict --format jsonl`` writes them.

        Raises:
            ConfigError: the network is bidirectional, and ``recompute`` is not set.
        """
        self._check_fitted()
        return stream(self.bundle_, text, {}, recompute)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Returns calibrated probabilities of shape ``(N, C)``, columns in the order of ``classes_``."""
        self._check_fitted()
        return predict_texts(self.bundle_, self._texts(X))

    def predict(self, X: Any) -> NDArray[Any]:
        """Returns the predicted classes ``(N,)``; for multi-label zeros and ones ``(N, C)``.

        These are the most probable classes, unless the model has thresholds or costs (``predict.metric``).
        """
        p = self.predict_proba(X)
        labels, limits = self.bundle_.assets.labels, self.bundle_.assets.limits
        chosen = predicted_labels(p, labels.label_kind, limits)
        return chosen if labels.label_kind == "multilabel" else np.asarray(self.classes_[chosen])

    def unsure(self, X: Any) -> NDArray[np.bool_]:
        """Returns whether each text is answered "unsure" by ``recurra predict``, ``(N,)``."""
        p, assets = self.predict_proba(X), self.bundle_.assets
        if assets.decision is None or assets.decision.abstain is None:
            return np.zeros(len(p), bool)
        return ~assets.decision.answered(p, predicted_labels(p, assets.labels.label_kind, assets.limits))

    def score(self, X: Any, y: Any, sample_weight: ArrayLike | None = None) -> float:
        """Returns the share of rows, weighted if weights are given, whose class (all labels) is predicted."""
        predicted = self.predict(X)
        targets = Targets(self.classes_, self.bundle_.assets.labels.label_kind)
        truth, answers = targets.encode(y), targets.encode(predicted, "predictions")
        check_length(truth, len(answers), "labels")
        if not len(truth):
            raise DataError("there are no texts", where="X")
        right = (truth == answers).reshape(len(truth), -1).all(axis=1)
        return float(np.average(right, weights=weights_of(sample_weight, len(truth))))

    def _set_fitted(self, bundle: ClassifierBundle, history: list[dict[str, Any]]) -> None:
        super()._set_fitted(bundle, history)
        # A model that the command line trained has the names of its classes only.
        self.classes_ = np.array(bundle.metrics.get("classes", bundle.assets.labels.names))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.classifier_tags.multi_label = True
        return tags
