"""The task of tagging: training, validation, calibration, and the record of its functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.special import log_softmax
from torch import Tensor, nn

from recurra.io.tokenizer import Vocabulary
from recurra.measure.calibration import fit_temperature
from recurra.measure.shift import Profile
from recurra.tasks.base import Task, TrainingSetup
from recurra.tasks.counted import counted
from recurra.tasks.reporter import Reporter, Tick
from recurra.tasks.tagging.answers import answers, profile_file, profile_of
from recurra.tasks.tagging.assess import EVALUATION_BATCH, assess, report_assessment
from recurra.tasks.tagging.batches import TaggedBatches
from recurra.tasks.tagging.bundle import TaggerAssets, TaggerBundle, build
from recurra.tasks.tagging.check import check_files
from recurra.tasks.tagging.network import tag_logits, tagging_loss
from recurra.tasks.tagging.prepare import (
    TaggedPart,
    TaggerData,
    continued,
    open_part,
    prepare,
    renumbered,
    scheme_of,
)
from recurra.tasks.tagging.report import USE, card, fit_fields, report_fields
from recurra.tasks.tagging.streaming import stream
from recurra.tasks.tagging.study import STUDY
from recurra.train.objective import StatelessLoss

__all__ = ["TASK"]


def training_setup(prepared: TaggerData, model: nn.Module, reporter: Reporter) -> TrainingSetup:
    """Returns batches, cross entropy, and the validation, which computes loss, accuracy and macro-F1."""
    numbers, settings = prepared.train.numbers, prepared.config.train
    batches = TaggedBatches(numbers, None, settings.batch_size, shuffle=True, seed=settings.seed)
    return TrainingSetup(
        batches,
        StatelessLoss(tagging_loss),
        lambda network: _validation_metrics(network, prepared.valid, reporter),
    )


def calibrate(bundle: TaggerBundle, prepared: TaggerData, reporter: Reporter) -> TaggerBundle:
    """Returns the bundle with the temperature of the lowest loss on the validation words."""
    tags = prepared.valid.tags
    with reporter.counting("calibrating", len(prepared.valid)) as tick:
        batches = TaggedBatches(prepared.valid.numbers, None, EVALUATION_BATCH)
        logits = tag_logits(bundle.model, batches, tick)
    temperature = fit_temperature(logits[tags >= 0], tags[tags >= 0], "multiclass")
    return replace(bundle, temperature=temperature)


def vocabulary(prepared: TaggerData) -> Vocabulary:
    """Returns the words of the vocabulary, and their counts in the training sentences."""
    words = prepared.assets.vocabulary
    counts = np.zeros(words.size, np.int64)
    for word, count in prepared.assets.counts.frequencies().items():
        counts[words.word_number(word)] += count
    return Vocabulary(words.rows(), 2, counts)


def open_file(bundle: TaggerBundle, data: Path, reporter: Reporter) -> TaggedPart:
    """Opens a whole tagged file, and reports the scheme in which its spans are measured."""
    part = open_part("test", data, bundle.assets, bundle.config, reporter)
    reporter.facts({"scheme": scheme_of(bundle.config, [part.sentences]).text})
    return part


def sequences(bundle: TaggerBundle, data: Path) -> Iterator[Tensor]:
    """Yields the word vectors of each sentence, with the output of the character layer."""
    part, device = open_file(bundle, data, Reporter()), bundle.model.embedding.weight.device
    for row in part.sentences.rows.tolist():
        batch = next(TaggedBatches(part.numbers, np.array([row]), 1).epoch(0))
        words, _, *spelling = (tensor.to(device) for tensor in batch.inputs)
        # Not inside no_grad: the caller's code would also run without gradients.
        yield bundle.model.vectors(words, *spelling)[0].detach()


def _validation_metrics(model: nn.Module, part: TaggedPart, reporter: Reporter) -> Mapping[str, float]:
    """Returns loss, accuracy and macro-F1; a word with a tag that the model lacks counts as wrong."""
    from sklearn.metrics import f1_score

    with reporter.counting("validating", len(part)) as tick:
        logits = tag_logits(model, TaggedBatches(part.numbers, None, EVALUATION_BATCH), tick)
    tags, predicted = part.tags, logits.argmax(axis=1)
    rows = np.flatnonzero(tags >= 0)
    losses = -log_softmax(logits.astype(np.float64), axis=1)[rows, tags[rows]]
    accuracy = float((predicted == tags).mean())
    # Without ``labels``, the mean is over the tags that occur or were predicted.
    f1 = f1_score(tags[rows], predicted[rows], average="macro", zero_division=0)
    return {"loss": float(losses.mean()), "accuracy": accuracy, "macro_f1": float(f1)}


def profile(bundle: TaggerBundle, part: TaggedPart, tick: Tick) -> Profile:
    """Returns what is known of the first 2,000 sentences of a part without their tags."""
    return profile_of(bundle, counted(part.sentences[:2_000], tick))


TASK: Task[TaggerData, TaggerBundle] = Task(
    prepare=prepare,
    read_assets=TaggerAssets.read,
    build=build,
    training_setup=training_setup,
    calibrate=calibrate,
    vocabulary=vocabulary,
    open_file=open_file,
    assess=assess,
    report_assessment=report_assessment,
    report_fields=report_fields,
    fit_fields=fit_fields,
    card=card,
    use=USE,
    predict=answers,
    check=check_files,
    sequences=sequences,
    study=STUDY,
    stream=stream,
    profile=profile,
    profile_file=profile_file,
    continued=continued,
    renumbered=renumbered,
)
