"""The training loop: trains on batches, validates after each epoch, and keeps the best weights."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal

import torch
from torch import nn

from recurra.config import TrainConfig
from recurra.errors import ConfigError, DataError, TrainingError
from recurra.generators import Generators
from recurra.train.adversary import Adversary
from recurra.train.average import WeightAverage
from recurra.train.distributed import ALONE, World
from recurra.train.objective import AnyBatch, BatchSource, Objective
from recurra.train.observer import Observer, Observers, TensorBoardLog
from recurra.train.optimizers import (
    clip_by_global_norm,
    layer_shares,
    learning_rate,
    make_optimizer,
    set_learning_rate,
)
from recurra.train.resume import Checkpoints
from recurra.train.state import EarlyStopping, EpochRecord, TrainState, write_history

__all__ = ["Outcome", "Stopped", "train"]

Validate = Callable[[nn.Module], Mapping[str, float]]
Stopped = Literal["epochs", "patience", "time", "interrupted"]


@dataclass(frozen=True)
class Outcome:
    """The result of a training; the model has the weights of ``best_epoch``."""

    history: list[EpochRecord]
    best_epoch: int
    """From 1. Without validation, the last epoch trained; 0 if there is none."""
    stopped: Stopped


def train(
    model: nn.Module,
    batches: BatchSource,
    objective: Objective,
    validate: Validate,
    config: TrainConfig,
    *,
    folder: Path | None = None,
    resume: bool = False,
    observer: Observer | None = None,
    fingerprint: str = "",
    layers: Sequence[Iterable[nn.Parameter]] = (),
    time_left: Callable[[], float] | None = None,
    world: World = ALONE,
) -> Outcome:
    """Trains ``model`` in place and leaves it in evaluation mode with the best weights.

    The same initial weights, batches and ``config.seed`` give the same result, bit for bit on the CPU with
    the same number of threads, also if training is interrupted and resumed.

    Ctrl-C (in the main thread) ends training after the current batch, with a checkpoint; a second Ctrl-C
    raises KeyboardInterrupt. What layers draw by `recurra.generators.generator` comes from generators of this
    training; torch's default ones are neither used nor changed.

    Args:
        model: called by the objective alone and trained on its own device. Frozen weights (``requires_grad``
            False) are not trained; if ``config.unfreeze_after`` is set, they are trained after that many
            epochs, and early stopping starts then.
        batches: the training examples; every epoch has the same ones, in another order.
        objective: the mean loss of a batch; its state is part of every checkpoint.
        validate: called after each epoch with the model in evaluation mode and without gradients. Returns
            metrics by name, ``config.monitor`` among them. If it returns none, all epochs are trained and the
            last weights are kept.
        config: the training settings.
        folder: the directory of ``checkpoint.safetensors``, ``history.csv`` and ``tensorboard/``; if None,
            nothing is written.
        resume: whether to continue from the checkpoint in ``folder``.
        observer: receives every batch and epoch.
        fingerprint: describes what the training depends on besides ``config`` (data, tokenizer, model);
            resuming with another fingerprint is refused. If it is a JSON object, the error names the entries
            that differ.
        layers: the weights of each layer, bottom layer first; required by ``config.layerwise_lr``.
        time_left: called after each batch; training ends when it returns 0 or less. A part of an epoch is
            then validated like a whole one, but the checkpoint is that before the validation: resuming
            continues the epoch.
        world: the processes that train together. All of them call this function with the same batches and
            settings; the first one validates and writes to ``folder``, and of the others ``validate``,
            ``folder`` and ``time_left`` are not used. Each computes its share of every batch.

    Raises:
        DataError: there are no training examples, they have no labels, or the processes have other ones.
        ConfigError: the checkpoint was made with other settings, or validation lacks the monitored metric.
        BundleError: the checkpoint to resume from is missing or damaged.
        TrainingError: the loss, a gradient or a weight is not finite; the last good checkpoint is kept.
        OutputError: a checkpoint can't be written; the previous one is kept.
        DependencyError: ``config.tensorboard`` is set but TensorBoard is not installed.
    """
    if not any(weight.requires_grad for weight in model.parameters()):
        raise TrainingError("every weight of the model is frozen", hint="unfreeze a layer")
    frozen_epochs = config.unfreeze_after or 0
    later = [weight for weight in model.parameters() if frozen_epochs and not weight.requires_grad]
    # The optimizer holds all weights that are ever trained and skips those without a gradient: a weight then
    # has the same index in every checkpoint, and its running averages start when its training starts.
    weights = [w for w in model.parameters() if w.requires_grad or frozen_epochs]
    if len(batches) == 0:
        raise DataError("there is no training example")
    if world.told([fingerprint, len(batches)]) != [fingerprint, len(batches)]:
        raise DataError(
            "this process of the training has other data than the first", hint="give all the same"
        )
    total_steps = config.epochs * len(batches)
    shares = None if config.layerwise_lr is None else layer_shares(layers, config.layerwise_lr)
    optimizer = make_optimizer(weights, config, shares)
    state = TrainState(EarlyStopping(config.monitor, config.patience))
    generators = Generators(world.seed(config.seed))
    world.copy_weights(model)
    adversary = Adversary(model, config.adversarial) if config.adversarial else None
    average = WeightAverage(model, config.average * len(batches)) if config.average and world.leads else None
    checkpoints = Checkpoints(
        folder, model, optimizer, objective, generators, config, len(batches), fingerprint, average, world
    )

    was_interrupted = out_of_time = False
    with generators.in_use(), _deferred_interrupts() as interrupted:
        if resume:
            checkpoints.restore(state)
            _write_history(folder, state)  # the run may have been killed between its checkpoint and this file
        else:
            checkpoints.save(state)  # also checks before the first epoch that the folder can be written
        if world.leads:
            observer = _with_tensorboard(observer, config, folder, state.step)
        observer = observer or Observer()
        try:
            observer.on_start(config.epochs, len(batches), state.step if resume else None)
            if folder is not None and not resume:
                observer.on_checkpoint()  # of the weights before the first step

            while state.epoch <= config.epochs and not state.stopping.exhausted:
                was_interrupted, out_of_time = world.agree(interrupted.is_set(), out_of_time)
                if was_interrupted or out_of_time:
                    break
                for weight in later:
                    weight.requires_grad_(state.epoch > frozen_epochs)
                model.train()
                clock = time.perf_counter()
                for batch in batches.epoch(state.epoch, start=state.batch):
                    rate = learning_rate(config, state.step, total_steps)
                    set_learning_rate(optimizer, rate)
                    value = _step(
                        model, batch, objective, optimizer, weights, config, state, adversary, world
                    )
                    steps, seconds = batch.steps, time.perf_counter() - clock
                    state.count(value, batch.size, steps, seconds)
                    if average is not None:
                        average.update(state.step)
                    observer.on_batch(state.epoch, state.batch, value, steps, seconds)
                    out_of_time = time_left is not None and time_left() <= 0
                    was_interrupted, out_of_time, due = world.agree(
                        interrupted.is_set(), out_of_time, checkpoints.due
                    )
                    stopping = was_interrupted or out_of_time
                    if state.batch < len(batches) and (stopping or due):
                        _save(checkpoints, state, observer)
                        if stopping:
                            break
                    clock = time.perf_counter()
                whole = state.batch == len(batches)
                if whole or not was_interrupted:
                    model.eval()
                    with nullcontext() if average is None else average.in_place():
                        with torch.no_grad():
                            metrics = world.told(_floats(validate(model)) if world.leads else None)
                        improved = bool(metrics) and state.stopping.update(state.epoch, metrics)
                        if improved and world.leads:
                            weights_now = model.state_dict()
                            state.best_weights = {n: t.detach().cpu().clone() for n, t in weights_now.items()}
                    record = state.end_epoch(rate, metrics)
                    if record.epoch <= frozen_epochs:
                        state.stopping.waited = 0  # patience counts from the epoch that trains all weights
                    if whole:
                        _save(checkpoints, state, observer)
                    _write_history(folder, state)
                    observer.on_epoch(record, improved)
        finally:
            observer.on_end()

    if state.best_weights is not None:
        model.load_state_dict(state.best_weights)
    elif average is not None:
        average.keep()
    model.eval()
    stopped: Stopped = "interrupted" if interrupted.is_set() or was_interrupted else "time"
    if state.step % len(batches) == 0:
        if state.stopping.exhausted:
            stopped = "patience"
        elif state.epoch > config.epochs:
            stopped = "epochs"
    return Outcome(state.history, state.best_epoch, stopped)


def _floats(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in metrics.items()}


def _save(checkpoints: Checkpoints, state: TrainState, observer: Observer) -> None:
    checkpoints.save(state)
    if checkpoints.path is not None:
        observer.on_checkpoint()


def _write_history(folder: Path | None, state: TrainState) -> None:
    if folder is not None:
        write_history(folder / "history.csv", state.history)


def _step(
    model: nn.Module,
    batch: AnyBatch,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    weights: list[nn.Parameter],
    config: TrainConfig,
    state: TrainState,
    adversary: Adversary | None,
    world: World,
) -> float:
    """Trains on one batch (loss, gradients, clipping, optimizer step) and returns the loss.

    With an adversary, the gradients are the sum of those at the word vectors and at the perturbed ones.
    """
    optimizer.zero_grad()
    carried = {} if adversary is None else dict(objective.state_dict())
    number = _gradients(model, batch, objective, world)
    _require_finite("loss", number, config, state)
    if adversary is not None:
        with adversary.in_place() as perturbed:
            if perturbed:
                objective.load_state_dict(carried)  # both losses are of the same batch
                if not world.leads:
                    optimizer.zero_grad()  # the first gradients are summed already, and are added once
                _gradients(model, batch, objective, world)
    if config.clip_norm is not None:
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        _require_finite("gradient", clip_by_global_norm(gradients, config.clip_norm), config, state)
    optimizer.step()
    return number


def _gradients(model: nn.Module, batch: AnyBatch, objective: Objective, world: World) -> float:
    """Adds the gradients of the loss of a batch to those of the weights, and returns the loss.

    Each process of ``world`` computes those of its part, as a share of the items of the batch.
    """
    part = world.share(batch)
    number = 0.0
    if part.size or part is batch:
        value = objective(model, part)
        if part is not batch:
            value = value * (part.size / batch.size)
        number = value.item()
        value.backward()  # type: ignore[no-untyped-call]
    return world.sum_gradients(model, number)


def _require_finite(what: str, number: float, config: TrainConfig, state: TrainState) -> None:
    """Raises TrainingError, before the weights change, if ``number`` is NaN or infinite."""
    if math.isfinite(number):
        return
    clip = "set" if config.clip_norm is None else f"lower (now {config.clip_norm:g})"
    raise TrainingError(
        f"the {what} is {number} in epoch {state.epoch}, step {state.step + 1:,}",
        hint=f"lower train.learning_rate (now {config.learning_rate:g}), or {clip} train.clip_norm",
    )


def _with_tensorboard(
    observer: Observer | None, config: TrainConfig, folder: Path | None, steps_done: int
) -> Observer | None:
    """Returns the observer, combined with a TensorBoard log if ``config.tensorboard`` is set."""
    if not config.tensorboard:
        return observer
    if folder is None:
        raise ConfigError("TensorBoard logs need a folder to write to", where="train.tensorboard")
    return Observers(observer or Observer(), TensorBoardLog(folder / "tensorboard", steps_done))


@contextmanager
def _deferred_interrupts() -> Iterator[threading.Event]:
    """Within the context the first SIGINT only sets the event; a second one raises KeyboardInterrupt.

    The previous handler is restored at the end. Outside the main thread, or if SIGINT is ignored (a
    background job), no handler is installed and the event is never set.
    """
    interrupted = threading.Event()
    previous = signal.getsignal(signal.SIGINT)
    # None: the handler was not installed from Python, so it could not be restored.
    if threading.current_thread() is not threading.main_thread() or previous in (signal.SIG_IGN, None):
        yield interrupted
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    signal.signal(signal.SIGINT, handle)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, previous)
