"""The runs of a study, each in a process of its own: jobs come on stdin, what was found goes to stdout.

    python -m recurra.compare.worker < jobs.jsonl

A process of its own has its own peak of memory, and its crash does not take the other runs along. On Linux it
is a copy of this one, which has loaded the libraries (3 s) and done nothing else; elsewhere it is this one,
which ends after one job.
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
import torch._dynamo  # noqa: F401 - torch's optimizers load it when they are made, which takes 2 s
from numpy.typing import NDArray

from recurra.compare.runs import BASELINE, Job, Run, pack
from recurra.errors import RecurraError
from recurra.layers.summary import summarize
from recurra.measure.calibration import probabilities
from recurra.measure.metrics import classification_metrics, correct_rows
from recurra.runtime import keep_freed_memory, peak_memory, use_threads
from recurra.tasks.classification.assess import logits_of
from recurra.tasks.classification.baseline import NgramBaseline
from recurra.tasks.classification.prepare import ClassifierData
from recurra.tasks.classification.task import TASK
from recurra.tasks.fit import train_bundle
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config
from recurra.tasks.transfer import open_pretrained
from recurra.train.observer import Observer

__all__ = ["do"]


def do(job: Job) -> Run:
    """Trains and measures.

    Raises:
        RecurraError: settings or files that can't be used, or a training that can't go on.
    """
    config, pretrained = open_pretrained(build_config(*job.settings, {"train": {"seed": job.seed}}))
    prepared = TASK.prepare(job.train, config, Reporter(), valid=job.valid, test=job.test)
    if job.arm == BASELINE:
        return _baseline(job, prepared)
    _warm_up(prepared)
    watch = _Watch()
    trained = train_bundle(TASK, prepared, pretrained=pretrained, reporter=watch)
    bundle, outcome = trained.bundle, trained.outcome
    logits = logits_of(bundle, prepared.test or prepared.valid)
    return _found(
        job,
        prepared,
        probabilities(logits, prepared.assets.labels.label_kind, bundle.temperature),
        **watch.times,
        parameters=summarize(bundle.model).total,
        best_epoch=outcome.best_epoch,
        epochs=len(outcome.history),
        token_share=bundle.pretrained["token_share"] if bundle.pretrained else None,
    )


class _Watch(Reporter, Observer):
    """Takes the time of the training loop alone."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}

    def observer(self) -> Observer:
        """Itself."""
        return self

    def on_start(self, total_epochs: int, batches_per_epoch: int, resumed_from: int | None) -> None:
        """The clocks start."""
        self._begun = time.perf_counter(), time.process_time()

    def on_end(self) -> None:
        """The clocks stop."""
        clock, processors = self._begun
        self.times = {"seconds": time.perf_counter() - clock, "cpu_seconds": time.process_time() - processors}


def _warm_up(prepared: ClassifierData) -> None:
    """A step that does not count: kernels are compiled or loaded, memory is mapped."""
    use_threads()
    keep_freed_memory()
    model = TASK.build(prepared.config, prepared.assets)
    training_setup = TASK.training_setup(prepared, model)
    for batch in training_setup.batches.epoch(1):
        training_setup.objective(model.train(), batch).backward()  # type: ignore[no-untyped-call]
        break


def _baseline(job: Job, prepared: ClassifierData) -> Run:
    watch = _Watch()
    watch.on_start(1, 1, None)
    baseline = NgramBaseline()
    texts = prepared.train.texts(prepared.train.rows)
    baseline.fit(
        texts, prepared.train.labels, prepared.assets.labels.label_kind, len(prepared.assets.labels.names)
    )
    watch.on_end()
    part = prepared.test or prepared.valid
    return _found(job, prepared, baseline.predict_proba(part.texts(part.rows)), **watch.times)


def _found(job: Job, prepared: ClassifierData, probability: NDArray[np.float64], **figures: Any) -> Run:
    truth, kind = (prepared.test or prepared.valid).labels, prepared.assets.labels.label_kind
    metrics = classification_metrics(truth, probability, prepared.assets.labels.names, kind)
    return Run(
        arm=job.arm,
        size=job.size,
        seed=job.seed,
        train_rows=len(prepared.train),
        rows=metrics.rows,
        accuracy=metrics.accuracy,
        log_loss=metrics.log_loss,
        right=pack(correct_rows(truth, probability, kind)),
        memory=peak_memory(),
        **figures,
    )


def main() -> None:
    """Answers each job with a line: the run, a user's error, or what its process died of."""
    # Whatever a library prints is no answer.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        if sys.platform != "linux":
            out.write(_answer(sys.stdin.readline()) + "\n")
            return
        for line in sys.stdin:
            out.write(_answer_apart(line) + "\n")
            out.flush()


def _answer(line: str) -> str:
    answer: dict[str, Any]
    try:
        answer = {"run": do(Job.model_validate_json(line)).model_dump(mode="json")}
    except RecurraError as error:
        answer = {"error": str(error), "kind": type(error).__name__}
    except Exception as error:  # noqa: BLE001 - told as this run's end, whatever it was
        answer = {"died": f"{type(error).__name__}: {error}"}
    return json.dumps(answer)


def _answer_apart(line: str) -> str:
    """The answer of a copy of this process, which dies alone, or with whoever asked."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Python warns of the thread that pyarrow's allocator has, which is made for being copied.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(reading)
        with os.fdopen(writing, "w", encoding="utf-8") as out:
            out.write(_answer(line))
        os._exit(0)
    os.close(writing)
    if reading not in select.select([reading, sys.stdin], [], [])[0]:
        # Nothing is asked before there is an answer: stdin has ended, and nobody waits for one.
        os.kill(child, signal.SIGKILL)
    with os.fdopen(reading, encoding="utf-8") as answers:
        answer = answers.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == 0:
        return answer
    reason = "killed, perhaps for want of memory" if code == -9 else f"ended by signal {-code}"
    return json.dumps({"died": f"its process was {reason}"})


if __name__ == "__main__":
    main()
