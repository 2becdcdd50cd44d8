"""Truncated backpropagation through time: a window's loss, its first states those after the window before."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from recurra.layers import States
from recurra.tasks.language.network import LanguageNetwork
from recurra.tasks.language.streams import StreamBatch

__all__ = ["StreamObjective"]


class StreamObjective:
    """The mean negative log-probability, in nats, of a window's tokens.

    States go from window to window, gradients don't (Williams & Peng 1990; Mikolov et al. 2010). At the first
    window of an epoch they are zero.
    """

    def __init__(self) -> None:
        self._states: States | None = None

    def __call__(self, model: nn.Module, batch: StreamBatch) -> Tensor:
        """The loss of one window; its last states are kept for the next."""
        assert isinstance(model, LanguageNetwork)  # noqa: S101  # the only one with such batches
        device = model.embedding.weight.device
        lengths = None if batch.lengths is None else batch.lengths.to(device)
        state = None if batch.fresh else self._states
        states, last = model(batch.tokens.to(device), lengths, state)
        self._states = tuple(tuple(part.detach() for part in layer) for layer in last)
        targets = batch.targets.to(device)
        if lengths is None:
            return model.output.loss(states.reshape(targets.numel(), -1), targets.reshape(-1))
        told = torch.arange(targets.shape[1], device=device) < lengths[:, None]
        return model.output.loss(states[told], targets[told])

    def state_dict(self) -> Mapping[str, Tensor]:
        """The states after the last window, by layer and part (``0/h``, ``0/c``)."""
        names = ("h", "c")
        return {
            f"{layer}/{name}": part
            for layer, parts in enumerate(self._states or ())
            for name, part in zip(names, parts, strict=False)
        }

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Takes over what :meth:`state_dict` gave."""
        layers = 1 + max((int(name.partition("/")[0]) for name in state_dict), default=-1)
        found = tuple(
            tuple(state_dict[f"{layer}/{name}"] for name in ("h", "c") if f"{layer}/{name}" in state_dict)
            for layer in range(layers)
        )
        self._states = found or None
