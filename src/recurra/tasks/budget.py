"""The memory that a training needs, estimated from the outline of its network and compared with the free."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import torch

from recurra.config import Config, TrainConfig, updated
from recurra.errors import RecurraError, TrainingError
from recurra.layers.network import Network
from recurra.runtime import free_memory
from recurra.tasks.base import Prepared, Task, outline

__all__ = ["memory_errors_in_one_line", "require_memory", "training_bytes"]

_MOMENTS = {"adam": 2, "adamw": 2, "rmsprop": 1}  # numbers that the optimizer keeps for each weight
_NUMBER = 4  # bytes
_SMALLEST = 1 << 30  # bytes that are not compared with the free memory, which changes from moment to moment


def training_bytes(network: Network, train: TrainConfig, steps: int = 0) -> int:
    """Returns the estimated memory of a training.

    It has the weights, their gradients, the numbers of the optimizer, the best weights so far, and the copies
    of all but the gradients for a checkpoint; and for each step of a batch the gates and states of the
    recurrent layers and their inputs, forward and backward. The output layer of a language model is not
    counted.

    Args:
        network: the network, or its outline.
        train: the settings of the training.
        steps: number of time steps of a batch, over all its rows; 0 for the weights alone.

    Example:
        >>> from recurra.config import ModelConfig
        >>> from recurra.layers.network import recurrent_stack
        >>> from recurra.tasks.classification.network import Classifier
        >>> network = Classifier(ModelConfig(units=4, embedding=2), 10, 2, "binary")
        >>> sum(weight.numel() for weight in network.parameters())  # 10 x 2, 4 x 4 x (2 + 4 + 1), 4 + 1
        137
        >>> training_bytes(network, TrainConfig()) == 137 * 9 * 4
        True
    """
    weights = sum(weight.numel() for weight in network.parameters())
    moments = _MOMENTS.get(train.optimizer, 1 if train.momentum else 0)
    copies = 1 + moments + 1 + bool(train.average)  # weights, optimizer, best weights, their average
    recurrent, members = network.recurrent, len(network.members())
    widths = [recurrent.input_size, *(recurrent.directions * H for H in recurrent.units)]
    parts = len(recurrent.spec.gates) + len(recurrent.spec.state)
    tape = sum(inputs + parts * states for inputs, states in pairwise(widths))
    return _NUMBER * (weights * (copies + 1 + copies) + 2 * steps * tape * members)


def require_memory(
    task: Task[Any, Any], prepared: Prepared[Any, Any, Any], built: Network | None = None, steps: int = 0
) -> None:
    """Checks that a training fits into the free memory, and if it does not, looks for a network that does.

    Args:
        task: the task.
        prepared: its data.
        built: the network, if it has its memory already; if None, its outline is made.
        steps: as in `training_bytes`.

    Raises:
        TrainingError: the memory does not suffice.
    """
    free = free_memory()
    if free is None:
        return
    config = prepared.config

    def needed(config: Config) -> tuple[int, int]:
        network = outline(task, config, prepared.assets)
        return training_bytes(network, config.train, steps), sum(w.numel() for w in network.parameters())

    if built is None:
        size, weights = needed(config)
    else:
        weights = sum(w.numel() for w in built.parameters())
        size = training_bytes(built, config.train, steps) - _NUMBER * weights
    if size <= max(free, _SMALLEST):
        return
    raise TrainingError(
        f"training needs about {_gigabytes(size)} of memory ({weights:,} weights), "
        f"and {_gigabytes(free)} are free",
        where="model",
        hint=_what_fits(config, lambda changed: needed(changed)[0], free),
    )


def _what_fits(config: Any, needed: Callable[[Any], int], free: int) -> str:
    """Returns advice: the largest half, quarter ... of the units or of the batch with which training fits."""
    units, batch = config.model.layer_units, config.train.batch_size
    for share in range(1, 20):
        fewer = [max(1, count >> share) for count in units]
        try:
            smaller = updated(config, {"model": {"units": fewer, "layers": len(fewer)}})
            if needed(smaller) <= free:
                shown = fewer[0] if len(set(fewer)) == 1 else fewer
                return f"model.units={shown} fits; or lower the vocabulary or train.batch_size ({batch})"
        except RecurraError:  # settings that don't go together, such as tied weights of another width
            break
    return f"lower model.units, the vocabulary, or train.batch_size (now {batch})"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"


@contextmanager
def memory_errors_in_one_line() -> Iterator[None]:
    """Context in which an allocation that the system refuses is a `TrainingError`."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        refused = isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(error)
        if not refused:
            raise
        raise TrainingError(
            "memory ran out", where="training", hint="lower train.batch_size, model.units or the vocabulary"
        ) from error
