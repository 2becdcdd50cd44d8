"""Classification's steps on the path: labelled texts to a calibrated classifier, n-grams beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from recurra.config import Config, Task
from recurra.errors import ConfigError
from recurra.io.batcher import Batches
from recurra.io.detect import detect
from recurra.io.formats import Rows, Source, read
from recurra.io.labels import Labels
from recurra.io.stream import read_stream
from recurra.io.tokenizer import SPECIALS
from recurra.layers.network import Network
from recurra.measure.calibration import fit_temperature, probabilities
from recurra.measure.metrics import classification_metrics
from recurra.measure.report import render
from recurra.serve.answers import Answers
from recurra.store import ClassifierBundle
from recurra.tasks.base import PredictRequest, Tested, TestOptions, TrainingSetup
from recurra.tasks.classification.assess import (
    EVALUATION_BATCH,
    assess,
    fit_baseline,
    logits_of,
    report_assessment,
)
from recurra.tasks.classification.evaluation import evaluate_file
from recurra.tasks.classification.logits import predict_logits
from recurra.tasks.classification.loss import classification_loss
from recurra.tasks.classification.network import Classifier
from recurra.tasks.classification.predict import Answer, predict_rows
from recurra.tasks.classification.prepare import Prepared, prepare
from recurra.tasks.classification.report import model_card, report_data
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import Part
from recurra.tasks.transfer import Vocabulary
from recurra.train.loop import Outcome
from recurra.train.objective import supervised

__all__ = ["Classification", "class_weights"]

_ROWS_AT_ONCE = 10_000
_TEXTS_AT_ONCE = 256


class Classification:
    """Texts to classes: binary, one of many, or several at once."""

    name: ClassVar[Task] = "classify"

    def prepare(
        self, data: Path, config: Config, reporter: Reporter, *, valid: Path | None, test: Path | None
    ) -> Prepared:
        """Detect, split and tokenize."""
        return prepare(data, config, reporter, valid=valid, test=test)

    def network(self, ready: Prepared) -> Classifier:
        """Embedding, recurrent stack, pooling, head."""
        return Classifier(
            ready.config.model,
            ready.tokenizer.vocab_size,
            len(ready.labels.names),
            ready.labels.label_kind,
            embedding_rows=ready.config.train.embedding_rows,
        )

    def training_setup(self, ready: Prepared, model: nn.Module) -> TrainingSetup:
        """Cross entropy of the training rows; validation gives loss, accuracy, macro-F1 and AUC."""
        labels, train, valid = ready.labels, ready.train, ready.valid
        kind = labels.label_kind

        def validate(network: nn.Module) -> Mapping[str, float]:
            logits = predict_logits(network, Batches(valid.examples, valid.rows, EVALUATION_BATCH))
            found = classification_metrics(valid.labels, probabilities(logits, kind), labels.names, kind)
            figures = {"loss": found.log_loss, "accuracy": found.accuracy, "macro_f1": found.macro_f1}
            return figures if found.auc is None else {**figures, "auc": found.auc}

        settings = ready.config.train
        return TrainingSetup(
            Batches(train.examples, train.rows, settings.batch_size, shuffle=True, seed=settings.seed),
            supervised(classification_loss(kind, class_weights(ready.config, labels, train))),
            validate,
        )

    def bundle(self, ready: Prepared, model: Network, pretrained: dict[str, Any] | None) -> ClassifierBundle:
        """The classifier, its temperature fitted on the validation rows."""
        assert isinstance(model, Classifier)  # noqa: S101  # what network() gave
        bundle = ClassifierBundle(
            config=ready.config,
            model=model,
            tokenizer=ready.tokenizer,
            labels=ready.labels,
            source=ready.source,
            pretrained=pretrained,
        )
        bundle.temperature = fit_temperature(
            logits_of(bundle, ready.valid), ready.valid.labels, ready.labels.label_kind
        )
        return bundle

    def test(
        self,
        bundle: ClassifierBundle,
        ready: Prepared,
        outcome: Outcome,
        options: TestOptions,
        reporter: Reporter,
    ) -> Tested:
        """Accuracy and more beside the n-gram baseline's, mistakes, explanations, report and card."""
        ngrams = fit_baseline(ready.train, bundle, reporter) if options.baseline else None
        found = assess(
            bundle,
            ready.test or ready.valid,
            baseline=ngrams,
            training=ready.train,
            explained=options.explained,
        )
        report_assessment(found, reporter)
        page = report_data(bundle, ready, outcome, found, ngrams, options.command)
        files = {"README.md": model_card(bundle, found), "report.html": render(page)}
        return Tested(found.as_json(), files, found)

    def vocabulary(self, ready: Prepared) -> Vocabulary:
        """The tokenizer's words, and how often the training rows have each."""
        tokenizer, examples = ready.tokenizer, ready.train.examples
        inside = np.zeros(len(examples), bool)
        inside[ready.train.rows] = True
        counts = np.zeros(tokenizer.vocab_size, np.int64)
        for first in range(0, len(examples), _ROWS_AT_ONCE):
            rows = slice(first, first + _ROWS_AT_ONCE)
            lengths = examples.lengths[rows]
            begin = examples.offsets[first]
            ids = examples.flat[begin : begin + int(lengths.sum())]
            counts += np.bincount(ids[np.repeat(inside[rows], lengths)], minlength=len(counts))
        counts[[tokenizer.pad_id, tokenizer.start_id]] = 0
        return Vocabulary([tokenizer.word(id) for id in range(tokenizer.vocab_size)], len(SPECIALS), counts)

    def evaluate(
        self,
        bundle: ClassifierBundle,
        data: Path,
        *,
        train: Path | None,
        baseline: bool,
        report: Path | None,
        reporter: Reporter,
    ) -> dict[str, Any]:
        """Figures on another file of labelled texts."""
        return evaluate_file(bundle, data, train=train, baseline=baseline, report=report, reporter=reporter)

    def predict(self, bundle: ClassifierBundle, request: PredictRequest) -> Answers:
        """The label and the probability of each class."""
        chunks: Iterable[Rows]
        if request.texts:
            chunks = [Rows(list(range(1, len(request.texts) + 1)), list(request.texts), None, None)]
        elif request.file is None or str(request.file) == "-":
            chunks = read_stream(sys.stdin.buffer, bundle.source, bundle.config.data)
        else:
            chunks = read(detect(request.file, bundle.config.data, labelled=False, like=bundle.source))
        names = bundle.labels.names
        return Answers(
            ["row", "label", *(f"p_{name}" for name in names)],
            (_record(answer, names) for answer in predict_rows(bundle, chunks)),
            _cells,
        )

    def sequences(self, bundle: ClassifierBundle, data: Path) -> Iterator[Tensor]:
        """The vectors of each text's words."""
        return vectors_of(bundle, texts_of_file(data, bundle.config, bundle.source))


