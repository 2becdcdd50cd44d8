"""Training for every task: from files to a trained, tested and saved model with its report."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from recurra import store
from recurra.config import Config, updated
from recurra.directories import Claim
from recurra.errors import ConfigError, OutputError
from recurra.generators import Generators, initial_weights
from recurra.layers import compile_ahead, compile_kernels, to_be_compiled
from recurra.layers.network import Network
from recurra.layers.summary import summarize
from recurra.measure.report import framed, render
from recurra.runtime import choose_device, isolated_training, keep_freed_memory, use_threads
from recurra.store import AnyBundle, Bundle
from recurra.tasks.advice import still_improving
from recurra.tasks.base import Assessment, AssessOptions, Prepared, Task, TrainingSetup
from recurra.tasks.budget import memory_errors_in_one_line, require_memory
from recurra.tasks.card import began_from, fit_report, today
from recurra.tasks.minutes import Budget, Plan, measured, resumed_plan, spoken
from recurra.tasks.registry import task_info, task_named
from recurra.tasks.reporter import Reporter, report_summary
from recurra.tasks.transfer import Pretrained, open_pretrained, start_from
from recurra.train.loop import Outcome, train
from recurra.train.observer import Observers
from recurra.train.trial import Portion

__all__ = ["Fitted", "Trained", "fit_files", "pretrain_files", "train_bundle"]

P = TypeVar("P", bound=Prepared[Any, Any, Any])
B = TypeVar("B", bound=AnyBundle)
_STOPPED = {
    "epochs": "all epochs done",
    "patience": "no more improvement",
    "time": "the minutes are up",
    "interrupted": "interrupted: the best weights so far are kept, --resume continues",
}


@dataclass(frozen=True)
class Trained(Generic[P, B]):
    """A trained model and what it was trained on.

    Attributes:
        bundle: the model.
        prepared: the data.
        outcome: what the training loop returned.
        seconds: the time of the training loop.
        baseline: the baseline of `Task.fit_baseline`; None if it was not fitted.
        plan: what was chosen for a budget of minutes; None without one.
    """

    bundle: B
    prepared: P
    outcome: Outcome
    seconds: float
    baseline: Any = None
    plan: Plan | None = None

    def record(self, data: Path, valid: Path | None) -> dict[str, Any]:
        """The entry ``training`` of ``metrics.json``."""
        return {
            "data": str(data.absolute()),
            "valid": str(valid.absolute()) if valid else None,
            "best_epoch": self.outcome.best_epoch,
            "epochs": len(self.outcome.history),
            "stopped": self.outcome.stopped,
            "seconds": round(self.seconds, 2),
            "plan": None if self.plan is None else self.plan.model_dump(),
            "still_improving": self.still_improving,
            **self._unlabeled(),
        }

    def _unlabeled(self) -> dict[str, Any]:
        """The unlabelled texts, if there are any."""
        corpus = self.prepared.corpus
        if corpus is None:
            return {}
        return {"unlabeled": {**corpus.record(), "method": self.prepared.config.unlabeled.method}}

    @property
    def still_improving(self) -> str:
        """A sentence if training ended while validation improved, with what to do; otherwise empty."""
        limit = None if self.plan is None else self.plan.limit
        return still_improving(self.outcome, self.bundle.config.train, limit)


@dataclass(frozen=True)
class Fitted:
    """A model that was trained, tested and saved.

    Attributes:
        bundle: the model.
        folder: its directory.
        outcome: what the training loop returned.
        assessment: the figures of the test.
        seconds: the time of everything: reading, training, testing.
        plan: what was chosen for a budget of minutes; None without one.
    """

    bundle: AnyBundle
    folder: Path
    outcome: Outcome
    assessment: Assessment
    seconds: float
    plan: Plan | None = None

    def as_json(self) -> dict[str, Any]:
        """What ``recurra fit --json`` prints."""
        return {
            "model_directory": str(self.folder),
            "report": str(self.folder / "report.html"),
            "task": self.bundle.task,
            "stopped": self.outcome.stopped,
            "best_epoch": self.outcome.best_epoch,
            "epochs": len(self.outcome.history),
            "plan": None if self.plan is None else self.plan.model_dump(),
            "parameters": summarize(self.bundle.model).total,
            "pretrained": self.bundle.pretrained,
            "unlabeled": self.bundle.metrics["training"].get("unlabeled"),
            "seconds": round(self.seconds, 2),
            **self.assessment.as_json(),
        }

    def _repr_html_(self) -> str:
        """Returns the report, for notebooks."""
        return framed(self.folder / "report.html")


def fit_files(
    data: Path,
    config: Config,
    out: Path,
    *,
    valid: Path | None = None,
    test: Path | None = None,
    unlabeled: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    baseline: bool = True,
    explained: int = 3,
    command: str = "",
    begun: float | None = None,
    reporter: Reporter | None = None,
) -> Fitted:
    """Trains on ``data``, tests, and saves the model with its report in ``out``.

    Under ``train.minutes`` all of this takes as many minutes at most (docs/decisions/0033-minutes.md).

    Args:
        data: the training file.
        config: all settings; the task is ``config.task``.
        out: the model's directory.
        valid: the validation file, which chooses the epoch; if None, rows of ``data`` are held out.
        test: the test file; if None, the validation rows are used.
        unlabeled: a file of texts without labels, to learn from too.
        resume: Whether to continue from the checkpoint in ``out``.
        overwrite: Whether a model in ``out`` may be replaced.
        baseline: Whether to measure the baseline too.
        explained: number of predictions to explain in the report.
        command: the command line, for the report.
        begun: value of `time.monotonic` when ``train.minutes`` began; None for now.
        reporter: receives the steps.

    Raises:
        RecurraError: unusable input, settings or ``out``; no partial file is left.
    """
    reporter = reporter or Reporter()
    budget = Budget(config.train.minutes, begun)
    with _claimed(out, resume, overwrite) as claim:
        trained = _train_files(
            data, config, claim, valid, test, resume, reporter, budget, baseline, unlabeled
        )
        bundle, prepared = trained.bundle, trained.prepared
        reporter.step("Testing")
        if prepared.test is None:
            reporter.warn(
                "no test file: the figures are of the validation rows, which chose the epoch, "
                "and a bit too high"
            )
        task, fitted = task_named(config.task), trained.baseline
        options = AssessOptions(baseline, fitted, prepared.train, explained, reporter.counting)
        assessment = task.assess(bundle, prepared.test or prepared.valid, options)
        task.report_assessment(assessment, reporter)
        bundle.metrics = {**assessment.as_json(), "training": trained.record(data, valid)}
        plan = "" if trained.plan is None else trained.plan.sentence()
        page = fit_report(task, bundle, prepared, trained.outcome, assessment, out, fitted, command, plan)
        pages = {"README.md": task.card(bundle, assessment), "report.html": render(page)}
        store.save(bundle, claim, {**pages, **_history(claim)})
    reporter.step("Saved")
    spent = f"{spoken(budget.spent())} in all"
    reporter.facts({"model": f"{out}/", "report": str(out / "report.html"), "time": spent})
    return Fitted(bundle, out, trained.outcome, assessment, budget.spent(), trained.plan)


def pretrain_files(
    data: Path,
    config: Config,
    out: Path,
    *,
    valid: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    begun: float | None = None,
    reporter: Reporter,
) -> dict[str, Any]:
    """Trains a network to initialize others from, and saves it in ``out``.

    The model is that of `fit_files` without test, baseline and report (docs/decisions/0009-transfer.md).
    Arguments and errors are those of `fit_files`; a task without words is a ConfigError. Returns what
    ``--json`` prints.
    """
    if not task_info(config.task).words:
        raise ConfigError(
            f"a model of task {config.task} has no words for others to begin from", where="task"
        )
    budget = Budget(config.train.minutes, begun)
    with _claimed(out, resume, overwrite) as claim:
        trained = _train_files(data, config, claim, valid, None, resume, reporter, budget, None)
        bundle, record = trained.bundle, trained.record(data, valid)
        bundle.metrics = {"training": record}
        words, width = len(bundle.assets.words()), bundle.config.model.embedding
        store.save(bundle, claim, {"README.md": _card(bundle, words, trained.seconds), **_history(claim)})
    reporter.step("Saved")
    reporter.facts({"model": f"{out}/", "vectors": f"{words:,} words, {width} numbers each"})
    reporter.note(f"next: recurra fit SMALL --pretrained {out}")
    return {
        "model_directory": str(out),
        "words": words,
        "width": width,
        "parameters": summarize(bundle.model).total,
        **{name: record[name] for name in ("stopped", "best_epoch", "epochs")},
        "seconds": round(budget.spent(), 2),
    }


def _card(bundle: AnyBundle, words: int, seconds: float) -> str:
    """``README.md`` of a pretrained model."""
    return f"""# Pretrained network

