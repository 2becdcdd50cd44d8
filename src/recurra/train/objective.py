"""The training objective: the loss of a batch, and the state that it carries from one batch to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from recurra.errors import DataError

if TYPE_CHECKING:
    from recurra.io.batcher import Batch

__all__ = ["AnyBatch", "BatchSource", "MixedPrecision", "Objective", "StatelessLoss", "supervised"]


class AnyBatch(Protocol):
    """What the training loop reads from a batch; everything else is read by the objective alone."""

    @property
    def size(self) -> int:
        """Number of items that the loss is averaged over: rows, or tokens."""

    @property
    def steps(self) -> int:
        """Number of time steps, padding not counted."""

    def part(self, number: int, parts: int) -> AnyBatch:
        """Returns the part of this number, from 0, of the batch in ``parts`` parts of about equal length.

        A part may be empty; its ``size`` is then 0. In every batch of a stream the same rows are in a part.
        """


class BatchSource(Protocol):
    """The batches of every epoch."""

    def __len__(self) -> int:
        """Number of batches of an epoch."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Yields the batches of an epoch from batch ``start`` on; the same ones on every call."""


class Objective(Protocol):
    """The mean loss of a batch under a model."""

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        """Returns the loss as a scalar; the batch is moved to the model's device."""

    def state_dict(self) -> Mapping[str, Tensor]:
        """Returns what the next loss depends on besides weights and batch, e.g. a stream's last states."""

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Restores what ``state_dict`` returned."""


class StatelessLoss:
    """An objective without state: each batch's loss depends on the model and the batch alone.

    Args:
        loss: a function of model and batch that returns the mean over the batch.
    """

    def __init__(self, loss: Callable[[Any, Any], Tensor]) -> None:
        self._loss = loss

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        """Returns the loss of one batch."""
        return self._loss(model, batch)

    def state_dict(self) -> Mapping[str, Tensor]:
        """Returns an empty mapping."""
        return {}

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Does nothing."""


class MixedPrecision:
    """An objective that is computed under ``torch.autocast`` in bfloat16.

    Weights, their gradients, the optimizer's state and the loss stay in float32. No loss is scaled: bfloat16
    has the exponents of float32.

    Args:
        objective: computes the loss; its state is that of this objective.
        device: that of the model.

    Example:
        >>> def loss(model, x):
        ...     y = model(x)
        ...     print(y.dtype)
        ...     return y.square().mean()
        >>> model, objective = nn.Linear(3, 1), MixedPrecision(StatelessLoss(loss), torch.device("cpu"))
        >>> objective(model, torch.ones(2, 3)).backward()
        torch.bfloat16
        >>> model.weight.grad.dtype
        torch.float32
    """

    def __init__(self, objective: Objective, device: torch.device) -> None:
        self._objective = objective
        self._device = device

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        """Returns the loss of one batch."""
        with torch.autocast(self._device.type, torch.bfloat16):
            return self._objective(model, batch).float()

    def state_dict(self) -> Mapping[str, Tensor]:
        """Returns the state of the objective."""
        return self._objective.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Restores what ``state_dict`` returned."""
        self._objective.load_state_dict(state_dict)


def supervised(
    loss: Callable[..., Tensor], inputs: Callable[[Batch], tuple[Tensor, ...]] = lambda batch: ()
) -> StatelessLoss:
    """Returns the objective ``loss(model(tokens, lengths, *inputs), labels)``.

    Tokens are (B, T) and lengths (B,). The objective raises DataError if a batch has no labels.

    Args:
        loss: a function of logits and labels, and of the weights (B,) of the rows if the batch has any, that
            returns the mean over the batch.
        inputs: returns further inputs of the model for a batch.
    """

    def batch_loss(model: nn.Module, batch: Batch) -> Tensor:
        if batch.labels is None:
            raise DataError("the training examples have no labels")
        device = next(model.parameters()).device
        further = (each.to(device) for each in inputs(batch))
        logits = model(batch.tokens.to(device), batch.lengths.to(device), *further)
        weights = () if batch.weights is None else (batch.weights.to(device),)
        return loss(logits, batch.labels.to(device), *weights)

    return StatelessLoss(batch_loss)
