"""The training of a task's network on prepared data, with its budget, checkpoints and calibration."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import nn

from recurra.config import Config, ModelConfig, updated
from recurra.generators import Generators, initial_weights
from recurra.layers import compile_kernels, to_be_compiled
from recurra.layers.network import Network
from recurra.layers.summary import summarize
from recurra.runtime import (
    choose_device,
    computing_with,
    isolated_training,
    keep_freed_memory,
    use_threads,
)
from recurra.store import AnyBundle, Bundle
from recurra.tasks.advice import still_improving
from recurra.tasks.base import Prepared, Task, TrainingSetup
from recurra.tasks.budget import memory_errors_in_one_line, require_memory
from recurra.tasks.continuing import GoesOn
from recurra.tasks.minutes import Budget, Plan, measured, resumed_plan, test_seconds
from recurra.tasks.reporter import Reporter, report_summary
from recurra.tasks.transfer import Pretrained, Start, start_from
from recurra.train.distributed import ALONE, World
from recurra.train.loop import Outcome, train
from recurra.train.objective import MixedPrecision
from recurra.train.observer import Observers
from recurra.train.trackers import trackers
from recurra.train.trial import Portion

__all__ = ["Trained", "compile_cell", "follow_training", "is_mixed", "may_use_kernels", "train_bundle"]

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
        workers: the number of processes that trained together.
    """

    bundle: B
    prepared: P
    outcome: Outcome
    seconds: float
    baseline: Any = None
    plan: Plan | None = None
    workers: int = 1

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
            **({} if self.workers == 1 else {"workers": self.workers}),
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


def may_use_kernels(config: Config) -> bool:
    """Whether training runs on the CPU with recurra's own kernels, if they have the cell."""
    return config.model.backend in ("auto", "cpu") and choose_device(config.train.device).type == "cpu"


def is_mixed(config: ModelConfig, device: torch.device) -> bool:
    """Whether training computes all products of the network in bfloat16, by ``torch.autocast``.

    The kernels of recurra, which run on the CPU, round the factors of the recurrent layers alone.

    Example:
        >>> config = ModelConfig(precision="bfloat16")
        >>> is_mixed(config, torch.device("cuda")), is_mixed(config, torch.device("cpu"))
        (True, False)
    """
    return config.precision == "bfloat16" and (device.type != "cpu" or config.backend == "torch")


def compile_cell(cell: str, reporter: Reporter) -> None:
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
    goes_on: GoesOn | None = None,
    reporter: Reporter | None = None,
    folder: Path | None = None,
    resume: bool = False,
    budget: Budget | None = None,
    baseline: bool | None = None,
    world: World = ALONE,
) -> Trained[P, B]:
    """Trains a task's network on prepared data and keeps the weights of the best epoch in validation.

    Args:
        task: the task's functions.
        prepared: what its ``prepare`` returned.
        pretrained: initial weights, as `open_pretrained` returned them.
        goes_on: the model whose weights are all gone on from, instead.
        reporter: receives the steps, the summary and the progress.
        folder: for checkpoints and history; None writes nothing.
        resume: Whether to continue from the checkpoint in ``folder``; if not, it is removed.
        budget: the time that everything may take, for which the epochs are chosen; None: ``train.minutes`` is
            ignored, and no duration is reported.
        baseline: whether to fit the baseline too, before training, so that its time is known; None if the
            model is not tested at all.
        world: the processes that train together, of which this is the first; the others call
            `follow_training`.

    Raises:
        RecurraError: a setting that the network or its backend does not support, or pretrained weights of
            other shapes.
    """
    reporter = reporter or Reporter()
    run = _train(task, prepared, pretrained, goes_on, reporter, folder, resume, budget, baseline, world)
    outcome, prepared = run.outcome, run.prepared
    if outcome.history:
        reporter.note(f"{_STOPPED[outcome.stopped]}; weights of epoch {outcome.best_epoch} kept")
    else:
        reporter.note(
            "interrupted before the first epoch ended: the weights so far are kept, though none of them "
            "was validated; --resume continues"
        )
    bundle: Any = Bundle(
        config=prepared.config,
        model=run.model.eval(),
        assets=prepared.assets,
        pretrained=None if run.start is None else run.start.origin,
    )
    if task.calibrate is not None:
        bundle = task.calibrate(bundle, prepared, reporter)
    if task.profile is not None and len(prepared.valid):
        with reporter.counting("statistics of the validation rows") as tick:
            profile = task.profile(bundle, prepared.valid, tick)
        bundle = replace(bundle, assets=replace(bundle.assets, profile=profile))
    trained = Trained(bundle, prepared, outcome, run.seconds, run.baseline, run.plan, world.size)
    if trained.still_improving:
        reporter.note(f"{trained.still_improving}.")
    return trained


def follow_training(
    task: Task[P, Any],
    prepared: P,
    world: World,
    *,
    pretrained: Pretrained | None = None,
    goes_on: GoesOn | None = None,
    resume: bool = False,
    budget: Budget | None = None,
) -> None:
    """Trains with the first process of ``world``, which calls `train_bundle` with the same arguments.

    Nothing is written or reported.

    Raises:
        RecurraError: as `train_bundle`; or the data are other ones than those of the first process.
    """
    _train(task, prepared, pretrained, goes_on, Reporter(), None, resume, budget, None, world)


