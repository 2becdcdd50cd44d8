"""The task of classification: training, validation, calibration, and the record of its functions."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from recurra.errors import ConfigError, DataError
from recurra.generators import initial_weights
from recurra.io.batcher import Batches
from recurra.io.cooccurrence import cooccurrence_vectors
from recurra.io.detect import detect
from recurra.io.formats import Source, read
from recurra.io.labels import Labels
from recurra.io.sample import sample_rows
from recurra.io.tokenizer import Encoded, TextTokenizer
from recurra.measure.calibration import calibrated_loss, fit_temperature, probabilities
from recurra.measure.headline import chosen_figure, value_of
from recurra.measure.metrics import classification_metrics, predicted_labels
from recurra.measure.shift import Profile
from recurra.measure.thresholds import fit_thresholds
from recurra.tasks.base import PredictRequest, Task, TrainingSetup
from recurra.tasks.card import network_name
from recurra.tasks.classification.answers import answers
from recurra.tasks.classification.assess import assess, fit_baseline, report_assessment
from recurra.tasks.classification.assets import ClassifierAssets, ClassifierBundle, build
from recurra.tasks.classification.check import check_files
from recurra.tasks.classification.continued import continued
from recurra.tasks.classification.decisions import fit_decision
from recurra.tasks.classification.ensemble import loss_of_members
from recurra.tasks.classification.evidence import cached_evidence, with_evidence
from recurra.tasks.classification.experts_view import experts_sentence, report_experts
from recurra.tasks.classification.explaining import explain_text, label_log_odds
from recurra.tasks.classification.fitted import fit_experts, fit_parts
from recurra.tasks.classification.network import BATCH, Classifier, classification_loss, predict_logits
from recurra.tasks.classification.ngrams import NgramModel
from recurra.tasks.classification.outputs import network_logits, predict_part, predict_texts
from recurra.tasks.classification.prepare import ClassifierData, measured_part, prepare, report_files
from recurra.tasks.classification.report import USE, card, fit_fields, report_fields
from recurra.tasks.classification.settings import ClassifierConfig
from recurra.tasks.classification.soft_labels import with_soft_labels
from recurra.tasks.classification.streaming import stream
from recurra.tasks.classification.study import STUDY
from recurra.tasks.profiles import Answered, sampled, text_profile
from recurra.tasks.reporter import Reporter, Tick
from recurra.tasks.requested_rows import rows_of
from recurra.tasks.texts import Part, open_part, text_vocabulary
from recurra.train.objective import supervised

__all__ = ["TASK", "class_weights"]

_TEXTS_CHUNK = 256
_MORE = re.compile("balanced_accuracy|(f1|precision|recall):")
_VOCABULARY_TEXTS = 5_000  # texts for the vocabulary of an untrained network


def training_setup(prepared: ClassifierData, model: Classifier, reporter: Reporter) -> TrainingSetup:
    """Returns batches, cross entropy, and the validation, which computes loss, accuracy, F1 and AUC.

    The loss is that of calibrated probabilities, see `calibrated_loss`. For multi-label, the outputs of the
    model begin with the shares of the labels, and F1 is that of the best thresholds. Word vectors that are
    not pretrained begin as ``model.initial_embedding`` says.
    """
    labels, train, valid = prepared.assets.labels, prepared.train, prepared.valid
    kind = labels.label_kind
    if kind == "multilabel" and not prepared.goes_on:
        model.expect((train.labels.sum(axis=0, dtype=np.float64) + 0.5) / (len(train) + 1))

    model_settings = prepared.config.model
    settings = prepared.config.train
    monitored = None
    if _MORE.match(settings.monitor):
        monitored = chosen_figure(settings.monitor, labels.names, kind, np.empty(0), where="train.monitor")
    if (
        not prepared.goes_on
        and model_settings.initial_embedding == "neighbours"
        and prepared.config.train.pretrained is None
    ):
        vectors = cooccurrence_vectors(train.examples, train.rows, *model.embedding.weight.shape)
        for member in model.members():
            with torch.no_grad():
                member.embedding.weight.copy_(torch.from_numpy(vectors))

    def validate(network: nn.Module) -> Mapping[str, float]:
        with reporter.counting("validating", len(valid)) as tick:
            logits = predict_logits(network, Batches(valid.examples, valid.rows, BATCH), tick)
        p = probabilities(logits, kind)
        limits = fit_thresholds(p, valid.labels) if kind == "multilabel" else None
        metrics = classification_metrics(valid.labels, p, labels.names, kind, limits)
        values = {
            "loss": calibrated_loss(logits, valid.labels, kind),
            "accuracy": metrics.accuracy,
            "macro_f1": metrics.macro_f1,
        }
        if metrics.micro_f1 is not None:
            values["micro_f1"] = metrics.micro_f1
        if metrics.auc is not None:
            values["auc"] = metrics.auc
        if monitored is not None and monitored not in values:
            value = value_of(monitored, metrics)
            values[monitored] = 0.0 if value is None else value  # no row was predicted as the class
        return values

    rows = train if prepared.soft is None else prepared.soft
    batches = Batches(
        rows.examples,
        rows.rows,
        settings.batch_size,
        shuffle=True,
        seed=settings.seed,
        weights=rows.weights,
    )
    loss = loss_of_members(classification_loss(kind, class_weights(prepared.config, labels, train)))
    # The evidence of a model that goes on was fitted on other rows, so that new rows read it as it is.
    if model.evidence is None or prepared.goes_on:
        return TrainingSetup(batches, supervised(loss), validate)
    V, most = prepared.assets.tokenizer.vocab_size, model_settings.evidence
    key = f"evidence of {most} n-grams"
    if key not in prepared.fitted:  # the same for every seed
        prepared.fitted[key] = cached_evidence(prepared.key, rows, kind, len(labels.names), V, most, reporter)
    evidence = prepared.fitted[key]
    return TrainingSetup(batches, with_evidence(model.evidence, evidence, rows, loss), validate)


def calibrate(bundle: ClassifierBundle, prepared: ClassifierData, reporter: Reporter) -> ClassifierBundle:
    """Returns the bundle with what turns logits into answers, fitted on the validation rows.

    That is the temperature of the network alone; with n-grams, the weights of both experts; and for
    multi-label, the thresholds of the highest F1.
    """
    valid, labels = prepared.valid, prepared.assets.labels
    kind = labels.label_kind
    with reporter.counting("calibrating", len(valid)) as tick:
        logits = network_logits(bundle, valid, tick)
    temperature, assets = fit_temperature(logits, valid.labels, kind), bundle.assets
    p = probabilities(logits, kind, temperature)
    if "ngrams" in prepared.config.model.experts:
        reporter.step("Combining")
        weights = class_weights(prepared.config, labels, prepared.train)
        by_class = None if weights is None else weights.numpy()
        experts, combined = fit_experts(prepared, logits, temperature, by_class, reporter)
        reporter.note(experts_sentence(experts, network_name(prepared.config.model)))
        assets, p = replace(assets, experts=experts), probabilities(combined, kind)
    if kind == "multilabel" and len(logits):
        assets = replace(assets, thresholds=tuple(fit_thresholds(p, valid.labels).tolist()))
    settings = prepared.config.predict
    decision, limits, warnings = fit_decision(settings, p, valid.labels, labels, assets.limits)
    for sentence in warnings:
        reporter.warn(sentence)
    if decision is not None:
        reporter.note(decision.sentence(labels.names))
    if limits is not None:
        assets = replace(assets, thresholds=tuple(limits.tolist()))
    return replace(bundle, temperature=temperature, assets=replace(assets, decision=decision))


def profile(bundle: ClassifierBundle, part: Part, tick: Tick) -> Profile:
    """Returns what is known of a part without its labels."""
    return text_profile(sampled(part, tick), bundle.assets.tokenizer, functools.partial(_profiled, bundle))


def profile_file(bundle: ClassifierBundle, request: PredictRequest) -> Profile:
    """Returns what is known of the rows of a file."""
    rows = rows_of(request, bundle.assets.source, bundle.config.data)
    texts = (chunk.texts for chunk in rows.chunks)
    return text_profile(texts, bundle.assets.tokenizer, functools.partial(_profiled, bundle))


def _profiled(bundle: ClassifierBundle, texts: Sequence[str], encoded: Encoded) -> Answered:
    labels = bundle.assets.labels
    p = predict_texts(bundle, texts, encoded.ids)
    chosen = predicted_labels(p, labels.label_kind, bundle.assets.limits)
    names = np.array(labels.names)
    if labels.label_kind == "multilabel":
        sure = np.maximum(p, 1 - p).mean(axis=1)
        return {"confidence": sure}, {"predicted": names[np.nonzero(chosen)[1]]}
    return {"confidence": p[np.arange(len(p)), chosen]}, {"predicted": names[chosen]}


def predicted(bundle: ClassifierBundle, part: Part) -> tuple[list[str], list[str], list[int], list[str]]:
    """Returns the true and the predicted label of each row, several joined by ``|``, its number and text."""
    kind = bundle.assets.labels.label_kind
    chosen = predicted_labels(predict_part(bundle, part), kind, bundle.assets.limits)
    numbers = part.examples.numbers[part.rows].tolist()
    return _spelled(bundle, part.labels), _spelled(bundle, chosen), numbers, list(part.texts(part.rows))


def answered_labels(bundle: ClassifierBundle, texts: list[str]) -> list[str]:
    """Returns the predicted label of each text, several joined by ``|``."""
    kind = bundle.assets.labels.label_kind
    return _spelled(bundle, predicted_labels(predict_texts(bundle, texts), kind, bundle.assets.limits))


def _spelled(bundle: ClassifierBundle, codes: NDArray[Any]) -> list[str]:
    names = bundle.assets.labels.names
    if bundle.assets.labels.label_kind != "multilabel":
        return [names[int(code)] for code in codes]
    # The order of the classes may differ between models.
    return ["|".join(sorted(names[c] for c in np.flatnonzero(row > 0))) for row in codes]


def decide(bundle: ClassifierBundle, part: Part | None, reporter: Reporter) -> ClassifierBundle:
    """Returns the bundle with the decisions of ``config.predict``, fitted on a part.

    Without a part, the thresholds of multi-label stay as they are where no costs are given.
    """
    labels, usual = bundle.assets.labels, bundle.assets.limits
    p = np.empty((0, len(labels.names)))
    truth: NDArray[Any] = np.empty(0, np.int64)
    if part is not None:
        p, truth = predict_part(bundle, part), part.labels
        if labels.label_kind == "multilabel":
            usual = fit_thresholds(p, truth)
    decision, limits, warnings = fit_decision(bundle.config.predict, p, truth, labels, usual)
    if warnings:  # a model is not changed to one that was not asked for
        where = None if part is None else part.where
        raise DataError(warnings[0], where=where, hint="give more rows with --data, or another goal")
    thresholds = usual if limits is None else limits
    several = labels.label_kind == "multilabel"
    kept = tuple(thresholds.tolist()) if several else bundle.assets.thresholds
    return replace(bundle, assets=replace(bundle.assets, decision=decision, thresholds=kept))


def describe_decision(bundle: ClassifierBundle, reporter: Reporter) -> dict[str, Any]:
    """Reports how the model decides: `recurra decide MODEL`."""
    names, decision = bundle.assets.labels.names, bundle.assets.decision
    several = bundle.assets.labels.label_kind == "multilabel"
    if several:
        limits = zip(names, bundle.assets.limits.tolist(), strict=True)
        rows = [(name, f"{100 * limit:.1f}%") for name, limit in limits]
        reporter.table("", ("label", "predicted from"), rows)
    elif decision is None:
        reporter.note("Each text is answered with its most probable class.")
    if decision is not None:
        reporter.note(decision.sentence(names))
    return {
        "decision": None if decision is None else decision.as_json(),
        "thresholds": bundle.assets.limits.tolist() if several else None,
    }


def own_baseline(bundle: ClassifierBundle) -> NgramModel | None:
    """Returns the n-grams of the model, if it has them: they are its baseline, trained on the same rows."""
    return None if bundle.assets.experts is None else bundle.assets.experts.ngrams


def open_file(bundle: ClassifierBundle, data: Path, reporter: Reporter) -> Part:
    """Opens a whole file of labelled texts."""
    tokenizer, labels, source = bundle.assets.tokenizer, bundle.assets.labels, bundle.assets.source
    part = open_part("test", data, tokenizer, labels, bundle.config.data, reporter, like=source)
    report_files([part], reporter)
    return measured_part(part, len(labels.names), reporter)


def sequences(bundle: ClassifierBundle, data: Path) -> Iterator[Tensor]:
    """Yields the word vectors of each text."""
    return _vectors(bundle, _texts(data, bundle.config, bundle.assets.source))


def untrained(config: ClassifierConfig, data: Path | None) -> tuple[ClassifierBundle, Iterator[Tensor]]:
    """Returns an untrained classifier with its initial weights, and the `sequences` of a file.

    The vocabulary is that of the first texts of the file, or of the built-in sample if ``data`` is None.
    """

    def texts() -> Iterator[str]:
        if data is None:
            return (row.text for row in sample_rows("en")["train"])
        return _texts(data, config)

    tokenizer = TextTokenizer.train(islice(texts(), _VOCABULARY_TEXTS), config.tokenizer)
    assets = ClassifierAssets(tokenizer, labels=Labels(("no", "yes"), "binary"))
    with initial_weights(config.train.seed):
        model = build(config, assets).eval()
    bundle = ClassifierBundle(config=config, model=model, assets=assets)
    return bundle, _vectors(bundle, texts())


def _texts(data: Path, config: ClassifierConfig, like: Source | None = None) -> Iterator[str]:
    """Yields the texts of a file, labelled or not."""
    chunks = read(detect(data, config.data, labelled=False, like=like))
    return (text for rows in chunks for text in rows.texts)


def _vectors(bundle: ClassifierBundle, texts: Iterator[str]) -> Iterator[Tensor]:
    """Yields what the recurrent layers read of each text, (T, E)."""
    model, device = bundle.model, bundle.model.embedding.weight.device
    while chunk := list(islice(texts, _TEXTS_CHUNK)):
        for ids in bundle.assets.tokenizer.encode(chunk).ids:
            with torch.no_grad():
                vectors = model.vectors(torch.from_numpy(ids.astype(np.int64)).to(device)[None])[0]
            yield vectors  # not inside no_grad: the caller's code would also run without gradients


def class_weights(config: ClassifierConfig, labels: Labels, training: Part) -> torch.Tensor | None:
    """Returns the weight of each class in the loss, of shape (C,); None for equal weights.

    ``balanced`` is ``N / (C * count)`` as in scikit-learn; for multi-label, the ratio of absent to present.

    Raises:
        ConfigError: there is a weight for a class that does not exist.
    """
    setting = config.train.class_weight
    if setting == "none":
        return None
    names = labels.names
    if setting == "balanced":
        if labels.label_kind == "multilabel":
            present = np.maximum(training.labels.sum(axis=0), 1)
            return torch.tensor((len(training) - present) / present, dtype=torch.float32)
        counts = np.maximum(np.bincount(training.labels.astype(np.int64), minlength=len(names)), 1)
        return torch.tensor(len(training) / (len(names) * counts), dtype=torch.float32)
    unknown = sorted(set(setting) - set(names))
    if unknown:
        raise ConfigError(
            f"setting train.class_weight names {unknown[0]!r}, which is not a class",
            hint=f"the classes are {', '.join(names)}",
        )
    return torch.tensor([setting.get(name, 1.0) for name in names], dtype=torch.float32)


TASK: Task[ClassifierData, ClassifierBundle] = Task(
    prepare=prepare,
    read_assets=ClassifierAssets.read,
    build=build,
    training_setup=training_setup,
    calibrate=calibrate,
    vocabulary=text_vocabulary,
    open_file=open_file,
    fit_baseline=fit_baseline,
    fit_parts=fit_parts,
    own_baseline=own_baseline,
    report_parts=report_experts,
    assess=assess,
    report_assessment=report_assessment,
    report_fields=report_fields,
    fit_fields=fit_fields,
    card=card,
    use=USE,
    predict=answers,
    sequences=sequences,
    explain=explain_text,
    label_log_odds=label_log_odds,
    check=check_files,
    untrained=untrained,
    profile=profile,
    profile_file=profile_file,
    predicted=predicted,
    continued=continued,
    answered_labels=answered_labels,
    decide=decide,
    describe_decision=describe_decision,
    study=STUDY,
    prepare_with_unlabeled=prepare,
    with_soft_labels=with_soft_labels,
    stream=stream,
)
