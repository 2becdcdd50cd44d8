"""What training makes small: the loss of a batch under a model, and what the next batch's loss hangs on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from torch import Tensor, nn

from recurra.errors import DataError

if TYPE_CHECKING:
    from recurra.io.batcher import Batch

__all__ = ["AnyBatch", "BatchSource", "Objective", "StatelessLoss", "supervised"]


@runtime_checkable
class AnyBatch(Protocol):
    """What the loop must know of a batch; the objective knows the rest."""

    @property
    def size(self) -> int:
        """How many things its loss is the mean of: rows, or tokens."""

    @property
    def steps(self) -> int:
        """True time steps, padding not counted."""


class BatchSource(Protocol):
    """The batches of every epoch."""

    def __len__(self) -> int:
        """Batches an epoch."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Any]:
        """Those of one epoch from batch ``start`` on, the same each time they are asked for."""


class Objective(Protocol):
    """The mean loss of a batch under a model."""

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        """A scalar to be made small; the batch is moved to the model's device."""

    def state_dict(self) -> Mapping[str, Tensor]:
        """What the next batch's loss hangs on besides weights and batch, such as a stream's last states."""

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Takes over what ``state_dict`` gave."""


class StatelessLoss:
    """An objective that carries nothing from batch to batch.

    Args:
        loss: of a model and a batch, the mean over the batch's size.
    """

    def __init__(self, loss: Callable[[Any, Any], Tensor]) -> None:
        self._loss = loss

    def __call__(self, model: nn.Module, batch: Any) -> Tensor:
        """The loss of one batch."""
        return self._loss(model, batch)

    def state_dict(self) -> Mapping[str, Tensor]:
        """Nothing."""
        return {}

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Nothing to take over."""


def supervised(loss: Callable[[Tensor, Tensor], Tensor]) -> StatelessLoss:
    """The objective of logits ``model(tokens (B, T), lengths (B,))`` beside the batch's labels.

    It raises DataError where a batch has no labels.

    Args:
        loss: of logits and labels, the mean over the batch.
    """

    def of_batch(model: nn.Module, batch: Batch) -> Tensor:
        if batch.labels is None:
            raise DataError("the training examples have no labels")
        device = next(model.parameters()).device
        logits = model(batch.tokens.to(device), batch.lengths.to(device))
        return loss(logits, batch.labels.to(device))

    return StatelessLoss(of_batch)
