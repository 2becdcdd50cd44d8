"""The base of all networks: layer groups, layer info, and the parts that are built from settings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from recurra.config import ModelConfig
from recurra.kernels.dispatch import Lookup, can_round
from recurra.layers import (
    AttentionPooling,
    Embedding,
    JoinedPooling,
    MaxPooling,
    MeanPooling,
    OutputLayer,
    Recurrent,
)
from recurra.precision import float32_products, without_autocast

__all__ = [
    "LayerInfo",
    "Network",
    "layer_info_of",
    "measuring",
    "pooled",
    "pooling_of",
    "precision_of_this_machine",
    "recurrent_stack",
    "rows_are_independent",
]


@dataclass(frozen=True)
class LayerInfo:
    """One layer in a network's summary.

    Attributes:
        name: Name of the layer, such as ``lstm_1``.
        layer: Kind of the layer, such as ``Bidirectional LSTM``.
        shape: Shape of its output, None for the batch and for time.
        weights: Its parameters.
    """

    name: str
    layer: str
    shape: tuple[int | None, ...]
    weights: list[nn.Parameter] = field(default_factory=list)


class Network(nn.Module, ABC):
    """A network whose layers are applied one after another; ``embedding`` exists where it reads words."""

    embedding: Embedding
    recurrent: Recurrent

    @abstractmethod
    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Returns the parameters of each layer, input side first, each parameter once."""

    @abstractmethod
    def layer_info(self) -> list[LayerInfo]:
        """Returns the layers in the order in which the data passes them."""

    def members(self) -> list[Network]:
        """Returns the networks whose outputs are averaged: this one alone, unless it is an ensemble."""
        return [self]

    def freeze(self, layer_groups: int) -> None:
        """Excludes the parameters of the first ``layer_groups`` groups from training."""
        for group in self.layer_groups()[:layer_groups]:
            for weight in group:
                weight.requires_grad_(False)


@contextmanager
def measuring(model: nn.Module) -> Iterator[torch.device]:
    """Switches dropout, gradients, autocast and TF32 off for a block, and restores the model's mode.

    Yields:
        The device of the model's parameters.

    Example:
        >>> model = nn.Dropout(0.5)
        >>> with measuring(model) as device:
        ...     model(torch.ones(3, device=device))
        tensor([1., 1., 1.])
        >>> model.training
        True
    """
    weight = next(model.parameters(), None)
    device = torch.device("cpu") if weight is None else weight.device
    was_training = model.training
    if was_training:  # a saved model is not; to go through its modules takes as long as to read a short text
        model.eval()
    try:
        with torch.inference_mode(), without_autocast(device.type), float32_products(device):
            yield device
    finally:
        if was_training:
            model.train()


def recurrent_stack(config: ModelConfig, input_size: int, *, return_sequences: bool) -> Recurrent:
    """Builds the recurrent layers of the settings for inputs ``(B, T, input_size)``.

    Example:
        >>> recurrent_stack(ModelConfig(cell="gru", units=4, bidirectional=True), 3, return_sequences=True)
        GRU(3, 4, bidirectional=True)
    """
    return Recurrent(
        input_size,
        config.layer_units,
        cell=config.cell,
        bidirectional=config.bidirectional,
        merge_mode=config.merge_mode,
        dropout=config.dropout,
        recurrent_dropout=config.recurrent_dropout,
        activation=config.layer_activations,
        return_sequences=return_sequences,
        backend=config.backend,
        precision=config.precision,
        initial_weights=config.initial_weights,
    )


def precision_of_this_machine(model: nn.Module) -> None:
    """Lets recurrent layers on a CPU without products of bfloat16 compute in float32, which rounds less.

    A model may have been trained elsewhere, such as on a GPU.

    Example:
        >>> model = nn.ModuleList([Recurrent(3, 4, cell="lstm", precision="bfloat16")])
        >>> precision_of_this_machine(model)
        >>> model[0].precision == ("bfloat16" if can_round() else "float32")
        True
    """
    for layer in model.modules():
        if isinstance(layer, Recurrent) and layer.precision != "float32" and not can_round():
            layer.precision = "float32"


def pooling_of(config: ModelConfig, features: int) -> nn.Module | None:
    """Builds the pooling layer of the settings for ``F`` features; None if only the last state is used."""
    parts = [_pooling(name, features) for name in config.poolings]
    return parts[0] if len(parts) == 1 else JoinedPooling(parts)


def _pooling(name: str, features: int) -> nn.Module | None:
    if name == "last":
        return None
    if name == "attention":
        return AttentionPooling(features)
    return MeanPooling() if name == "mean" else MaxPooling()


def pooled(
    stack: Recurrent, pooling: nn.Module | None, inputs: Tensor | Lookup, lengths: Tensor | None
) -> Tensor:
    """Returns the states of all steps as one vector ``(B, n * F)``, by what `pooling_of` made of ``n`` names.

    Args:
        stack: recurrent layers, with ``return_sequences`` if there is a pooling layer.
        pooling: the pooling layer; None if only the last state is used.
        inputs: ``(B, T, E)``.
        lengths: ``(B,)`` integers; None if every row has ``T`` steps.
    """
    states: Tensor
    states, finals = stack(inputs, lengths)
    if pooling is None:
        return states
    if lengths is None:
        B, T = inputs.shape[:2]
        lengths = torch.full((B,), T, device=inputs.device)
    last = (stack.last(finals),) if isinstance(pooling, JoinedPooling) else ()
    vector: Tensor = pooling(states, lengths, *last)
    return vector


def rows_are_independent(stack: Recurrent, pooling: nn.Module | None, head: OutputLayer) -> bool:
    """Whether, without gradients, a row's outputs have the same bits in every batch, and alone.

    Attention is a product of all rows at once, as are cells and precisions without kernels of their own.
    """
    parts = pooling.parts if isinstance(pooling, JoinedPooling) else [pooling]
    by_row = (type(None), nn.Identity, MeanPooling, MaxPooling)
    return (
        stack.has_independent_rows
        and all(isinstance(part, by_row) for part in parts)
        and head.weight.is_cpu
        and head.weight.dtype is torch.float32
    )


def layer_info_of(stack: Recurrent, *, last_alone: bool, prefix: str = "") -> Iterable[LayerInfo]:
    """Describes each layer of a stack.

    Args:
        stack: the recurrent layers.
        last_alone: Whether the last layer returns one vector, not all states.
        prefix: put before the names.
    """
    kind = stack.spec.title
    for layer, (H, weights) in enumerate(zip(stack.units, stack.layer_groups(), strict=True)):
        name = prefix + (stack.cell if stack.layers == 1 else f"{stack.cell}_{layer + 1}")
        features = H if stack.merge_mode != "concat" else stack.directions * H
        alone = last_alone and layer == stack.layers - 1
        shape = (None, features) if alone else (None, None, features)
        yield LayerInfo(name, f"Bidirectional {kind}" if stack.bidirectional else kind, shape, weights)