A network trained with `recurra pretrain` (task {bundle.task}), {today()}, in {seconds:,.0f} s,
for others to begin from: {words:,} words, {bundle.config.model.embedding} numbers each.
It answers as any model does, but was never tested: `recurra evaluate . DATA` measures it.
{began_from(bundle)}
## Use

    recurra fit DATA --pretrained .
    recurra fit DATA --pretrained . --freeze
"""


def _train_files(
    data: Path,
    config: Config,
    claim: Claim,
    valid: Path | None,
    test: Path | None,
    resume: bool,
    reporter: Reporter,
    budget: Budget,
    baseline: bool | None,
    unlabeled: Path | None = None,
) -> Trained[Any, Any]:
    """Trains on ``data`` and saves the model; arguments and errors are those of `fit_files`."""
    task = task_named(config.task)
    config, pretrained = open_pretrained(config, unlabeled=unlabeled is not None)
    if _may_use_kernels(config):
        compile_ahead(config.model.cell)
    if unlabeled is None:
        prepared = task.prepare(data, config, reporter, valid=valid, test=test)
    elif task.prepare_with_unlabeled is not None:
        prepared = task.prepare_with_unlabeled(
            data, config, reporter, valid=valid, test=test, unlabeled=unlabeled
        )
    else:
        hint = "leave it out, or pretrain a model of the texts for --pretrained"
        raise ConfigError(f"task {config.task} can't use unlabelled texts", where="--unlabeled", hint=hint)
    folder = claim.folder / store.TRAINING
    try:
        trained = train_bundle(
            task,
            prepared,
            pretrained=pretrained,
            reporter=reporter,
            folder=folder,
            resume=resume,
            budget=budget,
            baseline=baseline,
        )
    except BaseException:
        if folder.is_dir() and not store.has_checkpoint(claim.folder):
            shutil.rmtree(folder)
        if claim.folder.is_dir() and not any(claim.folder.iterdir()):
            claim.folder.rmdir()
        raise
    # Saved before it is tested: the model is there even if the test is interrupted.
    store.save(trained.bundle, claim)
    return trained


def _may_use_kernels(config: Config) -> bool:
    """Whether training runs on the CPU with recurra's own kernels, if they have the cell."""
    return config.model.backend in ("auto", "cpu") and choose_device(config.train.device).type == "cpu"


