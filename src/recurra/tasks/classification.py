"""The whole path of classification: files in; a trained, tested, explained and saved model out."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recurra import bundle as bundles
from recurra.batches.batcher import Batches
from recurra.bundle import ClassifierBundle
from recurra.config import Config
from recurra.errors import ConfigError, OutputError
from recurra.evaluate.calibration import fit_temperature
from recurra.evaluate.metrics import classification_metrics
from recurra.evaluate.report import render
from recurra.layers import to_be_compiled
from recurra.models.classifier import Classifier
from recurra.models.loss import classification_loss, probabilities
from recurra.models.predict import predict_logits
from recurra.models.summary import summarize
from recurra.runtime import choose_device, keep_freed_memory, seed_everything, use_threads
from recurra.tasks.assess import (
    EVALUATION_BATCH,
    Assessment,
    assess,
    fit_baseline,
    logits_of,
    tell_assessment,
)
from recurra.tasks.card import model_card, report_data
from recurra.tasks.narrate import Narrator, Silent, tell_summary
from recurra.tasks.prepare import Part, Prepared, prepare
from recurra.tasks.transfer import Start, open_pretrained, start_from
from recurra.text.labels import Labels
from recurra.text.tokenizer import TextTokenizer
from recurra.train.loop import Outcome, train
from recurra.train.objective import Supervised

__all__ = ["Fitted", "Trained", "default_out", "fit_files", "fit_model", "history_of", "train_files"]


def default_out(data: Path) -> Path:
    """``NAME-model`` in the working directory, for the data file ``NAME.csv.gz``."""
    return Path(f"{data.absolute().name.partition('.')[0] or 'recurra'}-model")


@dataclass(frozen=True)
class Trained:
    """A model that was trained and saved, and what it was trained on."""

    bundle: ClassifierBundle
    prepared: Prepared
    outcome: Outcome

    def record(self, data: Path, valid: Path | None, begun: float) -> dict[str, Any]:
        """What ``metrics.json`` holds of a training that began at ``begun`` by `time.perf_counter`."""
        return {
            "data": str(data.absolute()),
            "valid": str(valid.absolute()) if valid else None,
            "best_epoch": self.outcome.best_epoch,
            "epochs": len(self.outcome.history),
            "stopped": self.outcome.stopped,
            "seconds": round(time.perf_counter() - begun, 2),
        }


@dataclass(frozen=True)
class Fitted:
    """A model that was trained, tested and saved."""

    bundle: ClassifierBundle
    folder: Path
    outcome: Outcome
    assessment: Assessment
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """What ``recurra fit --json`` prints."""
        return {
            "model_directory": str(self.folder),
            "report": str(self.folder / "report.html"),
            "stopped": self.outcome.stopped,
            "best_epoch": self.outcome.best_epoch,
            "epochs": len(self.outcome.history),
            "parameters": summarize(self.bundle.model).total,
            "pretrained": self.bundle.pretrained,
            "seconds": round(self.seconds, 2),
            **self.assessment.as_json(),
        }


def fit_files(
    data: Path,
    config: Config,
    out: Path,
    *,
    valid: Path | None = None,
    test: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    baseline: bool = True,
    explained: int = 3,
    command: str = "",
    tell: Narrator | None = None,
) -> Fitted:
    """Train on ``data``, test, and save the model with its report in ``out``.

    Args:
        data: labelled texts.
        config: every setting.
        out: the model's directory.
        valid: rows that choose the epoch; some of ``data`` are held out if None.
        test: rows to measure on, once, at the end; the validation rows if None.
        resume: go on from the checkpoint in ``out``.
        overwrite: a model in ``out`` may be replaced.
        baseline: whether to train the n-gram baseline beside it.
        explained: how many predictions to explain in the report.
        command: what was typed, for the report.
        tell: hears of the steps.

    Raises:
        RecurraError: bad input, settings or place; nothing half-written is left.
    """
    tell = tell or Silent()
    begun = time.perf_counter()
    trained = train_files(
        data, config, out, valid=valid, test=test, resume=resume, overwrite=overwrite, tell=tell
    )
    fitted, prepared = trained.bundle, trained.prepared

    tell.step("Testing")
    part = prepared.test or prepared.valid
    if prepared.test is None:
        tell.warn(
            "no test file: these figures are of the validation rows that chose the epoch, so a little high"
        )
    ngrams = fit_baseline(prepared.train, fitted, tell) if baseline else None
    found = assess(fitted, part, baseline=ngrams, training=prepared.train, explained=explained)
    tell_assessment(found, tell)
    record = trained.record(data, valid, begun)
    fitted.metrics = {**found.as_json(), "training": record}
    page = report_data(fitted, prepared, trained.outcome, found, ngrams, command)
    extras = {"README.md": model_card(fitted, found), "report.html": render(page)}
    bundles.save(fitted, out, {**extras, **history_of(out)})
    tell.step("Saved")
    tell.facts({"model": f"{out}/", "report": str(out / "report.html")})
    return Fitted(fitted, out, trained.outcome, found, record["seconds"])


def train_files(
    data: Path,
    config: Config,
    out: Path,
    *,
    valid: Path | None = None,
    test: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    tell: Narrator,
) -> Trained:
    """Train on ``data`` and save the model in ``out``; arguments and errors are those of `fit_files`."""
    _check_out(out, resume, overwrite)
    config, pretrained = open_pretrained(config)
    prepared = prepare(data, config, tell, valid=valid, test=test)
    start = None
    if pretrained is not None:
        start = start_from(pretrained, config, prepared.tokenizer, prepared.train, tell)
    work = out / bundles.TRAINING
    if not resume and work.exists():
        shutil.rmtree(work)
    tell.step("Training")
    try:
        model, outcome = fit_model(
            prepared.config,
            prepared.labels,
            prepared.tokenizer,
            prepared.train,
            prepared.valid,
            tell=tell,
            folder=work,
            resume=resume,
            key=prepared.key,
            start=start,
        )
    except BaseException:
        _remove_empty(out, work)
        raise
    tell.note(_how_it_ended(outcome))
    bundle = ClassifierBundle(
        config=prepared.config,
        model=model,
        tokenizer=prepared.tokenizer,
        labels=prepared.labels,
        source=prepared.source,
        pretrained=start.origin if start else None,
    )
    logits, truth = logits_of(bundle, prepared.valid), prepared.valid.labels
    bundle.temperature = fit_temperature(logits, truth, prepared.labels.task)
    # Saved before it is tested: whoever stops the test or the baseline still has the model.
    bundles.save(bundle, out)
    return Trained(bundle, prepared, outcome)


def fit_model(
    config: Config,
    labels: Labels,
    tokenizer: TextTokenizer,
    training: Part,
    validation: Part | None,
    *,
    tell: Narrator,
    folder: Path | None = None,
    resume: bool = False,
    key: str = "",
    start: Start | None = None,
) -> tuple[Classifier, Outcome]:
    """Train a classifier on ``training``; the weights that did best on ``validation`` are kept.

    Args:
        config: its sections ``model`` and ``train``.
        labels: the classes.
        tokenizer: gives the number of embeddings.
        training: the rows to learn from.
        validation: the rows that choose the epoch; None trains all epochs.
        tell: hears of the summary and the progress.
        folder: for checkpoints and history; None writes nothing.
        resume: go on from the checkpoint in ``folder``.
        key: what the data was; a checkpoint of other data is refused.
        start: pretrained weights to begin from.
    """
    use_threads()
    keep_freed_memory()
    seed_everything(config.train.seed)
    task = labels.task
    model = Classifier(
        config.model,
        tokenizer.vocab_size,
        len(labels.names),
        task,
        embedding_rows=config.train.embedding_rows,
    )
    begun_from = {}
    if start is not None:
        start.give(model, freeze=config.train.freeze or config.train.unfreeze_after is not None)
        begun_from = {"pretrained": {"sha256": start.origin["sha256"]}}
    tell_summary(summarize(model), tell)
    if to_be_compiled():
        tell.note("Compiling the recurrence for this machine, once: some ten seconds.")
    _try_out(model)
    model.to(choose_device(config.train.device))
    loss = classification_loss(task, class_weights(config, labels, training))
    batches = Batches(
        training.examples, training.rows, config.train.batch_size, shuffle=True, seed=config.train.seed
    )

    def validate(network: torch.nn.Module) -> Mapping[str, float]:
        if validation is None:
            return {}
        logits = predict_logits(network, Batches(validation.examples, validation.rows, EVALUATION_BATCH))
        found = classification_metrics(validation.labels, probabilities(logits, task), labels.names, task)
        figures = {"loss": found.log_loss, "accuracy": found.accuracy, "macro_f1": found.macro_f1}
        return figures if found.auc is None else {**figures, "auc": found.auc}

    outcome = train(
        model,
        batches,
        Supervised(loss),
        validate,
        config.train,
        folder=folder,
        resume=resume,
        observer=tell.observer(),
        fingerprint=json.dumps(
            {"data": key, "model": config.model.model_dump(mode="json"), **begun_from}, sort_keys=True
        ),
        layers=model.floors(),
    )
    return model.eval(), outcome


def _try_out(model: Classifier) -> None:
    """One step on one token, so that a backend that can't serve is refused before anything is written."""
    tokens = torch.zeros(1, 1, dtype=torch.long)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        model.train()(tokens, torch.ones(1, dtype=torch.long))


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
        if labels.task == "multilabel":
            present = np.maximum(training.labels.sum(axis=0), 1)
            return torch.tensor((len(training) - present) / present, dtype=torch.float32)
        counts = np.maximum(np.bincount(training.labels.astype(np.int64), minlength=len(names)), 1)
        return torch.tensor(len(training) / (len(names) * counts), dtype=torch.float32)
    unknown = sorted(set(wanted) - set(names))
    if unknown:
        raise ConfigError(
            f"setting train.class_weight names {unknown[0]!r}, which is no class",
            mend=f"the classes are {', '.join(names)}",
        )
    return torch.tensor([wanted.get(name, 1.0) for name in names], dtype=torch.float32)


