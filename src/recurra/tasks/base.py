"""What a task is: a light description, and a record of functions that is imported where it is used."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from torch import Tensor, nn

    from recurra.config import Config
    from recurra.io.tokenizer import Vocabulary
    from recurra.layers.network import Network
    from recurra.measure.explain import Explanation
    from recurra.measure.report import ReportData
    from recurra.store import AnyBundle, Assets
    from recurra.tasks.answers import Answers
    from recurra.tasks.reporter import Reporter
    from recurra.tasks.study import StudyFunctions
    from recurra.train.loop import Outcome
    from recurra.train.objective import BatchSource, Objective

__all__ = [
    "AssessOptions",
    "Assessment",
    "PredictRequest",
    "Prepared",
    "Task",
    "TaskInfo",
    "TrainingSetup",
]


def _no_file(path: Path) -> bool:
    return False


@dataclass(frozen=True)
class TaskInfo:
    """The description of a task that command line and settings read; nothing heavy is imported for it.

    Attributes:
        name: the value of ``--task`` and of the setting ``task``.
        title: what is learned, for help texts.
        package: the task's folder, with the modules ``task`` (which defines ``TASK``), ``settings`` and
            ``estimator``.
        config: the name of the settings' class in ``settings``.
        estimator: the name of the class in ``estimator``, which the package exports.
        recipe: the recipe where none is named.
        words: Whether its networks have vectors of words.
        options: the options of ``recurra predict`` that only this task has.
        owns_file: Whether a file of this name is plainly one of this task.
    """

    name: str
    title: str
    package: str
    config: str
    estimator: str
    recipe: str
    words: bool
    options: frozenset[str] = frozenset()
    owns_file: Callable[[Path], bool] = _no_file

    def load(self) -> Task[Any, Any]:
        """The record of the task's functions."""
        task: Task[Any, Any] = importlib.import_module(f"{self.package}.task").TASK
        return task

    def config_class(self) -> type[Config]:
        """The class of the task's settings."""
        kind: type[Config] = getattr(importlib.import_module(f"{self.package}.settings"), self.config)
        return kind


class DataPart(Protocol):
    """One part of the data: training, validation or test."""

    @property
    def name(self) -> str:
        """What to call it."""

    @property
    def where(self) -> str:
        """The file its rows come from."""


C = TypeVar("C", bound="Config")
A = TypeVar("A", bound="Assets")
D = TypeVar("D", bound=DataPart)


@dataclass(frozen=True)
class Prepared(Generic[C, A, D]):
    """Data made ready for training.

    Attributes:
        config: the settings, with what was detected in the file.
        assets: what the network is built from and stored with.
        train: the rows to train on.
        valid: the rows that choose the epoch.
        test: the rows to test on; None if the validation rows are used.
        key: a fingerprint of contents and settings; a resumed run must have the same.
        warnings: what was repaired or left out.
    """

    config: C
    assets: A
    train: D
    valid: D
    test: D | None = None
    key: str = ""
    warnings: list[str] = field(default_factory=list)

    @property
    def source_name(self) -> str:
        """The training file's name, for titles."""
        return PurePath(self.train.where).name


@dataclass(frozen=True)
class TrainingSetup:
    """What the training loop needs of a task."""

    batches: BatchSource
    objective: Objective
    validate: Callable[[nn.Module], Mapping[str, float]]


@dataclass(frozen=True)
class AssessOptions:
    """What to measure besides the model.

    Attributes:
        baseline: Whether to measure the baselines.
        fitted: the baseline that `Task.fit_baseline` returned; None if it was not fitted.
        train: the training part; None if it is not known.
        explained: the number of answers to explain.
    """

    baseline: bool = True
    fitted: Any = None
    train: Any = None
    explained: int = 0


class Assessment(Protocol):
    """The figures of a model on one part of the data."""

    def as_json(self) -> dict[str, Any]:
        """The figures that ``metrics.json`` and ``--json`` hold."""


@dataclass(frozen=True)
class PredictRequest:
    """What to answer.

    Attributes:
        file: rows to answer; None or ``-`` reads stdin.
        texts: texts given in place of a file.
        options: the task's own options, by name.
    """

    file: Path | None = None
    texts: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)


P = TypeVar("P", bound="Prepared[Any, Any, Any]")
B = TypeVar("B", bound="AnyBundle")
P_co = TypeVar("P_co", covariant=True)


class Prepare(Protocol[P_co]):
    """The signature of `Task.prepare`."""

    def __call__(
        self,
        data: Path,
        config: Any,
        reporter: Reporter,
        *,
        valid: Path | None = None,
        test: Path | None = None,
    ) -> P_co:
        """Reads ``data``, splits it unless ``valid`` is given, and encodes it."""


@dataclass(frozen=True)
class Task(Generic[P, B]):
    """The functions of a task. Everything that is common to all tasks calls these and no others.

    Attributes:
        prepare: reads, splits and encodes files.
        read_assets: the assets from the settings and the text files that `Assets.files` returned. Raises
            KeyError for a missing file.
        build: the network from settings and assets, its weights drawn from torch's global generator.
            Fitting, loading and inspecting all build it here.
        training_setup: batches, objective and validation for a network that is on its device.
        open_file: a whole file as one part of the data for a saved model.
        assess: the figures of a model on one part.
        report_assessment: shows these figures.
        fit_report: the data of the report of a fit: bundle, data, outcome, figures, fitted baseline, command.
        evaluation_report: the data of the report of a saved model on a file of that name.
        card: the model card, ``README.md``.
        predict: the answers of a saved model, computed as they are read.
        sequences: the inputs ``(T, E)`` float32 of the recurrent layers for each row of a file, without
            gradients.
        fit_baseline: a baseline trained on the training part.
        calibrate: the temperature that a trained bundle's logits are divided by, fitted on the validation
            part.
        vocabulary: the words of the embedding's rows with their training counts, to match pretrained vectors.
        explain: which words of a text the answer depends on.
        untrained: a bundle of a recipe that is never trained and its `sequences`, of a file or, if None, of
            the built-in sample; for ``recurra inspect RECIPE memory``.
        study: the functions of ``recurra compare``; None if models of this task are not compared.
    """

    prepare: Prepare[P]
    read_assets: Callable[[Any, Mapping[str, str]], Assets]
    build: Callable[[Any, Any], Network]
    training_setup: Callable[[P, Any], TrainingSetup]
    open_file: Callable[[B, Path, Reporter], Any]
    assess: Callable[[B, Any, AssessOptions], Assessment]
    report_assessment: Callable[[Any, Reporter], None]
    fit_report: Callable[[B, P, Outcome, Any, Any, str], ReportData]
    evaluation_report: Callable[[B, Any, str], ReportData]
    card: Callable[[B, Any], str]
    predict: Callable[[B, PredictRequest], Answers]
    sequences: Callable[[B, Path], Iterator[Tensor]]
    fit_baseline: Callable[[P, Reporter], Any] | None = None
    calibrate: Callable[[B, P], float] | None = None
    vocabulary: Callable[[P], Vocabulary] | None = None
    explain: Callable[[B, str], Explanation] | None = None
    untrained: Callable[[Any, Path | None], tuple[B, Iterator[Tensor]]] | None = None
    study: StudyFunctions[P, B] | None = None
