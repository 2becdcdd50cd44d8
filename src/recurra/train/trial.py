"""Trial batches: how long a step of a training takes, measured before it, without a trace in its result."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from torch import nn

from recurra.config import TrainConfig
from recurra.train.distributed import ALONE, World
from recurra.train.loop import train
from recurra.train.objective import BatchSource, Objective
from recurra.train.observer import Observer

__all__ = ["Portion", "seconds_per_epoch"]

_MOST_BATCHES = 200
_ENOUGH = 10.0
"""Seconds: a training that takes less is not measured longer than needed to know that."""


class Portion:
    """The first ``steps`` batches of each epoch of ``batches``, as one epoch; of a random order, other ones.

    Example:
        >>> class Numbers:
        ...     def __len__(self): return 4
        ...     def epoch(self, epoch, start=0): return iter(range(4 * epoch + start, 4 * epoch + 4))
        >>> part = Portion(Numbers(), 3)
        >>> len(part), list(part.epoch(1)), list(part.epoch(2, start=1))
        (3, [4, 5, 6], [9, 10])
    """

    def __init__(self, batches: BatchSource, steps: int) -> None:
        self.batches = batches
        self.steps = min(steps, len(batches))

    def __len__(self) -> int:
        return self.steps

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Yields the batches of an epoch from batch ``start`` on; see `BatchSource`."""
        return islice(self.batches.epoch(epoch, start), max(0, self.steps - start))


def seconds_per_epoch(
    model: nn.Module,
    batches: BatchSource,
    objective: Objective,
    config: TrainConfig,
    *,
    limit: float,
    layers: Sequence[Iterable[nn.Parameter]] = (),
    clock: Callable[[], float] = time.perf_counter,
    tick: Callable[[int], object] = lambda batches: None,
    world: World = ALONE,
) -> float:
    """Returns the seconds that one epoch over all batches takes, without validation.

    The first batches of the first epoch are trained by `train` itself: for ``limit`` seconds at most, or less
    if the whole training takes less than 10 seconds. The first batch is not counted if there are others: it
    pays for memory and caches. Since batches have different lengths, the time of the others is scaled by
    their tokens. Afterwards weights and objective are as before, bit for bit; no generator of the training is
    used. ``tick`` is called with 1 after each batch. All processes of ``world`` make the same steps, as many
    as the first one asks for.

    Raises:
        KeyboardInterrupt: Ctrl-C.
        RecurraError: as `train`.
    """
    weights = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
    carried = dict(objective.state_dict())
    trained = {weight: weight.requires_grad for weight in model.parameters()}
    if config.unfreeze_after:  # the epochs in which all weights are trained take longer
        model.requires_grad_(True)
    once = TrainConfig.model_validate(
        {**config.model_dump(), "epochs": 1, "unfreeze_after": None, "tensorboard": False}
    )
    stopwatch = _Stopwatch(batches, config.epochs, limit, clock, tick)
    try:
        outcome = train(
            model,
            Portion(batches, _MOST_BATCHES),
            objective,
            _no_validation,
            once,
            observer=stopwatch,
            layers=layers,
            time_left=stopwatch.time_left,
            world=world,
        )
    finally:
        model.load_state_dict(weights)
        model.zero_grad(set_to_none=True)
        objective.load_state_dict(carried)
        for weight, flag in trained.items():
            weight.requires_grad_(flag)
    if outcome.stopped == "interrupted":
        raise KeyboardInterrupt
    return stopwatch.seconds_per_epoch


def _no_validation(model: nn.Module) -> Mapping[str, float]:
    return {}


class _Stopwatch(Observer):
    """Measures the batches of a trial, and says when they are enough."""

    def __init__(
        self,
        batches: BatchSource,
        epochs: int,
        limit: float,
        clock: Callable[[], float],
        tick: Callable[[int], object],
    ) -> None:
        self.batches = len(batches)
        # Sources whose batches differ in length know their tokens; those of the others are all alike.
        self.tokens: int | None = getattr(batches, "tokens_in_epoch", None)
        self.epochs, self.limit, self.clock, self.tick = epochs, limit, clock, tick
        self.laps: list[tuple[float, int]] = []

    def on_start(self, total_epochs: int, batches_per_epoch: int, resumed_from: int | None) -> None:
        """Starts the clock."""
        self.begun = self.last = self.clock()

    def on_batch(self, epoch: int, batch: int, loss: float, tokens: int, seconds: float) -> None:
        """Takes the time of a batch, reading included."""
        now = self.clock()
        self.laps.append((now - self.last, tokens))
        self.tick(1)
        self.last = now

    def time_left(self) -> float:
        """Returns 0 if no more batches are needed."""
        short = len(self.laps) > 2 and self.epochs * self.seconds_per_epoch < _ENOUGH
        return 0.0 if short else self.begun + self.limit - self.last

    @property
    def seconds_per_epoch(self) -> float:
        """The time of an epoch, from the batches so far."""
        laps = self.laps[1:] or self.laps
        seconds, tokens = sum(lap for lap, _ in laps), sum(count for _, count in laps)
        if self.tokens is None or not tokens:
            return seconds / len(laps) * self.batches
        return seconds / tokens * self.tokens
