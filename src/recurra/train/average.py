"""A running average of a model's weights, with which it is validated and kept (Polyak & Juditsky 1992)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["EVERY", "WeightAverage"]

EVERY = 8
"""Steps from one update of the average to the next.

Neighbouring steps have almost the same weights, and an update of millions of them takes as long as a step of
Adam.
"""


class WeightAverage:
    """The exponentially weighted average of the parameters after every 8th step.

    ``average = d average + (1 - d) weights``, where ``d`` is ``exp(-EVERY / steps)``, at first less, so that
    the initial weights do not count: the ``n``-th update has at most ``d = (1 + n) / (10 + n)``.

    Args:
        model: its parameters are averaged; its buffers are not.
        steps: the number of steps over which the weights are averaged, more than 0.

    Example:
        >>> model = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.zeros_(model.weight)
        >>> average = WeightAverage(model, steps=16)
        >>> for step in range(1, 17):
        ...     _ = nn.init.constant_(model.weight, step)
        ...     average.update(step)
        >>> with average.in_place():
        ...     round(model.weight.item(), 3)
        13.636
        >>> model.weight.item()
        16.0
    """

    def __init__(self, model: nn.Module, steps: float) -> None:
        self._decay = math.exp(-EVERY / steps)
        self._weights = dict(model.named_parameters())
        self._average = {name: weight.detach().clone() for name, weight in self._weights.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes the weights after step number ``step``, from 1, into the average, if it is its turn."""
        if step % EVERY:
            return
        n = step // EVERY
        share = 1 - min(self._decay, (1 + n) / (10 + n))
        for name, weight in self._weights.items():
            self._average[name].lerp_(weight, share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Context in which the model has the average as its weights."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def keep(self) -> None:
        """Gives the model the average as its weights; the average is then the weights that it had."""
        self._swap()

    def state_dict(self) -> Mapping[str, Tensor]:
        """Returns the average by the names of the parameters."""
        return self._average

    def load_state_dict(self, saved: Mapping[str, Tensor]) -> None:
        """Restores what `state_dict` returned.

        Raises:
            KeyError: a parameter is missing.
        """
        for name, average in self._average.items():
            average.copy_(saved[name])

    @torch.no_grad()
    def _swap(self) -> None:
        for name, weight in self._weights.items():
            average = self._average[name]
            mine = weight.clone()
            weight.copy_(average)
            average.copy_(mine)
