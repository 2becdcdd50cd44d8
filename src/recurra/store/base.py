"""What every task's model on disk has, and what each task says of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from recurra.config import Config, Task
from recurra.layers.network import Network

__all__ = ["Bundle"]


@dataclass(kw_only=True)
class Bundle(ABC):
    """All that a trained network needs to answer.

    Attributes:
        config: the settings it was trained with, with what was found in the file.
        model: the network, on the CPU, in evaluation mode once loaded.
        metrics: figures of the last evaluation, as JSON values.
        pretrained: what training began from, as JSON values: ``name`` and ``sha256`` of the weights or
            vectors, ``layers`` (how many recurrent layers came with the embedding), and how much of the
            vocabulary it covered; None where it began from nothing.
    """

    task: ClassVar[Task]

    config: Config
    model: Network
    metrics: dict[str, Any] = field(default_factory=dict)
    pretrained: dict[str, Any] | None = None

    @abstractmethod
    def files(self) -> dict[str, str]:
        """The text files, by name, that an answer needs besides settings, weights and metrics."""

    def words(self) -> list[str]:
        """The words of ``model.embedding``'s rows, with "" for a row that was never trained.

        Empty where the network has no vectors of words.
        """
        return []

    def kept_metrics(self) -> dict[str, Any]:
        """What ``metrics.json`` holds."""
        return self.metrics

    @classmethod
    @abstractmethod
    def rebuild(cls, config: Config, files: Mapping[str, str], metrics: dict[str, Any]) -> Self:
        """The bundle with a fresh network, whose weights are loaded next.

        Args:
            config: the saved settings.
            files: the texts that ``files`` gave.
            metrics: what ``kept_metrics`` gave.

        Raises:
            KeyError: a file is not among them.
            RecurraError: a file is not what was saved.
        """
