"""Classification as a task: labelled texts to a calibrated classifier, beside an n-gram baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from recurra.errors import ConfigError
from recurra.io.batcher import Batches
from recurra.io.detect import detect
from recurra.io.formats import Source, read
from recurra.io.labels import Labels
from recurra.io.sample import sample_rows
from recurra.io.tokenizer import SPECIALS, TextTokenizer, Vocabulary
from recurra.measure.calibration import fit_temperature, probabilities
from recurra.measure.metrics import classification_metrics
from recurra.tasks.base import Task, TrainingSetup
from recurra.tasks.classification.answers import answers
from recurra.tasks.classification.assess import (
    EVALUATION_BATCH,
    assess,
    explain_text,
    fit_baseline,
    logits_of,
    report_assessment,
)
from recurra.tasks.classification.bundle import ClassifierAssets, ClassifierBundle, build
from recurra.tasks.classification.network import classification_loss, predict_logits
from recurra.tasks.classification.prepare import ClassifierData, prepare, report_files
from recurra.tasks.classification.report import evaluation_report, model_card, report_data
from recurra.tasks.classification.settings import ClassifierConfig
from recurra.tasks.classification.study import STUDY
from recurra.tasks.reporter import Reporter
from recurra.tasks.texts import Part, open_part
from recurra.train.objective import supervised

__all__ = ["TASK", "class_weights"]

_ROWS_AT_ONCE = 10_000
_TEXTS_AT_ONCE = 256
_VOCABULARY_TEXTS = 5_000  # from which a recipe without a model learns its words


def training_setup(prepared: ClassifierData, model: nn.Module) -> TrainingSetup:
    """Cross entropy of the training rows; validation gives loss, accuracy, macro-F1 and AUC."""
    labels, train, valid = prepared.assets.labels, prepared.train, prepared.valid
    kind = labels.label_kind

    def validate(network: nn.Module) -> Mapping[str, float]:
        logits = predict_logits(network, Batches(valid.examples, valid.rows, EVALUATION_BATCH))
        found = classification_metrics(valid.labels, probabilities(logits, kind), labels.names, kind)
        figures = {"loss": found.log_loss, "accuracy": found.accuracy, "macro_f1": found.macro_f1}
        return figures if found.auc is None else {**figures, "auc": found.auc}

    settings = prepared.config.train
    return TrainingSetup(
        Batches(train.examples, train.rows, settings.batch_size, shuffle=True, seed=settings.seed),
        supervised(classification_loss(kind, class_weights(prepared.config, labels, train))),
        validate,
    )


def calibrate(bundle: ClassifierBundle, prepared: ClassifierData) -> float:
    """The temperature that fits the validation rows best."""
    valid = prepared.valid
    return fit_temperature(logits_of(bundle, valid), valid.labels, prepared.assets.labels.label_kind)


def vocabulary(prepared: ClassifierData) -> Vocabulary:
    """The tokenizer's words, and how often the training rows have each."""
    tokenizer, examples = prepared.assets.tokenizer, prepared.train.examples
    inside = np.zeros(len(examples), bool)
    inside[prepared.train.rows] = True
    counts = np.zeros(tokenizer.vocab_size, np.int64)
    for first in range(0, len(examples), _ROWS_AT_ONCE):
        rows = slice(first, first + _ROWS_AT_ONCE)
        lengths = examples.lengths[rows]
        begin = examples.offsets[first]
        ids = examples.flat[begin : begin + int(lengths.sum())]
        counts += np.bincount(ids[np.repeat(inside[rows], lengths)], minlength=len(counts))
    counts[[tokenizer.pad_id, tokenizer.start_id]] = 0
    return Vocabulary([tokenizer.word(id) for id in range(tokenizer.vocab_size)], len(SPECIALS), counts)


def open_file(bundle: ClassifierBundle, data: Path, reporter: Reporter) -> Part:
    """A whole file of labelled texts."""
    tokenizer, labels, source = bundle.assets.tokenizer, bundle.assets.labels, bundle.assets.source
    part = open_part("test", data, tokenizer, labels, bundle.config.data, reporter, like=source)
    report_files([part], reporter)
    return part


def sequences(bundle: ClassifierBundle, data: Path) -> Iterator[Tensor]:
    """The vectors of each text's words."""
    return vectors_of(bundle, texts_of_file(data, bundle.config, bundle.assets.source))


def untrained(config: ClassifierConfig, data: Path | None) -> tuple[ClassifierBundle, Iterator[Tensor]]:
    """A classifier with the weights that training would begin with, and `sequences` of a file.

    Its words are those of the file's first texts, or of the built-in sample's if ``data`` is None.
    """

    def texts() -> Iterator[str]:
        if data is None:
            return (row.text for row in sample_rows("en")["train"])
        return texts_of_file(data, config)

    tokenizer = TextTokenizer.train(islice(texts(), _VOCABULARY_TEXTS), config.tokenizer)
    assets = ClassifierAssets(tokenizer, Labels(("no", "yes"), "binary"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.train.seed)
        model = build(config, assets).eval()
    bundle = ClassifierBundle(config=config, model=model, assets=assets)
    return bundle, vectors_of(bundle, texts())


def texts_of_file(data: Path, config: ClassifierConfig, like: Source | None = None) -> Iterator[str]:
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
        for ids in bundle.assets.tokenizer.encode(some).ids:
            yield table[torch.from_numpy(ids.astype(np.int64))]


def class_weights(config: ClassifierConfig, labels: Labels, training: Part) -> torch.Tensor | None:
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


TASK: Task[ClassifierData, ClassifierBundle] = Task(
    prepare=prepare,
    read_assets=ClassifierAssets.read,
    build=build,
    training_setup=training_setup,
    calibrate=calibrate,
    vocabulary=vocabulary,
    open_file=open_file,
    fit_baseline=fit_baseline,
    assess=assess,
    report_assessment=report_assessment,
    fit_report=report_data,
    evaluation_report=evaluation_report,
    card=model_card,
    predict=answers,
    sequences=sequences,
    explain=explain_text,
    untrained=untrained,
    study=STUDY,
)