@dataclass(frozen=True)
class _Run(Generic[P]):
    """A network after its training, before it is calibrated; attributes are those of `Trained`."""

    model: Network
    prepared: P
    outcome: Outcome
    seconds: float
    start: Start | GoesOn | None
    baseline: Any
    plan: Plan | None


def _train(
    task: Task[P, Any],
    prepared: P,
    pretrained: Pretrained | None,
    goes_on: GoesOn | None,
    reporter: Reporter,
    folder: Path | None,
    resume: bool,
    budget: Budget | None,
    baseline: bool | None,
    world: World,
) -> _Run[P]:
    """Trains the network in this process, as one of ``world``; arguments are those of `train_bundle`."""
    use_threads()
    keep_freed_memory()
    config = prepared.config
    if prepared.corpus is not None:
        from recurra.tasks.unlabeled import learned  # which trains with this module

        minutes = None if budget is None else budget.minutes
        with world.leader_first():
            prepared, pretrained = learned(task, prepared, pretrained, reporter, minutes)
    start: Start | GoesOn | None = goes_on
    if pretrained is not None:
        vocabulary = None if task.vocabulary is None else task.vocabulary(prepared)
        start = start_from(pretrained, config, vocabulary, reporter)
    reporter.step("Training")
    device = world.device(choose_device(config.train.device))
    with isolated_training(device, config.model.precision), memory_errors_in_one_line():
        if device.type == "cpu":
            require_memory(task, prepared)
        # Also of the initial weights, the last bits depend on the number of threads.
        with _threads(world.threads), initial_weights(config.train.seed):
            model = task.build(config, prepared.assets)
        # The settings that a resumed run must share; prepared.key covers those of the data.
        covered = ("recipe", "data", "tokenizer", "train", "set_by_rule")
        shared = {name: section for name, section in config.plain().items() if name not in covered}
        fingerprint = {"data": prepared.key, **shared}
        if start is not None:
            start.apply(model, freeze=config.train.freeze or config.train.unfreeze_after is not None)
            fingerprint["pretrained"] = {"sha256": start.origin["sha256"]}
        report_summary(summarize(model), reporter)
        with world.leader_first():
            if may_use_kernels(config):
                compile_cell(config.model.cell, reporter)
            model.to(device)
            training_setup = task.training_setup(prepared, model, reporter)
            if is_mixed(config.model, device):
                mixed = MixedPrecision(training_setup.objective, device)
                training_setup = replace(training_setup, objective=mixed)
        fitted = parts = None
        begun = time.perf_counter()
        if world.leads:
            with _threads(world.threads):
                _try_out(task, prepared, model, training_setup)
            begun = time.perf_counter()
            fitted = task.fit_baseline(prepared, reporter) if baseline and task.fit_baseline else None
        spent = time.perf_counter() - begun
        if world.leads and task.fit_parts is not None:
            parts = task.fit_parts(prepared, reporter)
        others = test_seconds(spent, len(prepared.train)) if parts is None else parts
        plan, left = _told(world, resumed_plan(folder) if resume and folder is not None else None), None
        if plan is not None:
            config = plan.applied(config)
        elif resume and budget is not None:  # a limit does not change a training that has begun
            config = updated(config, {"train": {"minutes": None}})
        if world.size > 1:
            each = "" if world.threads is None else f", each with {_counted(world.threads, 'thread')}"
            reporter.note(f"{world.size} processes train together{each}")
        with _threads(world.threads):
            if budget is not None and not (resume and budget.minutes is None):
                left = measured(
                    prepared,
                    model,
                    training_setup,
                    budget,
                    reporter,
                    others=others,
                    tested=baseline is not None,
                    world=world,
                )
                if not resume:
                    plan = _told(world, left.planned(config, reporter)[1] if world.leads else None)
                    config = config if plan is None else plan.applied(config)
            if folder is not None and folder.exists() and not resume:
                shutil.rmtree(folder)
            if plan is not None and folder is not None:
                plan.save(folder)
            batches, observer = training_setup.batches, reporter.observer()
            if config.train.steps_per_epoch is not None:
                batches = Portion(batches, config.train.steps_per_epoch)
            title = prepared.source_name if folder is None else folder.parent.name
            tracked = trackers(config.train.trackers if world.leads else [], folder, title, config.plain())
            begun = time.perf_counter()
            outcome = train(
                model,
                batches,
                training_setup.objective,
                _with_threads(training_setup.validate, world.threads_alone),
                config.train,
                folder=folder,
                resume=resume,
                observer=Observers(observer, *([] if left is None else [left]), *tracked),
                fingerprint=json.dumps(fingerprint, sort_keys=True),
                layers=model.layer_groups(),
                time_left=left,
                world=world,
            )
            seconds = time.perf_counter() - begun
    return _Run(model, replace(prepared, config=config), outcome, seconds, start, fitted, plan)


def _told(world: World, plan: Plan | None) -> Plan | None:
    """The plan of the first process."""
    told = world.told(None if plan is None else plan.model_dump())
    return None if told is None else Plan.model_validate(told)


def _threads(count: int | None) -> AbstractContextManager[None]:
    return nullcontext() if count is None else computing_with(count)


def _with_threads(
    validate: Callable[[nn.Module], Mapping[str, float]], count: int | None
) -> Callable[[nn.Module], Mapping[str, float]]:
    """The validation by one process while the others wait, so that it has their processors."""

    def validated(network: nn.Module) -> Mapping[str, float]:
        with _threads(count):
            return validate(network)

    return validated


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


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
