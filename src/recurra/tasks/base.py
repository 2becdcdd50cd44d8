"""What a task is: its steps, the records they pass on, and what the path wants of both."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from torch import Tensor, nn

from recurra.config import Config, Task
from recurra.io.tokenizer import Vocabulary
from recurra.layers.network import Network
from recurra.serve.answers import Answers
from recurra.store import Bundle
from recurra.tasks.reporter import Reporter
from recurra.train.loop import Outcome
from recurra.train.objective import BatchSource, Objective

__all__ = ["PredictRequest", "Ready", "TaskPath", "TestOptions", "Tested", "TrainingSetup"]


class Ready(Protocol):
    """Files made ready for training; each task adds its parts."""

    @property
    def config(self) -> Config:
        """The settings, with what was found in the file."""

    @property
    def key(self) -> str:
        """A fingerprint of contents and settings: a resumed run must have the same."""

    @property
    def source_name(self) -> str:
        """The training file's name, for titles."""

    @property
    def test(self) -> object | None:
        """What to test on; None where that is what chose the epoch."""


@dataclass(frozen=True)
class TrainingSetup:
    """What the training loop needs of a task."""

    batches: BatchSource
    objective: Objective
    validate: Callable[[nn.Module], Mapping[str, float]]


@dataclass(frozen=True)
class TestOptions:
    """How to test.

    Attributes:
        baseline: whether to measure the baseline beside the network.
        explained: how many predictions to explain in the report.
        command: what was typed, for the report.
    """

    __test__ = False  # no test case, whatever pytest makes of its name

    baseline: bool = True
    explained: int = 3
    command: str = ""


@dataclass(frozen=True)
class Tested:
    """What testing gave.

    Attributes:
        figures: for ``metrics.json`` and ``--json``.
        files: the report and the model card, by name.
        found: the task's own record of it.
    """

    figures: dict[str, Any]
    files: dict[str, str]
    found: Any


@dataclass(frozen=True)
class PredictRequest:
    """What to answer.

    Attributes:
        file: rows to answer; None or ``-`` reads stdin.
        texts: texts given in place of a file.
        options: a task's own, by name.
    """

    file: Path | None = None
    texts: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)


R = TypeVar("R", bound=Ready)
B = TypeVar("B", bound=Bundle)


class TaskPath(Protocol[R, B]):
    """A task's own steps on the path."""

    @property
    def name(self) -> Task:
        """What settings and the command line call it."""

    def prepare(
        self, data: Path, config: Config, reporter: Reporter, *, valid: Path | None, test: Path | None
    ) -> R:
        """Read, split, and turn into numbers."""

    def network(self, ready: R) -> Network:
        """The network with weights drawn from torch's generator, which is seeded already."""

    def training_setup(self, ready: R, model: nn.Module) -> TrainingSetup:
        """Batches, objective and validation for ``model``, which is on its device."""

    def bundle(self, ready: R, model: Network, pretrained: dict[str, Any] | None) -> B:
        """The trained model with all it needs to answer, a temperature fitted and the like."""

    def test(self, bundle: B, ready: R, outcome: Outcome, options: TestOptions, reporter: Reporter) -> Tested:
        """Measure beside the baseline, tell, and write report and card."""

    def vocabulary(self, ready: R) -> Vocabulary | None:
        """The words of the embedding's rows, to begin from pretrained ones; None where there are none."""

    def evaluate(
        self,
        bundle: B,
        data: Path,
        *,
        train: Path | None,
        baseline: bool,
        report: Path | None,
        reporter: Reporter,
    ) -> dict[str, Any]:
        """Figures of a saved model on another file, and a page of them at ``report``."""

    def predict(self, bundle: B, request: PredictRequest) -> Answers:
        """Answers, as they are read."""

    def sequences(self, bundle: B, data: Path) -> Iterator[Tensor]:
        """``(T, E)`` float32 what the recurrent layers read of each row of a file, without gradients."""