def _check_out(out: Path, resume: bool, overwrite: bool) -> None:
    """Refuse early what could not be saved in the end."""
    if bundles.is_bundle(out) and not (resume or overwrite):
        raise OutputError(
            "holds a model already", where=out, mend="pass --overwrite, --resume or another --out"
        )
    bundles.check_writable(out)
    begun = (out / bundles.TRAINING).is_dir()
    if resume and not begun:
        raise OutputError("there is no checkpoint to resume", where=out, mend="leave --resume out")
    if begun and not (resume or overwrite):
        raise OutputError(
            "holds an unfinished training",
            where=out,
            mend="pass --resume to go on, or --overwrite to start anew",
        )


def _remove_empty(out: Path, work: Path) -> None:
    """Leave no empty directory behind where training never wrote a checkpoint."""
    for folder in (work, out):
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


def _how_it_ended(outcome: Outcome) -> str:
    why = {
        "epochs": "all epochs done",
        "patience": "no more improvement",
        "interrupted": "interrupted: the best weights so far are kept, --resume goes on",
    }[outcome.stopped]
    return f"{why}; weights of epoch {outcome.best_epoch} kept"


def history_of(out: Path) -> dict[str, str]:
    """``history.csv`` by its name, as a file that is saved with the model."""
    history = out / bundles.TRAINING / "history.csv"
    return {"history.csv": history.read_text(encoding="utf-8")} if history.is_file() else {}
