"""What every task's network has: layer groups, layer info, a recurrent stack."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn

from recurra.config import ModelConfig
from recurra.layers import (
    GRU,
    LSTM,
    AttentionPooling,
    Embedding,
    MaxPooling,
    MeanPooling,
    Recurrent,
    SimpleRNN,
)

__all__ = [
    "LayerInfo",
    "Network",
    "embedding_of",
    "layer_info_of",
    "measuring",
    "pooling_of",
    "recurrent_stack",
    "stack_of",
]

_CELLS: dict[str, type[Recurrent]] = {"simple_rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}


@dataclass(frozen=True)
class LayerInfo:
    """A line of a network's summary.

    Attributes:
        name: of the layer, such as ``lstm_1``.
        layer: its kind, such as ``Bidirectional LSTM``.
        shape: of its output, None for the batch and for time.
        weights: its parameters.
    """

    name: str
    layer: str
    shape: tuple[int | None, ...]
    weights: list[nn.Parameter] = field(default_factory=list)


class Network(nn.Module, ABC):
    """A network of layers one above the other."""

    @abstractmethod
    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The weights of each layer from the bottom up, each weight once."""

    @abstractmethod
    def layer_info(self) -> list[LayerInfo]:
        """The layers in the order of the data."""

    def freeze(self, layer_groups: int) -> None:
        """The weights of the lowest ``layer_groups`` are no longer trained."""
        for group in self.layer_groups()[:layer_groups]:
            for weight in group:
                weight.requires_grad_(False)


@contextmanager
def measuring(model: nn.Module) -> Iterator[torch.device]:
    """Dropout and gradients are off meanwhile, and the model's mode is as it was afterwards.

    Gives the device to put inputs on.
    """
    weight = next(model.parameters(), None)
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield torch.device("cpu") if weight is None else weight.device
    finally:
        model.train(was_training)


def recurrent_stack(config: ModelConfig, input_size: int, *, return_sequences: bool) -> Recurrent:
    """The recurrent layers of the settings, over inputs of ``input_size`` features."""
    return _CELLS[config.cell](
        input_size,
        config.layer_units,
        bidirectional=config.bidirectional,
        dropout=config.dropout,
        recurrent_dropout=config.recurrent_dropout,
        activation=config.layer_activations,
        return_sequences=return_sequences,
        backend=config.backend,
        precision=config.precision,
        initial_weights=config.initial_weights,
    )


def pooling_of(config: ModelConfig, features: int) -> nn.Module | None:
    """What makes one vector of all states of ``features`` each; None where the last state alone is taken."""
    if config.pooling == "last":
        return None
    if config.pooling == "attention":
        return AttentionPooling(features)
    return MeanPooling() if config.pooling == "mean" else MaxPooling()


def layer_info_of(stack: Recurrent, *, last_alone: bool, prefix: str = "") -> Iterable[LayerInfo]:
    """A line for each layer of a stack; ``last_alone``: the last gives one vector, not all states."""
    kind = type(stack).__name__
    for layer, (H, weights) in enumerate(zip(stack.units, stack.layer_groups(), strict=True)):
        name = prefix + (stack.cell if stack.layers == 1 else f"{stack.cell}_{layer + 1}")
        features = stack.directions * H
        alone = last_alone and layer == stack.layers - 1
        shape = (None, features) if alone else (None, None, features)
        yield LayerInfo(name, f"Bidirectional {kind}" if stack.bidirectional else kind, shape, weights)


def embedding_of(model: Network) -> Embedding:
    """The table of word vectors of a network that has words."""
    assert isinstance(model.embedding, Embedding)  # noqa: S101  # every network with words has one
    return model.embedding


def stack_of(model: Network) -> Recurrent:
    """The recurrent layers of a network."""
    assert isinstance(model.recurrent, Recurrent)  # noqa: S101  # every network has them
    return model.recurrent
