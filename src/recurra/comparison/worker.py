"""One run of a study: a network or the baseline is trained and measured, for any engine."""

from __future__ import annotations

import sys
import time
from typing import Any

import numpy as np
import torch._dynamo  # noqa: F401 - torch loads it when an optimizer is created, which takes 2 s

from recurra.comparison.origins import created, import_modules
from recurra.comparison.runs import Job, Run, pack
from recurra.engines import Report
from recurra.errors import DataError
from recurra.generators import initial_weights
from recurra.layers.summary import summarize
from recurra.measure.study import Scores
from recurra.runtime import keep_freed_memory, peak_memory, use_threads
from recurra.tasks.base import Prepared, Task
from recurra.tasks.budget import require_memory
from recurra.tasks.registry import task_named
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.training import train_bundle
from recurra.tasks.transfer import open_pretrained
from recurra.train.observer import Observer

__all__ = ["Watch", "do", "run"]


def run(argument: dict[str, Any], report: Report) -> dict[str, Any]:
    """Makes the run that an engine passes: `do` with JSON values; nothing is reported before its end."""
    return do(Job.model_validate(argument)).model_dump(mode="json")


def do(job: Job) -> Run:
    """Trains a network or the baseline, and measures it.

    Raises:
        RecurraError: If settings or files cannot be used, or the training cannot go on.
        KeyboardInterrupt: Ctrl-C, in an engine without processes.
    """
    sys.path.extend(folder for folder in job.path if folder not in sys.path)
    import_modules(job.imports)
    config, pretrained = open_pretrained(build_config(*job.settings, {"train": {"seed": job.seed}}))
    task = task_named(config.task)
    study = task.study
    if study is None:
        raise ValueError(f"models of task {config.task} are not compared")
    prepared = task.prepare(job.train, config, Reporter(), valid=job.valid, test=job.test)
    part = prepared.test or prepared.valid
    watch = Watch()
    if job.baseline:
        watch.on_start(1, 1, None)
        baseline = None if task.fit_baseline is None else task.fit_baseline(prepared, Reporter())
        watch.on_end()
        return _run(job, study.score_baseline(baseline, prepared, part), **watch.times)
    if job.estimator is not None:
        if study.others is None:
            raise ValueError(f"estimators of other libraries are not compared in task {config.task}")
        estimator = _seeded(created(job.estimator), job.seed)
        try:
            watch.on_start(1, 1, None)
            study.others.fit(estimator, prepared)
            watch.on_end()
            return _run(job, study.others.score(estimator, prepared, part), **watch.times)
        except DataError as error:
            raise DataError(error.what, where=f"arm {job.arm}", hint=error.hint) from error
    _warm_up(task, prepared)
    trained = train_bundle(task, prepared, pretrained=pretrained, reporter=watch)
    if trained.outcome.stopped == "interrupted":
        raise KeyboardInterrupt
    origin = trained.bundle.pretrained
    return _run(
        job,
        study.score(trained.bundle, part),
        **watch.times,
        parameters=summarize(trained.bundle.model).total,
        best_epoch=trained.outcome.best_epoch,
        epochs=len(trained.outcome.history),
        token_share=origin["token_share"] if origin else None,
    )


class Watch(Reporter, Observer):
    """Measures the time of the training loop alone."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}

    def observer(self) -> Observer:
        """Returns itself."""
        return self

    def on_start(self, total_epochs: int, batches_per_epoch: int, resumed_from: int | None) -> None:
        """Starts the clocks."""
        self._begun = time.perf_counter(), time.process_time()

    def on_end(self) -> None:
        """Stops the clocks."""
        clock, processors = self._begun
        self.times = {"seconds": time.perf_counter() - clock, "cpu_seconds": time.process_time() - processors}


def _seeded(estimator: Any, seed: int) -> Any:
    """Sets each ``random_state`` of an estimator that has parameters, also within a pipeline."""
    if not hasattr(estimator, "get_params"):
        return estimator
    names = [name for name in estimator.get_params() if name.split("__")[-1] == "random_state"]
    return estimator.set_params(**dict.fromkeys(names, seed)) if names else estimator


def _warm_up(task: Task[Any, Any], prepared: Prepared[Any, Any, Any]) -> None:
    """Makes one step that is not measured: kernels are compiled or loaded, memory is mapped."""
    use_threads()
    keep_freed_memory()
    require_memory(task, prepared)
    with initial_weights(prepared.config.train.seed):
        model = task.build(prepared.config, prepared.assets)
    training_setup = task.training_setup(prepared, model, Reporter())
    for batch in training_setup.batches.epoch(1):
        training_setup.objective(model.train(), batch).backward()  # type: ignore[no-untyped-call]
        break


def _run(job: Job, scores: Scores, **figures: Any) -> Run:
    return Run(
        arm=job.arm,
        size=job.size,
        seed=job.seed,
        train_rows=job.rows,
        rows=len(scores.values),
        score=scores.mean,
        log_loss=scores.log_loss,
        scores=pack(scores.values),
        sizes=None if scores.sizes is None else pack(np.asarray(scores.sizes, np.float64)),
        memory=peak_memory(),
        **figures,
    )