def _compile_kernels(cell: str, reporter: Reporter) -> None:
    """Compiles what of the kernels was not compiled while the data were read, and reports its progress."""
    if left := to_be_compiled(cell):
        reporter.note("Compiling the recurrence for this machine, once: some 8 seconds.")
        with reporter.counting("compiling the kernels", left) as tick:
            compile_kernels(cell, tick)


def train_bundle(
    task: Task[P, B],
    prepared: P,
    *,
    pretrained: Pretrained | None = None,
    reporter: Reporter | None = None,
    folder: Path | None = None,
    resume: bool = False,
    budget: Budget | None = None,
    baseline: bool | None = None,
) -> Trained[P, B]:
    """Trains a task's network on prepared data and keeps the weights of the best epoch in validation.

    Args:
        task: the task's functions.
        prepared: what its ``prepare`` returned.
        pretrained: initial weights, as `open_pretrained` returned them.
        reporter: receives the steps, the summary and the progress.
        folder: for checkpoints and history; None writes nothing.
        resume: Whether to continue from the checkpoint in ``folder``; if not, it is removed.
        budget: the time that everything may take, for which the epochs are chosen; None: ``train.minutes`` is
            ignored, and no duration is reported.
        baseline: whether to fit the baseline too, before training, so that its time is known; None if the
            model is not tested at all.

    Raises:
        RecurraError: a setting that the network or its backend does not support, or pretrained weights of
            other shapes.
    """
    reporter = reporter or Reporter()
    use_threads()
    keep_freed_memory()
    config = prepared.config
    if prepared.corpus is not None:
        from recurra.tasks.unlabeled import learned  # which trains with this function

        minutes = None if budget is None else budget.minutes
        prepared, pretrained = learned(task, prepared, pretrained, reporter, minutes)
    start = None
    if pretrained is not None:
        vocabulary = None if task.vocabulary is None else task.vocabulary(prepared)
        start = start_from(pretrained, config, vocabulary, reporter)
    reporter.step("Training")
    device = choose_device(config.train.device)
    with isolated_training(device), memory_errors_in_one_line():
        if device.type == "cpu":
            require_memory(task, prepared)
        with initial_weights(config.train.seed):
            model = task.build(config, prepared.assets)
        # The settings that a resumed run must share; prepared.key covers those of the data.
        covered = ("recipe", "data", "tokenizer", "train", "set_by_rule")
        shared = {name: section for name, section in config.plain().items() if name not in covered}
        fingerprint = {"data": prepared.key, **shared}
        if start is not None:
            start.apply(model, freeze=config.train.freeze or config.train.unfreeze_after is not None)
            fingerprint["pretrained"] = {"sha256": start.origin["sha256"]}
        report_summary(summarize(model), reporter)
        if _may_use_kernels(config):
            _compile_kernels(config.model.cell, reporter)
        model.to(device)
        training_setup = task.training_setup(prepared, model, reporter)
        _try_out(task, prepared, model, training_setup)
        begun = time.perf_counter()
        fitted = task.fit_baseline(prepared, reporter) if baseline and task.fit_baseline else None
        spent = time.perf_counter() - begun
        plan, left = (resumed_plan(folder) if resume and folder is not None else None), None
        if plan is not None:
            config = plan.applied(config)
        elif resume and budget is not None:  # a limit does not change a training that has begun
            config = updated(config, {"train": {"minutes": None}})
        if budget is not None and not (resume and budget.minutes is None):
            left = measured(
                prepared, model, training_setup, budget, reporter, baseline=spent, tested=baseline is not None
            )
            if not resume:
                config, plan = left.planned(config, reporter)
        if folder is not None and folder.exists() and not resume:
            shutil.rmtree(folder)
        if plan is not None and folder is not None:
            plan.save(folder)
        batches, observer = training_setup.batches, reporter.observer()
        if config.train.steps_per_epoch is not None:
            batches = Portion(batches, config.train.steps_per_epoch)
        begun = time.perf_counter()
        outcome = train(
            model,
            batches,
            training_setup.objective,
            training_setup.validate,
            config.train,
            folder=folder,
            resume=resume,
            observer=observer if left is None else Observers(observer, left),
            fingerprint=json.dumps(fingerprint, sort_keys=True),
            layers=model.layer_groups(),
            time_left=left,
        )
        seconds = time.perf_counter() - begun
    if outcome.history:
        reporter.note(f"{_STOPPED[outcome.stopped]}; weights of epoch {outcome.best_epoch} kept")
    else:
        reporter.note(
            "interrupted before the first epoch ended: the weights so far are kept, though none of them "
            "was validated; --resume continues"
        )
    bundle: Any = Bundle(
        config=config,
        model=model.eval(),
        assets=prepared.assets,
        pretrained=None if start is None else start.origin,
    )
    prepared = replace(prepared, config=config)
    if task.calibrate is not None:
        bundle = task.calibrate(bundle, prepared, reporter)
    trained = Trained(bundle, prepared, outcome, seconds, fitted, plan)
    if trained.still_improving:
        reporter.note(f"{trained.still_improving}.")
    return trained


