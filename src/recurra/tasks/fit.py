"""Training for every task: from files to a trained, tested and saved model with its report."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from recurra import store
from recurra.config import Config, updated
from recurra.directories import Claim
from recurra.errors import ConfigError, OutputError
from recurra.layers.summary import summarize
from recurra.measure.report import render
from recurra.store import AnyBundle
from recurra.tasks.base import AssessOptions
from recurra.tasks.card import began_from, fit_report, today
from recurra.tasks.continuing import forgotten
from recurra.tasks.fitted import Fitted
from recurra.tasks.minutes import Budget, spoken
from recurra.tasks.registry import task_info, task_named
from recurra.tasks.remote import Remote, on_ray
from recurra.tasks.reporter import Reporter
from recurra.tasks.training import Trained, follow_training, train_bundle
from recurra.tasks.training_files import TrainingFiles, opened
from recurra.tasks.workers import Join, follower, gathered, under_torchrun

__all__ = ["Fitted", "fit_files", "follow_files", "pretrain_files"]


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
    continued: tuple[Path, AnyBundle] | None = None,
    workers: int = 1,
    engine: str = "processes",
    address: str | None = None,
    join: Join | None = None,
    reporter: Reporter | None = None,
) -> Fitted:
    """Trains on ``data``, tests, and saves the model with its report in ``out``.

    Under ``train.minutes`` all of this takes as many minutes at most (docs/decisions/0033-minutes.md).
    Several processes train the network together (docs/decisions/0048-distributed.md); the first one, which
    is this one unless they are on a Ray cluster (docs/decisions/0053-ray-train.md), does everything else.
    Under torchrun all of its processes call this function; the first one returns, and the others end when the
    network is trained.

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
        continued: the directory and the bundle of a model whose training goes on with these rows, see
            `recurra.tasks.continuing`; None for a new one.
        begun: value of `time.monotonic` when ``train.minutes`` began; None for now.
        workers: number of processes that train together. A resumed run must have as many.
        engine: where they are: ``processes`` of this machine, or ``ray``, on the nodes of a Ray cluster.
        address: of the cluster, as in `recurra.engines.open_engine`.
        join: joins processes that were started by others, and call `follow_files`; None to start them.
        reporter: receives the steps.

    Raises:
        RecurraError: unusable input, settings or ``out``; no partial file is left.
        TrainingError: one of several processes has ended; the last checkpoint is kept.
        SystemExit: in a process of torchrun that is not the first one.
    """
    files = TrainingFiles(data, valid, test, unlabeled, continued)
    _end_if_follower(files, config, resume)
    reporter = reporter or Reporter()
    budget = Budget(config.train.minutes, begun)
    with _claimed(out, resume, overwrite) as claim:
        if on_ray(engine, workers, address):
            remote = Remote(claim, out, resume, budget, reporter)
            further = {"baseline": baseline, "explained": explained, "command": command}
            answer = remote.train("fit", files, config, workers, address, further)
            return remote.fitted(answer)
        with _joining(join, workers, files.call(config, resume)) as joins:
            trained = _train_files(files, config, claim, resume, reporter, budget, baseline, joins)
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
            if continued is not None:
                bundle.metrics["forgotten"] = forgotten(continued[1], bundle, reporter)
            plan = "" if trained.plan is None else trained.plan.sentence()
            page = fit_report(task, bundle, prepared, trained.outcome, assessment, out, fitted, command, plan)
            pages = {"README.md": task.card(bundle, assessment), "report.html": render(page)}
            store.save(bundle, claim, {**pages, **_history(claim)})
            reporter.saved(claim.folder)
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
    workers: int = 1,
    engine: str = "processes",
    address: str | None = None,
    join: Join | None = None,
    reporter: Reporter,
) -> dict[str, Any]:
    """Trains a network to initialize others from, and saves it in ``out``.

    The model is that of `fit_files` without test, baseline and report (docs/decisions/0009-transfer.md).
    Arguments and errors are those of `fit_files`; a task without words is a ConfigError. Returns what
    ``--json`` prints.
    """
    info = task_info(config.task)
    if not info.words:
        raise ConfigError(
            f"a model of task {config.task} has no words for others to begin from", where="task"
        )
    config = updated(config, info.pretrain_settings)
    files = TrainingFiles(data, valid)
    _end_if_follower(files, config, resume)
    budget = Budget(config.train.minutes, begun)
    with _claimed(out, resume, overwrite) as claim:
        if on_ray(engine, workers, address):
            remote = Remote(claim, out, resume, budget, reporter)
            answer = remote.train("pretrain", files, config, workers, address, {})
            return {**answer, "model_directory": str(out), "seconds": round(budget.spent(), 2)}
        with _joining(join, workers, files.call(config, resume)) as joins:
            trained = _train_files(files, config, claim, resume, reporter, budget, None, joins)
            bundle, record = trained.bundle, trained.record(data, valid)
            bundle.metrics = {"training": record}
            words, width = len(bundle.assets.words()), bundle.config.model.embedding
            card = _card(bundle, words, trained.seconds)
            store.save(bundle, claim, {"README.md": card, **_history(claim)})
            reporter.saved(claim.folder)
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


def follow_files(join: Join, resume: bool, **call: Any) -> None:
    """Trains as one of several processes, which is not the first one; nothing is written or reported.

    Args:
        join: joins the processes; it returns when the first one has read the files, and what it has tokenized
            is in the cache.
        resume: as that of `fit_files`.
        call: the rest of what `TrainingFiles.call` returns.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process says when to stop
    files, settings = opened(**call)
    task = task_named(settings.task)
    world = join(settings.train.device)
    prepared, pretrained, goes_on = files.read(task, settings, Reporter())
    budget = Budget(settings.train.minutes)
    follow_training(
        task, prepared, world, pretrained=pretrained, goes_on=goes_on, resume=resume, budget=budget
    )


def _end_if_follower(files: TrainingFiles, config: Config, resume: bool) -> None:
    """In a process of torchrun that is not the first one: trains with the others, and ends."""
    if under_torchrun()[0] == 0:
        return
    with follower() as join:
        follow_files(join, **files.call(config, resume))
    raise SystemExit(0)


def _train_files(
    files: TrainingFiles,
    config: Config,
    claim: Claim,
    resume: bool,
    reporter: Reporter,
    budget: Budget,
    baseline: bool | None,
    join: Join,
) -> Trained[Any, Any]:
    """Trains on files and saves the model; arguments and errors are those of `fit_files`."""
    task = task_named(config.task)
    prepared, pretrained, goes_on = files.read(task, config, reporter)
    world = join(config.train.device)
    folder = claim.folder / store.TRAINING
    try:
        trained = train_bundle(
            task,
            prepared,
            pretrained=pretrained,
            goes_on=goes_on,
            reporter=reporter,
            folder=folder,
            resume=resume,
            budget=budget,
            baseline=baseline,
            world=world,
        )
    except BaseException:
        if folder.is_dir() and not store.has_checkpoint(claim.folder):
            shutil.rmtree(folder)
        if claim.folder.is_dir() and not any(claim.folder.iterdir()):
            claim.folder.rmdir()
        raise
    # Saved before it is tested: the model is there even if the test is interrupted.
    store.save(trained.bundle, claim)
    reporter.saved(claim.folder)
    return trained


def _joining(join: Join | None, workers: int, call: Mapping[str, Any]) -> AbstractContextManager[Join]:
    """Context in which the processes are there that train together; yields what joins them."""
    return gathered(workers, call) if join is None else nullcontext(join)


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
