"""The training loop: batches forwards, gradients back, validation after each epoch, the best weights kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from recurra.config import TrainConfig
from recurra.errors import ConfigError, DataError, TrainingError
from recurra.train.history import EpochRecord, write_history
from recurra.train.interrupt import noting_interrupts
from recurra.train.objective import AnyBatch, BatchSource, Objective
from recurra.train.observer import Observer, Observers
from recurra.train.optimizers import (
    clip_by_global_norm,
    layer_shares,
    learning_rate,
    make_optimizer,
    set_learning_rate,
)
from recurra.train.resume import Checkpoints
from recurra.train.state import TrainState
from recurra.train.stopping import Stopping

__all__ = ["Outcome", "train"]

Validate = Callable[[nn.Module], Mapping[str, float]]


@dataclass(frozen=True)
class Outcome:
    """How a training ended; the model holds the weights of ``best_epoch``."""

    history: list[EpochRecord]
    best_epoch: int
    """From 1. Without validation the last epoch trained on; 0 if there was none."""
    stopped: Literal["epochs", "patience", "interrupted"]


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
) -> Outcome:
    """Trains ``model`` in place and leaves it in evaluation mode with the best weights.

    The same model weights, batches and ``config.seed`` give the same result, bit for bit on the CPU with the
    same number of threads, whether or not training was interrupted and resumed on the way.

    Ctrl-C (in the main thread) ends training after the present batch, with a checkpoint; a second one stops
    at once. Torch's random state is the caller's again at the end.

    Args:
        model: called by the objective alone; frozen weights (``requires_grad`` False) stay as they are, for
            ``config.unfreeze_after`` epochs if that is a number: until then training does not stop for want
            of patience. Trained on the device it is on.
        batches: the training examples; the same in every epoch but for their order.
        objective: the mean loss of a batch; what it carries from batch to batch is in every checkpoint.
        validate: called after each epoch with the model in evaluation mode and gradients off; gives figures
            by name, among them ``config.monitor``, or nothing: then all epochs are trained and the last
            weights are kept.
        config: every setting of training.
        folder: for ``checkpoint.safetensors``, ``history.csv`` and ``tensorboard/``; None writes nothing.
        resume: go on from the folder's checkpoint.
        observer: is told about every batch and epoch.
        fingerprint: what the training depends on besides ``config`` (data, tokenizer, model); resuming with
            another one is refused. A JSON object lets the refusal name what differs.
        layers: the weights of each layer, from the bottom up; ``config.layerwise_lr`` needs them.

    Raises:
        DataError: there is no training example, or no labels.
        ConfigError: resuming with other settings; or a monitored figure that validation does not give.
        BundleError: the checkpoint to resume from is missing or damaged.
        TrainingError: the loss, a gradient or a weight is not finite; the last good checkpoint remains.
        OutputError: a checkpoint can't be written; the former one remains.
        DependencyError: ``config.tensorboard`` without TensorBoard installed.
    """
    if not any(weight.requires_grad for weight in model.parameters()):
        raise TrainingError("every weight of the model is frozen", hint="unfreeze a layer")
    frozen_epochs = config.unfreeze_after or 0
    later = [weight for weight in model.parameters() if frozen_epochs and not weight.requires_grad]
    # The optimizer has all that are ever trained, and passes over those without a gradient: so a weight has
    # the same place in every checkpoint, and its averages begin when it is trained.
    weights = [w for w in model.parameters() if w.requires_grad or frozen_epochs]
    if len(batches) == 0:
        raise DataError("there is no training example")
    device = weights[0].device
    total_steps = config.epochs * len(batches)
    shares = None if config.layerwise_lr is None else layer_shares(layers, config.layerwise_lr)
    optimizer = make_optimizer(weights, config, shares)
    state = TrainState(Stopping(config.monitor, config.patience))
    checkpoints = Checkpoints(folder, model, optimizer, objective, config, len(batches), fingerprint)

    with _own_random_state(device), noting_interrupts() as interrupt:
        if resume:
            checkpoints.restore(state)
        else:
            torch.manual_seed(config.seed)
            checkpoints.save(state)  # also shows at once, not after an epoch, that the folder can be written
        watching = _watching(observer, config, folder, state.step)
        try:
            watching.on_start(config.epochs, len(batches), state.step if resume else None)

            while state.epoch <= config.epochs and not state.stopping.exhausted and not interrupt.asked():
                for weight in later:
                    weight.requires_grad_(state.epoch > frozen_epochs)
                model.train()
                clock = time.perf_counter()
                for batch in batches.epoch(state.epoch, start=state.batch):
                    rate = learning_rate(config, state.step, total_steps)
                    set_learning_rate(optimizer, rate)
                    value = _step(model, batch, objective, optimizer, weights, config, state)
                    steps, seconds = batch.steps, time.perf_counter() - clock
                    state.count(value, batch.size, steps, seconds)
                    watching.on_batch(state.epoch, state.batch, value, steps, seconds)
                    if state.batch < len(batches) and (interrupt.asked() or checkpoints.due):
                        checkpoints.save(state)
                        if interrupt.asked():
                            break
                    clock = time.perf_counter()
                else:
                    model.eval()
                    with torch.no_grad():
                        figures = validate(model)
                    improved = bool(figures) and state.stopping.update(state.epoch, figures)
                    if improved:
                        state.best_weights = _copy_of_weights(model)
                    record = state.end_epoch(rate, figures)
                    if record.epoch <= frozen_epochs:
                        state.stopping.waited = 0  # patience begins when all is trained
                    checkpoints.save(state)
                    if folder is not None:
                        write_history(folder / "history.csv", state.history)
                    watching.on_epoch(record, improved)
        finally:
            watching.on_end()

    if state.best_weights is not None:
        model.load_state_dict(state.best_weights)
    model.eval()
    stopped: Literal["epochs", "patience", "interrupted"] = "interrupted"
    if state.stopping.exhausted:
        stopped = "patience"
    elif state.epoch > config.epochs:
        stopped = "epochs"
    return Outcome(state.history, state.best_epoch, stopped)


def _step(
    model: nn.Module,
    batch: AnyBatch,
    objective: Objective,
    optimizer: torch.optim.Optimizer,
    weights: list[nn.Parameter],
    config: TrainConfig,
    state: TrainState,
) -> float:
    """One batch: forwards, loss, backwards, clipping, update. Gives the loss."""
    optimizer.zero_grad()
    value = objective(model, batch)
    number = value.item()
    _refuse_non_finite("loss", number, config, state)
    value.backward()  # type: ignore[no-untyped-call]
    if config.clip_norm is not None:
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        _refuse_non_finite("gradient", clip_by_global_norm(gradients, config.clip_norm), config, state)
    optimizer.step()
    return number


def _refuse_non_finite(what: str, number: float, config: TrainConfig, state: TrainState) -> None:
    """A step that can't be made sense of must not touch the weights."""
    if math.isfinite(number):
        return
    clip = "set" if config.clip_norm is None else f"lower (now {config.clip_norm:g})"
    raise TrainingError(
        f"the {what} is {number} in epoch {state.epoch}, step {state.step + 1:,}",
        hint=f"lower train.learning_rate (now {config.learning_rate:g}), or {clip} train.clip_norm",
    )


def _watching(
    observer: Observer | None, config: TrainConfig, folder: Path | None, steps_done: int
) -> Observer:
    """The caller's observer, with a TensorBoard log beside it where the settings ask for one."""
    observer = observer or Observer()
    if not config.tensorboard:
        return observer
    if folder is None:
        raise ConfigError("TensorBoard logs need a folder", where="train.tensorboard")
    from recurra.train.tensorboard import TensorBoardLog  # heavy, and optional

    return Observers(observer, TensorBoardLog(folder / "tensorboard", steps_done))


def _own_random_state(device: torch.device) -> AbstractContextManager[None]:
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


def _copy_of_weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
