"""The path that every task takes: files in; a trained, tested and saved model with its report out."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch

from recurra import store
from recurra.config import Config
from recurra.errors import OutputError
from recurra.layers import to_be_compiled
from recurra.layers.network import Network
from recurra.layers.summary import summarize
from recurra.runtime import choose_device, isolated_training, keep_freed_memory, use_threads
from recurra.store import Bundle
from recurra.tasks.base import Ready, TaskPath, Tested, TestOptions, TrainingSetup
from recurra.tasks.registry import task_named
from recurra.tasks.reporter import Reporter, report_summary
from recurra.tasks.transfer import Start, open_pretrained, start_from
from recurra.train.loop import Outcome, train

__all__ = [
    "Fitted",
    "Trained",
    "default_out",
    "fit_files",
    "history_of",
    "train_files",
    "train_ready",
]


R = TypeVar("R", bound=Ready)
B = TypeVar("B", bound=Bundle)


def default_out(data: Path) -> Path:
    """``NAME-model`` in the working directory, for the data file ``NAME.csv.gz``."""
    return Path(f"{data.absolute().name.partition('.')[0] or 'recurra'}-model")


@dataclass(frozen=True)
class Trained(Generic[R, B]):
    """A model that was trained and saved, and what it was trained on."""

    bundle: B
    ready: R
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

    bundle: Bundle
    folder: Path
    outcome: Outcome
    tested: Tested
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """What ``recurra fit --json`` prints."""
        return {
            "model_directory": str(self.folder),
            "report": str(self.folder / "report.html"),
            "task": self.bundle.task,
            "stopped": self.outcome.stopped,
            "best_epoch": self.outcome.best_epoch,
            "epochs": len(self.outcome.history),
            "parameters": summarize(self.bundle.model).total,
            "pretrained": self.bundle.pretrained,
            "seconds": round(self.seconds, 2),
            **self.tested.figures,
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
    reporter: Reporter | None = None,
) -> Fitted:
    """Train on ``data``, test, and save the model with its report in ``out``.

    Args:
        data: what to learn from.
        config: every setting; its ``task`` says what is learned.
        out: the model's directory.
        valid: what chooses the epoch; some of ``data`` is held out if None.
        test: what to measure on, once, at the end; what chose the epoch if None.
        resume: go on from the checkpoint in ``out``.
        overwrite: a model in ``out`` may be replaced.
        baseline: whether to measure the baseline beside it.
        explained: how many predictions to explain in the report.
        command: what was typed, for the report.
        reporter: receives the steps.

    Raises:
        RecurraError: bad input, settings or place; nothing half-written is left.
    """
    reporter = reporter or Reporter()
    begun = time.perf_counter()
    trained = train_files(
        data, config, out, valid=valid, test=test, resume=resume, overwrite=overwrite, reporter=reporter
    )
    bundle, ready = trained.bundle, trained.ready
    reporter.step("Testing")
    if ready.test is None:
        reporter.warn("no test file: these figures are of what chose the epoch, so a little high")
    options = TestOptions(baseline, explained, command)
    tested = task_named(config.task).test(bundle, ready, trained.outcome, options, reporter)
    record = trained.record(data, valid, begun)
    bundle.metrics = {**tested.figures, "training": record}
    store.save(bundle, out, {**tested.files, **history_of(out)})
    reporter.step("Saved")
    reporter.facts({"model": f"{out}/", "report": str(out / "report.html")})
    return Fitted(bundle, out, trained.outcome, tested, record["seconds"])


def train_files(
    data: Path,
    config: Config,
    out: Path,
    *,
    valid: Path | None = None,
    test: Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    reporter: Reporter,
) -> Trained[Any, Any]:
    """Train on ``data`` and save the model in ``out``; arguments and errors are those of `fit_files`."""
    _check_out(out, resume, overwrite)
    task = task_named(config.task)
    config, pretrained = open_pretrained(config)
    ready = task.prepare(data, config, reporter, valid=valid, test=test)
    start = None
    if pretrained is not None:
        start = start_from(pretrained, config, task.vocabulary(ready), reporter)
    work = out / store.TRAINING
    if not resume and work.exists():
        shutil.rmtree(work)
    reporter.step("Training")
    try:
        model, outcome = train_ready(task, ready, reporter=reporter, folder=work, resume=resume, start=start)
    except BaseException:
        _remove_empty(out, work)
        raise
    reporter.note(_how_it_ended(outcome))
    bundle = task.bundle(ready, model, start.origin if start else None)
    # Saved before it is tested: whoever stops the test or the baseline still has the model.
    store.save(bundle, out)
    return Trained(bundle, ready, outcome)


def train_ready(
    task: TaskPath[R, B],
    ready: R,
    *,
    reporter: Reporter,
    folder: Path | None = None,
    resume: bool = False,
    start: Start | None = None,
) -> tuple[Network, Outcome]:
    """Train a task's network on what is ready; the weights that did best in validation are kept.

    Args:
        task: its steps.
        ready: what it prepared.
        reporter: receives the summary and the progress.
        folder: for checkpoints and history; None writes nothing.
        resume: go on from the checkpoint in ``folder``.
        start: pretrained weights to begin from.
    """
    use_threads()
    keep_freed_memory()
    config = ready.config
    device = choose_device(config.train.device)
    with isolated_training(config.train.seed, device):
        model = task.network(ready)
        begun_from = {}
        if start is not None:
            start.give(model, freeze=config.train.freeze or config.train.unfreeze_after is not None)
            begun_from = {"pretrained": {"sha256": start.origin["sha256"]}}
        report_summary(summarize(model), reporter)
        if to_be_compiled():
            reporter.note("Compiling the recurrence for this machine, once: some 15 seconds.")
        model.to(device)
        training_setup = task.training_setup(ready, model)
        _try_out(model, training_setup)
        plain = config.plain()
        settings = {
            name: section
            for name, section in plain.items()
            if name not in ("recipe", "data", "tokenizer", "train")
        }
        outcome = train(
            model,
            training_setup.batches,
            training_setup.objective,
            training_setup.validate,
            config.train,
            folder=folder,
            resume=resume,
            observer=reporter.observer(),
            fingerprint=json.dumps({"data": ready.key, **settings, **begun_from}, sort_keys=True),
            layers=model.layer_groups(),
        )
        return model.eval(), outcome


def _try_out(model: Network, training_setup: TrainingSetup) -> None:
    """The first batch forwards, so that a backend that can't serve is refused before anything is written."""
    first = next(training_setup.batches.epoch(1), None)
    if first is None:
        return
    carried = dict(training_setup.objective.state_dict())
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        training_setup.objective(model.train(), first)
    training_setup.objective.load_state_dict(carried)


def _check_out(out: Path, resume: bool, overwrite: bool) -> None:
    """Refuse early what could not be saved in the end."""
    if store.is_bundle(out) and not (resume or overwrite):
        raise OutputError(
            "holds a model already", where=out, hint="pass --overwrite, --resume or another --out"
        )
    store.check_writable(out)
    begun = (out / store.TRAINING).is_dir()
    if resume and not begun:
        raise OutputError("there is no checkpoint to resume", where=out, hint="leave --resume out")
    if begun and not (resume or overwrite):
        raise OutputError(
            "holds an unfinished training",
            where=out,
            hint="pass --resume to go on, or --overwrite to start anew",
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
    history = out / store.TRAINING / "history.csv"
    return {"history.csv": history.read_text(encoding="utf-8")} if history.is_file() else {}
