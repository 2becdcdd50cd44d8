"""Truncated backpropagation through time: a window starts from the last states of the previous one."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from recurra.layers import States
from recurra.tasks.language.network import LanguageNetwork
from recurra.tasks.language.streams import StreamBatch

__all__ = ["StreamObjective"]


class StreamObjective:
    """The mean negative log-probability of the tokens of a window, in nats.

    States are carried from window to window, gradients are not (Williams & Peng 1990; Mikolov et al. 2010).
    The first window of an epoch starts from zero states.
    """

    def __init__(self) -> None:
        self._states: States | None = None

    def __call__(self, model: nn.Module, batch: StreamBatch) -> Tensor:
        """Returns the loss of one window and keeps its last states for the next one."""
        assert isinstance(model, LanguageNetwork)  # noqa: S101  # only this network has such batches
        device = model.embedding.weight.device
        lengths = None if batch.lengths is None else batch.lengths.to(device)
        state = None if batch.fresh else self._states
        states, last = model(batch.tokens.to(device), lengths, state)
        self._states = tuple(tuple(part.detach() for part in layer) for layer in last)
        targets = batch.targets.to(device)
        if lengths is None:
            return model.output.loss(states.reshape(targets.numel(), -1), targets.reshape(-1))
        mask = torch.arange(targets.shape[1], device=device) < lengths[:, None]
        return model.output.loss(states[mask], targets[mask])

    def state_dict(self) -> Mapping[str, Tensor]:
        """Returns the states after the last window, by layer and part (``0/h``, ``0/c``)."""
        names = ("h", "c")
        return {
            f"{layer}/{name}": part
            for layer, parts in enumerate(self._states or ())
            for name, part in zip(names, parts, strict=False)
        }

    def load_state_dict(self, state_dict: Mapping[str, Tensor]) -> None:
        """Restores what :meth:`state_dict` returned."""
        layers = 1 + max((int(name.partition("/")[0]) for name in state_dict), default=-1)
        states = tuple(
            tuple(state_dict[f"{layer}/{name}"] for name in ("h", "c") if f"{layer}/{name}" in state_dict)
            for layer in range(layers)
        )
        self._states = states or None