def _try_out(
    task: Task[Any, Any], prepared: Prepared[Any, Any, Any], model: Network, training_setup: TrainingSetup
) -> None:
    """Computes the loss of the first batch, so that a backend fails before anything is written."""
    first = next(training_setup.batches.epoch(1), None)
    if first is None:
        return
    if next(model.parameters()).device.type == "cpu":
        require_memory(task, prepared, model, first.steps)
    carried = dict(training_setup.objective.state_dict())
    with torch.no_grad(), Generators(0).in_use():
        training_setup.objective(model.train(), first)
    training_setup.objective.load_state_dict(carried)


@contextmanager
def _claimed(out: Path, resume: bool, overwrite: bool) -> Iterator[Claim]:
    """Context in which only this process trains in ``out``, after checking that it may and can save there."""
    with store.claimed(out) as claim:
        if store.is_bundle(out) and not (resume or overwrite):
            raise OutputError(
                "holds a model already", where=out, hint="pass --overwrite, --resume or another --out"
            )
        begun = store.has_checkpoint(out)
        if resume and not begun:
            raise OutputError("there is no checkpoint to resume", where=out, hint="leave --resume out")
        if begun and not (resume or overwrite):
            raise OutputError(
                "holds an unfinished training",
                where=out,
                hint="pass --resume to continue, or --overwrite to start again",
            )
        yield claim


def _history(claim: Claim) -> dict[str, str]:
    """Returns ``history.csv``, by name, to be saved with the model."""
    history = claim.folder / store.TRAINING / "history.csv"
    return {"history.csv": history.read_text(encoding="utf-8")} if history.is_file() else {}
