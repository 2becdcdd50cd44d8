"""The time of a fit: a budget in minutes, the training that it suffices for, and how long all takes."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from recurra.config import Config, updated
from recurra.errors import BundleError
from recurra.files import replacing
from recurra.layers.network import Network
from recurra.tasks.base import Prepared, TrainingSetup
from recurra.tasks.reporter import Reporter
from recurra.train.distributed import ALONE, World
from recurra.train.observer import Observer
from recurra.train.state import EpochRecord
from recurra.train.trial import seconds_per_epoch

__all__ = ["Budget", "Plan", "TimeLeft", "choose", "measured", "resumed_plan", "spoken", "test_seconds"]

C = TypeVar("C", bound=Config)

_FILE = "plan.json"
_FEW_EPOCHS = 4
"""With fewer whole epochs than this, up to a quarter of the time would be left: parts of epochs fill it."""
_USED = 0.95
"""Share of the training time that is planned; the rest is for batches that are slower than the trial's."""
_TRIAL_SECONDS, _TRIAL_SHARE = 5.0, 0.04
_PREDICTION = 0.25
"""Time of a prediction with its figures, as a share of that of training on the row: on IMDB 0.18 to 0.26."""
_BASELINE_TEST = 0.7
"""Time of a prediction of the baseline, as a share of that of its training per row."""
_FINISH = 3.0
"""Seconds for saving the model, explanations, charts and the report."""