def texts_of_file(data: Path, config: Config, like: Source | None = None) -> Iterator[str]:
    """The texts of a file, labelled or not, read as they are asked for.

    Raises:
        DataError: the file can't be used.
    """
    chunks = read(detect(data, config.data, labelled=False, like=like))
    return (text for rows in chunks for text in rows.texts)


def vectors_of(bundle: ClassifierBundle, texts: Iterator[str]) -> Iterator[Tensor]:
    """``(T, E)`` the vectors of each text's words."""
    table = bundle.model.embedding.weight.detach()
    while some := list(islice(texts, _TEXTS_AT_ONCE)):
        for ids in bundle.tokenizer.encode(some).ids:
            yield table[torch.from_numpy(ids.astype(np.int64))]


def _record(answer: Answer, names: tuple[str, ...]) -> dict[str, Any]:
    shown = dict(zip(names, (round(float(p), 6) for p in answer.probabilities), strict=True))
    label = answer.labels[0] if len(answer.labels) == 1 else list(answer.labels)
    return {"row": answer.row, "label": label, "probabilities": shown}


def _cells(record: Mapping[str, Any]) -> list[Any]:
    label = record["label"]
    joined = label if isinstance(label, str) else "|".join(label)
    return [record["row"], joined, *record["probabilities"].values()]


def class_weights(config: Config, labels: Labels, training: Part) -> torch.Tensor | None:
    """``(C,)`` weight of each class in the loss, or None where all count alike.

    ``balanced`` is scikit-learn's ``N / (C * count)``, for multi-label the ratio of absent to present.

    Raises:
        ConfigError: a weight is given for a class that isn't there.
    """
    wanted = config.train.class_weight
    if wanted == "none":
        return None
    names = labels.names
    if wanted == "balanced":
        if labels.label_kind == "multilabel":
            present = np.maximum(training.labels.sum(axis=0), 1)
            return torch.tensor((len(training) - present) / present, dtype=torch.float32)
        counts = np.maximum(np.bincount(training.labels.astype(np.int64), minlength=len(names)), 1)
        return torch.tensor(len(training) / (len(names) * counts), dtype=torch.float32)
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        raise ConfigError(
            f"setting train.class_weight names {unknown[0]!r}, which is no class",
            hint=f"the classes are {', '.join(names)}",
        )
    return torch.tensor([wanted.get(name, 1.0) for name in names], dtype=torch.float32)
