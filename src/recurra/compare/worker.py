"""The process that makes runs of a study: jobs are read from stdin, results are written to stdout.

Each run has its own process, so that its peak memory can be measured and its crash does not affect other
runs. On Linux it is a fork of this process, which has only loaded the libraries (3 s); elsewhere it is this
process, which ends after one job.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import time
import warnings
from typing import Any

import numpy as np
import torch._dynamo  # noqa: F401 - torch loads it when an optimizer is created, which takes 2 s

from recurra.compare.runs import Job, Run, pack
from recurra.errors import RecurraError
from recurra.generators import initial_weights
from recurra.layers.summary import summarize
from recurra.measure.study import Scores
from recurra.runtime import end_with_parent, keep_freed_memory, peak_memory, use_threads
from recurra.tasks.base import Prepared, Task
from recurra.tasks.budget import require_memory
from recurra.tasks.registry import task_named
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.training import train_bundle
from recurra.tasks.transfer import open_pretrained
from recurra.train.observer import Observer

__all__ = ["do"]


def do(job: Job) -> Run:
    """Trains a network or the baseline, and measures it.

    Raises:
        RecurraError: If settings or files cannot be used, or the training cannot go on.
    """
    config, pretrained = open_pretrained(build_config(*job.settings, {"train": {"seed": job.seed}}))
    task = task_named(config.task)
    study = task.study
    if study is None:
        raise ValueError(f"models of task {config.task} are not compared")
    prepared = task.prepare(job.train, config, Reporter(), valid=job.valid, test=job.test)
    part = prepared.test or prepared.valid
    watch = _Watch()
    if job.baseline:
        watch.on_start(1, 1, None)
        baseline = None if task.fit_baseline is None else task.fit_baseline(prepared, Reporter())
        watch.on_end()
        return _run(job, study.score_baseline(baseline, prepared, part), **watch.times)
    _warm_up(task, prepared)
    trained = train_bundle(task, prepared, pretrained=pretrained, reporter=watch)
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


class _Watch(Reporter, Observer):
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


def main() -> None:
    """Answers each job with one line: the run, the error of the user, or the reason why its process died."""
    # Output of libraries must not be mixed with the answers.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        if sys.platform != "linux":
            out.write(_answer(sys.stdin.readline()) + "\n")
            return
        for line in sys.stdin:
            out.write(_answer_in_fork(line) + "\n")
            out.flush()


def _answer(line: str) -> str:
    answer: dict[str, Any]
    try:
        answer = {"run": do(Job.model_validate_json(line)).model_dump(mode="json")}
    except RecurraError as error:
        answer = {"error": str(error), "kind": type(error).__name__}
    except Exception as error:  # noqa: BLE001 - any error ends this run only and is reported
        answer = {"died": f"{type(error).__name__}: {error}"}
    return json.dumps(answer)


def _answer_in_fork(line: str) -> str:
    """Returns the answer of a fork of this process, which is killed if the parent stops waiting."""
    reading, writing = os.pipe()
    worker = os.getpid()
    with warnings.catch_warnings():
        # Python warns of the thread of pyarrow's allocator, which supports forks.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        end_with_parent(worker)
        os.close(reading)
        with os.fdopen(writing, "w", encoding="utf-8") as out:
            out.write(_answer(line))
        os._exit(0)
    os.close(writing)
    if reading not in select.select([reading, sys.stdin], [], [])[0]:
        # The parent sends nothing before it has an answer: stdin has ended, and nobody waits for the answer.
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading, encoding="utf-8") as answers:
        answer = answers.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 0:
        return answer
    reason = "killed, perhaps because memory ran out" if code == -9 else f"ended by signal {-code}"
    return json.dumps({"died": f"its process was {reason}"})
