"""One run of a search: a network is trained within its time, reports each epoch, and is measured."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel

from recurra.comparison.runs import pack
from recurra.comparison.worker import Watch
from recurra.engines import Report
from recurra.errors import ConfigError
from recurra.layers.summary import summarize
from recurra.tasks.base import AssessOptions
from recurra.tasks.minutes import Budget
from recurra.tasks.registry import task_named
from recurra.tasks.settings import build_config
from recurra.tasks.training import train_bundle
from recurra.tasks.transfer import open_pretrained
from recurra.train.state import EpochRecord

__all__ = ["Result", "TuneJob", "higher_is_better", "run"]

_HIGHER = ("accuracy", "f1", "auc", "r2", "precision", "recall", "skill")


class TuneJob(BaseModel):
    """One run.

    Attributes:
        settings: layers of settings nested as in `Config`; later ones override earlier ones.
        seed: seed of weights, masks and batches.
        train: training file.
        valid: file that chooses the epoch; None if it is a part of ``train``.
        test: test file; None if it is a part of ``train``.
        minutes: time of the run, for which the epochs are chosen; None for all epochs.
        metric: the figure to measure; empty for the criterion of the task.
        measure: the part of the data to measure it on.
    """

    settings: tuple[dict[str, Any], ...]
    seed: int
    train: Path
    valid: Path | None
    test: Path | None
    minutes: float | None = None
    metric: str = ""
    measure: Literal["valid", "test"] = "valid"


class Result(BaseModel):
    """The results of one run.

    Attributes:
        value: the metric.
        score: value of the task's criterion.
        scores: score of each row, as written by `recurra.comparison.runs.pack`.
        sizes: units in each row, in the same form; None if each row is one unit.
        rows: number of rows measured on.
        wall: seconds of the whole run, with reading and measuring.
        seconds: seconds of the training loop.
        cpu_seconds: its processor time.
        parameters: number of parameters of the network.
        epochs: number of epochs trained.
        best_epoch: the epoch whose weights were kept.
        config: all settings, with those set by rules and those chosen for the time.
    """

    value: float
    score: float
    scores: str
    sizes: str | None
    rows: int
    wall: float
    seconds: float
    cpu_seconds: float
    parameters: int
    epochs: int
    best_epoch: int
    config: dict[str, Any]

    def setting(self, name: str) -> Any:
        """Returns the value of a setting by its dotted name."""
        section, key = name.split(".")
        return self.config[section][key]


def higher_is_better(metric: str) -> bool:
    """Returns whether a larger value of a metric is better.

    Example:
        >>> [higher_is_better(name) for name in ("macro_f1", "auc", "log_loss", "mae")]
        [True, True, False, False]
    """
    return metric.endswith(_HIGHER)


class _Pruned(Exception):  # noqa: N818 - not an error
    """The search has ended this run."""


class _Epochs(Watch):
    """Reports the validation of each epoch, and ends the run if the search says so."""

    def __init__(self, metric: str, report: Report) -> None:
        super().__init__()
        self._metric, self._report, self._epochs = metric, report, 0

    def on_start(self, total_epochs: int, batches_per_epoch: int, resumed_from: int | None) -> None:
        """Starts the clocks, and takes the number of epochs."""
        super().on_start(total_epochs, batches_per_epoch, resumed_from)
        self._epochs = total_epochs

    def on_epoch(self, record: EpochRecord, improved: bool) -> None:
        """Reports the metric, or the loss if validation has no such figure."""
        figures, named = record.metrics, f"valid_{self._metric}"
        sign = 1.0 if named in figures or not higher_is_better(self._metric) else -1.0
        value = sign * figures.get(named, figures.get("valid_loss", record.train_loss))
        last = record.epoch == self._epochs  # nothing would be saved by ending the run
        if not self._report({"epoch": record.epoch, "value": value, "last": last}):
            raise _Pruned


def run(argument: dict[str, Any], report: Report) -> dict[str, Any]:
    """Makes the run of a `TuneJob`, and returns a `Result`, or ``{"pruned": true}``.

    Raises:
        RecurraError: settings or files cannot be used, or the training cannot go on.
        KeyboardInterrupt: Ctrl-C, in an engine without processes.
    """
    job, begun = TuneJob.model_validate(argument), time.monotonic()
    settings = {"train": {"seed": job.seed, "minutes": None}}
    config, pretrained = open_pretrained(build_config(*job.settings, settings))
    task = task_named(config.task)
    study = task.study
    if study is None:
        raise ValueError(f"models of task {config.task} are not compared")
    watch = _Epochs(job.metric or study.criterion.name, report)
    prepared = task.prepare(job.train, config, watch, valid=job.valid, test=job.test)
    budget = None if job.minutes is None else Budget(job.minutes, begun)
    try:
        trained = train_bundle(task, prepared, pretrained=pretrained, reporter=watch, budget=budget)
    except _Pruned:
        return {"pruned": True, "wall": time.monotonic() - begun}
    if trained.outcome.stopped == "interrupted":
        raise KeyboardInterrupt
    bundle, part = trained.bundle, prepared.valid if job.measure == "valid" else prepared.test
    scores = study.score(bundle, part)
    value = scores.mean
    if job.metric and job.metric != study.criterion.name:
        figures = task.assess(bundle, part, AssessOptions(baseline=False)).as_json()["model"]
        value = _figure(figures, job.metric, study.criterion.name)
    return Result(
        value=value,
        score=scores.mean,
        scores=pack(scores.values),
        sizes=None if scores.sizes is None else pack(np.asarray(scores.sizes, np.float64)),
        rows=len(scores.values),
        wall=time.monotonic() - begun,
        **watch.times,
        parameters=summarize(bundle.model).total,
        epochs=len(trained.outcome.history),
        best_epoch=trained.outcome.best_epoch,
        config=bundle.config.plain(),
    ).model_dump(mode="json")


def _figure(figures: dict[str, Any], metric: str, criterion: str) -> float:
    goals = {
        name: float(value)
        for name, value in figures.items()
        if isinstance(value, float) and name != "bias" and not name.endswith(("_low", "_high"))
    }
    if metric in goals:
        return goals[metric]
    raise ConfigError(
        f"there is no figure {metric!r} of this model",
        where="--metric",
        hint=f"choose one of {', '.join(sorted({*goals, criterion}))}",
    )