class Budget:
    """The time that a fit may take.

    Args:
        minutes: from ``begun`` to the end; None for no limit.
        begun: value of ``clock`` when the fit began; None for now.
        clock: seconds since some time.
    """

    def __init__(
        self,
        minutes: float | None,
        begun: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.minutes, self.clock = minutes, clock
        self.begun = clock() if begun is None else begun

    def left(self) -> float:
        """Returns the seconds left, below 0 if there are none; infinite without a limit."""
        return float("inf") if self.minutes is None else 60 * self.minutes - self.spent()

    def spent(self) -> float:
        """Returns the seconds since the fit began."""
        return self.clock() - self.begun


class Plan(BaseModel):
    """The training that was chosen for a budget, and the settings that it replaces.

    Attributes:
        minutes: the budget.
        epochs: the epochs chosen.
        steps_per_epoch: the steps of each epoch chosen; None for those of all rows.
        warmup_steps: the warm-up chosen: a tenth of all steps at most, if less is trained.
        of_epochs: the setting ``train.epochs`` before.
        of_steps_per_epoch: the setting ``train.steps_per_epoch`` before.
        of_warmup_steps: the setting ``train.warmup_steps`` before.
        share: share of the rows in each epoch.
        seconds_per_epoch: expected time of an epoch that was chosen, with its validation.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    minutes: float
    epochs: int
    steps_per_epoch: int | None
    warmup_steps: int
    of_epochs: int
    of_steps_per_epoch: int | None
    of_warmup_steps: int
    share: float
    seconds_per_epoch: float

    @property
    def reduces(self) -> bool:
        """Whether less is trained than the settings allow."""
        return (self.epochs, self.steps_per_epoch) != (self.of_epochs, self.of_steps_per_epoch)

    @property
    def limit(self) -> float | None:
        """The minutes, if less is trained for them."""
        return self.minutes if self.reduces else None

    def applied(self, config: C) -> C:
        """Returns the settings with what was chosen, and without the limit: they repeat the training.

        A setting that is no longer as it was before the plan, such as more epochs to resume with, is kept.
        """
        chosen = {
            name: getattr(self, name)
            for name in ("epochs", "steps_per_epoch", "warmup_steps")
            if getattr(config.train, name) == getattr(self, f"of_{name}")
        }
        return updated(config, {"train": {"minutes": None, **chosen}})

    def sentence(self) -> str:
        """Returns what was chosen, for the terminal and the report; empty if nothing is reduced."""
        if not self.reduces:
            return ""
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs:,} epochs"
        epochs += "" if self.epochs == self.of_epochs else f" instead of {self.of_epochs:,}"
        if self.steps_per_epoch != self.of_steps_per_epoch:
            part = f"{100 * self.share:.0f}%" if self.share >= 0.01 else f"{100 * self.share:.2g}%"
            epochs += f", {'' if self.epochs == 1 else 'each '}of {part} of the rows"
        return f"chosen for {self.minutes:g} minutes: {epochs}"

    def save(self, folder: Path) -> None:
        """Writes the plan beside the checkpoint in ``folder``.

        Raises:
            OutputError: it can't be written.
        """
        with replacing(folder / _FILE) as temporary:
            temporary.write_text(self.model_dump_json(indent=1), encoding="utf-8")


def resumed_plan(folder: Path) -> Plan | None:
    """Returns the plan of the training in ``folder``; None if it was not planned.

    Raises:
        BundleError: the file is damaged.
    """
    path = folder / _FILE
    if not path.is_file():
        return None
    try:
        return Plan.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise BundleError("the plan is damaged", where=path, hint="train without --resume") from error


def choose(seconds: float, epoch: float, validation: float, steps: int, epochs: int) -> tuple[int, int]:
    """Returns the epochs to train in ``seconds``, and the steps of each.

    All epochs if the time suffices; as many whole ones as it suffices for if these are at least 4; otherwise
    one more, each of fewer steps. At least one step is trained.

    Args:
        seconds: the time for training and validation.
        epoch: seconds of an epoch of all steps, without validation.
        validation: seconds of a validation.
        steps: the steps of an epoch of all rows.
        epochs: the maximum number of epochs.

    Example:
        >>> choose(400, 38, 2, 350, 10), choose(200, 38, 2, 350, 10), choose(100, 38, 2, 350, 10)
        ((10, 350), (5, 350), (3, 288))
    """
    whole = int(max(0.0, seconds) / max(epoch + validation, 1e-9))
    if whole >= min(epochs, _FEW_EPOCHS):
        return min(whole, epochs), steps
    count = whole + 1
    part = int((seconds / count - validation) / max(epoch, 1e-9) * steps)
    return count, min(max(part, 1), steps)


class TimeLeft(Observer):
    """The time that is left for training, given what comes after it; learns how long a validation takes.

    Args:
        budget: the time of the whole fit.
        epoch: seconds of a training epoch over all rows, without validation.
        steps: the steps of such an epoch.
        validation: expected seconds of a validation.
        predictions: rows to predict after training, as a multiple of the validation rows.
        others: seconds of everything else after training.
    """

    def __init__(
        self,
        budget: Budget,
        *,
        epoch: float,
        steps: int,
        validation: float,
        predictions: float = 1.0,
        others: float = 0.0,
    ) -> None:
        self.budget, self.epoch, self.steps = budget, epoch, steps
        self.validation, self.predictions, self.others = validation, predictions, others

    @property
    def after(self) -> float:
        """Seconds that everything after training takes."""
        return self.others + self.validation * self.predictions

    def __call__(self) -> float:
        """Returns the seconds until the last validation must begin."""
        return self.budget.left() - self.after - self.validation

    def on_batch(self, epoch: int, batch: int, loss: float, tokens: int, seconds: float) -> None:
        """Takes the time of what may be the last batch of the epoch."""
        self._ended = self.budget.clock()

    def on_epoch(self, record: EpochRecord, improved: bool) -> None:
        """Measures the validation of the epoch."""
        self.validation = self.budget.clock() - self._ended

    def planned(self, config: C, reporter: Reporter) -> tuple[C, Plan | None]:
        """Reports how long the fit will take, and chooses for the budget.

        Returns:
            The settings of the training, and the plan; None without a limit.
        """
        budget, train, validation = self.budget, config.train, self.validation
        asked = min(train.steps_per_epoch or self.steps, self.steps)
        epoch = self.epoch * asked / self.steps
        if budget.minutes is None:
            self._report(train.epochs, epoch + validation, reporter)
            return config, None
        seconds = budget.left() - self.after
        epochs, steps = choose(_USED * seconds, epoch, validation, asked, train.epochs)
        each = epoch * steps / asked + validation
        warmup = train.warmup_steps
        if (epochs, steps) != (train.epochs, asked):
            warmup = min(warmup, epochs * steps // 10)
        plan = Plan(
            minutes=budget.minutes,
            epochs=epochs,
            steps_per_epoch=train.steps_per_epoch if steps == asked else steps,
            warmup_steps=warmup,
            of_epochs=train.epochs,
            of_steps_per_epoch=train.steps_per_epoch,
            of_warmup_steps=train.warmup_steps,
            share=steps / self.steps,
            seconds_per_epoch=round(each, 3),
        )
        if seconds < each:
            reporter.warn(
                f"{budget.minutes:g} minutes are too short: {spoken(budget.spent())} have passed before "
                f"training, and what comes after it takes about {spoken(self.after)}"
            )
        self._report(epochs, each, reporter)
        if plan.reduces:
            full = budget.spent() + train.epochs * (epoch + validation) + self.after
            more = f"--minutes {math.ceil(1.1 * full / 60)}"
            reporter.note(f"{plan.sentence()}; all would take about {spoken(full)} ({more})")
        return plan.applied(config), plan

    def _report(self, epochs: int, each: float, reporter: Reporter) -> None:
        """Reports how long training and testing will take."""
        count = "1 epoch" if epochs == 1 else f"at most {epochs:,} epochs"
        then = f", then {spoken(self.after)} for testing and the report" if self.others else ""
        reporter.note(f"about {spoken(epochs * each + self.after)} from now: {count} of {spoken(each)}{then}")


def measured(
    prepared: Prepared[Any, Any, Any],
    model: Network,
    setup: TrainingSetup,
    budget: Budget,
    reporter: Reporter,
    *,
    others: float = 0.0,
    tested: bool = True,
    world: World = ALONE,
) -> TimeLeft:
    """Trains on trial batches and returns the time left, as far as it is known before the first validation.

    Args:
        prepared: the data.
        model: the network, on its device; its weights are restored.
        setup: batches and objective.
        budget: the time of the whole fit.
        reporter: shows the progress over the trial batches.
        others: seconds that what is tested beside the network takes for a row: n-grams or a baseline.
        tested: whether the model is tested after training.
        world: the processes that train together, all of which measure.
    """
    with reporter.counting("measuring the speed", None) as tick:
        epoch = seconds_per_epoch(
            model,
            setup.batches,
            setup.objective,
            prepared.config.train,
            limit=min(_TRIAL_SECONDS, max(0.2, _TRIAL_SHARE * budget.left())),
            layers=model.layer_groups(),
            tick=tick,
            world=world,
        )
    valid = max(1, len(prepared.valid))
    trained = max(1, len(prepared.train if prepared.soft is None else prepared.soft))
    tests = len(prepared.valid if prepared.test is None else prepared.test) if tested else 0
    return TimeLeft(
        budget,
        epoch=epoch,
        steps=len(setup.batches),
        validation=_PREDICTION * epoch * valid / trained,
        predictions=1 + tests / valid,
        others=(_FINISH if tested else 0.0) + others * tests,
    )


def test_seconds(training: float, rows: int) -> float:
    """Returns the seconds that a baseline takes for a row, if it took ``training`` seconds for ``rows``."""
    return _BASELINE_TEST * training / max(1, rows)


def spoken(seconds: float) -> str:
    """Returns a duration in words, of two figures at most.

    Example:
        >>> [spoken(seconds) for seconds in (0.34, 4.4, 38.1, 100, 400, 9000)]
        ['0.3 s', '4 s', '38 s', '2 minutes', '7 minutes', '2.5 hours']
    """
    if seconds < 1:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
