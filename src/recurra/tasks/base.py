"""The definition of a task: a description without heavy imports, and a record of its functions."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from recurra.tasks.reporter import Counting, Reporter, Tick

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from recurra.config import Config
    from recurra.io.tokenizer import Vocabulary
    from recurra.layers.network import Network
    from recurra.measure.explain import Explanation
    from recurra.measure.shift import Profile
    from recurra.store import AnyBundle, Assets
    from recurra.tasks.answers import Answers
    from recurra.tasks.corpus import Corpus
    from recurra.tasks.study import StudyFunctions
    from recurra.train.objective import BatchSource, Objective

__all__ = [
    "TEXT_FILE",
    "AssessOptions",
    "Assessment",
    "PredictRequest",
    "Prepared",
    "Task",
    "TaskInfo",
    "TrainingSetup",
    "outline",
]


TEXT_FILE = frozenset(
    f"data.{name}" for name in ("format", "text", "header", "delimiter", "encoding", "skip_bad_rows")
)
"""The settings that describe a file of texts."""


@dataclass(frozen=True)
class TaskInfo:
    """The description of a task for the command line and the settings, without heavy imports.

    Attributes:
        name: the value of ``--task`` and of the setting ``task``.
        title: short description for help texts.
        package: the package of the task, with the modules ``task`` (which defines ``TASK``), ``settings`` and
            ``estimator``.
        config: name of the settings class in ``settings``.
        estimator: name of the class in ``estimator``, which recurra exports.
        recipe: the default recipe.
        recipe_with_unlabeled: the default recipe where there are texts without labels too; None if the task
            can't use them.
        words: whether its networks have word vectors.
        options: options of ``recurra predict`` that only this task has.
        file_settings: settings that describe a file, which may differ between a model's files.
        split_settings: settings by which rows are taken from a file for training, of other sections than
            ``data`` and ``train``.
        independent: whether an answer to a text does not depend on the other texts of the request.
        pretrain_settings: settings of ``recurra pretrain``, from whose model only weights are taken.
        owns_file: whether a file belongs to this task, judged by its name or its beginning.
    """

    name: str
    title: str
    package: str
    config: str
    estimator: str
    recipe: str
    words: bool
    recipe_with_unlabeled: str | None = None
    options: frozenset[str] = frozenset()
    file_settings: frozenset[str] = frozenset()
    split_settings: frozenset[str] = frozenset()
    independent: bool = False
    pretrain_settings: Mapping[str, Any] = field(default_factory=dict, hash=False)
    owns_file: Callable[[Path], bool] = lambda path: False

    def load(self) -> Task[Any, Any]:
        """Imports and returns the functions of the task."""
        task: Task[Any, Any] = importlib.import_module(f"{self.package}.task").TASK
        return task

    def config_class(self) -> type[Config]:
        """Imports and returns the settings class of the task."""
        kind: type[Config] = getattr(importlib.import_module(f"{self.package}.settings"), self.config)
        return kind


class DataPart(Protocol):
    """One part of the data: training, validation or test."""

    @property
    def name(self) -> str:
        """Name of the part."""

    @property
    def where(self) -> str:
        """File of the rows."""

    def __len__(self) -> int:
        """Number of rows."""


C = TypeVar("C", bound="Config")
A = TypeVar("A", bound="Assets")
D = TypeVar("D", bound=DataPart)


@dataclass(frozen=True)
class Prepared(Generic[C, A, D]):
    """Data prepared for training.

    Attributes:
        config: the settings, with the detected ones.
        assets: the assets that the network is built from and stored with.
        train: the training rows.
        valid: the validation rows, which choose the epoch.
        test: the test rows; None if the validation rows are used.
        key: a fingerprint of contents and settings; a resumed run must have the same.
        warnings: corrections and omissions.
        fitted: what was fitted on these rows and is used more than once, by name.
        corpus: texts without labels to learn from; None if there are none.
        goes_on: whether the weights that the training begins from are all those of a model.
        soft: the rows that the network is trained on in place of ``train``, if they have soft labels: those
            of ``train`` and of ``corpus``.
    """

    config: C
    assets: A
    train: D
    valid: D
    test: D | None = None
    key: str = ""
    warnings: list[str] = field(default_factory=list)
    fitted: dict[str, Any] = field(default_factory=dict, compare=False)
    corpus: Corpus | None = None
    soft: D | None = None
    goes_on: bool = False

    @property
    def parts(self) -> list[D]:
        """The parts that exist, in the order train, valid, test."""
        return [part for part in (self.train, self.valid, self.test) if part is not None]

    @property
    def source_name(self) -> str:
        """Name of the training file, for titles."""
        return PurePath(self.train.where).name


@dataclass(frozen=True)
class TrainingSetup:
    """The arguments of the training loop that depend on the task."""

    batches: BatchSource
    objective: Objective
    validate: Callable[[nn.Module], Mapping[str, float]]


@dataclass(frozen=True)
class AssessOptions:
    """Options of an evaluation.

    Attributes:
        baseline: whether to measure the baselines.
        fitted: the baseline of `Task.fit_baseline`; None if it was not fitted.
        train: the training part; None if it is not available.
        explained: number of predictions to explain.
        counting: shows the progress over the rows.
    """

    baseline: bool = True
    fitted: Any = None
    train: Any = None
    explained: int = 0
    counting: Counting = Reporter().counting


class Assessment(Protocol):
    """The metrics of a model on one part of the data."""

    def as_json(self) -> dict[str, Any]:
        """Returns the metrics for ``metrics.json`` and ``--json``."""


@dataclass(frozen=True)
class PredictRequest:
    """A request for predictions.

    Attributes:
        file: the file of rows; None or ``-`` for stdin.
        texts: texts, instead of a file.
        options: options of the task, by name.
        settings: the settings among `TaskInfo.file_settings` that describe ``file``, as a nested dictionary;
            the settings of the model have them too.
        keep: whether answers repeat the columns of the file, or the names of those that they repeat.
        table: rows of a series, instead of a file: CSV text, or columns of equal length by name.
    """

    file: Path | None = None
    texts: list[str] = field(default_factory=list)
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    keep: bool | tuple[str, ...] = True
    table: str | Mapping[str, Sequence[Any]] | None = None


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


class PrepareWithUnlabeled(Protocol[P_co]):
    """The signature of `Task.prepare_with_unlabeled`."""

    def __call__(
        self,
        data: Path,
        config: Any,
        reporter: Reporter,
        *,
        valid: Path | None = None,
        test: Path | None = None,
        unlabeled: Path | None = None,
    ) -> P_co:
        """As `Prepare`, with a file of texts without labels, whose words are learned too."""


class Check(Protocol):
    """The signature of `Task.check`."""

    def __call__(
        self,
        data: Path,
        config: Any,
        reporter: Reporter,
        *,
        valid: Path | None = None,
        test: Path | None = None,
    ) -> dict[str, Any]:
        """Reports what to know about files before training, and returns it as JSON values."""


@dataclass(frozen=True)
class Task(Generic[P, B]):
    """The functions of a task. Code that is common to all tasks calls only these.

    Attributes:
        prepare: reads, splits and encodes files.
        read_assets: creates the assets from the settings and the files of `Assets.files` and `Assets.arrays`.
            Raises KeyError for a missing file.
        build: builds the network from settings and assets. Called within
            `recurra.generators.initial_weights`, for training, loading and inspecting.
        training_setup: returns batches, objective and validation for a network on its device, and reports
            what takes long.
        open_file: opens a whole file as one part of the data for a saved model.
        assess: computes the metrics of a model on one part.
        report_assessment: reports these metrics.
        report_fields: returns the fields of `ReportData` that show metrics: bundle, metrics, name of the file
            (for the title), baseline (None if it was not fitted).
        fit_fields: returns the fields on the data and the training curves: bundle, data, metrics.
        card: returns the model card, ``README.md``.
        predict: yields the predictions of a saved model.
        sequences: yields the inputs of the recurrent layers for each row of a file, of shape (T, E), float32,
            without gradients.
        fit_baseline: trains a baseline on the training part.
        fit_parts: fits what a model has beside its network, if it has anything, before the network is
            trained, so that its time is known; returns the seconds that it takes for a row in tests, or None
            if there is nothing.
        own_baseline: returns the baseline that a model holds, for which nothing has to be fitted, or None.
        report_parts: reports what a model has besides its network, and returns it as JSON values, for
            ``recurra inspect MODEL summary``.
        calibrate: returns the bundle with what turns logits into answers (temperature, thresholds), fitted on
            the validation part: bundle, data, reporter.
        vocabulary: returns the words of the embedding rows with their training counts, for matching
            pretrained vectors.
        use: what a model is used for, by command; ``MODEL`` stands for its directory.
        explain: returns the contribution of each word of a text to the prediction.
        label_log_odds: returns the log-odds of a label for each of N texts, (N,): bundle, texts, labels.
        untrained: returns an untrained bundle of a recipe and its `sequences`, of a file or, if None, of the
            built-in sample; for ``recurra inspect RECIPE memory``.
        check: counts what is wrong with files, and goes on after a fault; for ``recurra data check``.
        study: the functions of ``recurra compare``; None if models of this task are not compared.
        prepare_with_unlabeled: as ``prepare``, with texts without labels; the settings have a section
            ``unlabeled``. None if the task can't use them.
        decide: returns the bundle with what the section ``predict`` of its settings asks for, fitted on a
            part that was not trained on: bundle, part, reporter. The part is None where nothing needs rows.
            None if there is nothing to decide.
        profile: returns what is known without labels of a part, for ``recurra monitor``; the assets save it
            as ``profile``: bundle, part, and what is called with the number of rows that were read.
        profile_file: the same of the rows of a request.
        continued: returns new rows as a model reads them, with further words where it can learn some, for
            ``recurra fit --continue``: bundle, file, settings, reporter, other files as for ``prepare``.
        renumbered: returns a part of the data of one model as another of this task reads it: bundle of the
            other, part; None if a model that goes on reads what the former one does.
        answered_labels: returns the predicted label of each text, spelled as those of ``predicted``.
        predicted: returns the true and the predicted label of each row of a part, as text, with row numbers
            and texts, for ``recurra compare MODEL_A MODEL_B``. None where a row has no single answer.
        describe_decision: reports how a model decides, and returns it as JSON values.
        with_soft_labels: returns the data with these texts among the rows to train on (`Prepared.soft`), in
            about so many seconds, which may be infinite; None if the network can only begin from a language
            model of them.
        stream: yields answers while a text or a series arrives: bundle; a text, pieces of one, or rows;
            options; whether each prefix is computed anew.
    """

    prepare: Prepare[P]
    read_assets: Callable[[Any, Mapping[str, Any]], Assets]
    build: Callable[[Any, Any], Network]
    training_setup: Callable[[P, Any, Reporter], TrainingSetup]
    open_file: Callable[[B, Path, Reporter], Any]
    assess: Callable[[B, Any, AssessOptions], Assessment]
    report_assessment: Callable[[Any, Reporter], None]
    report_fields: Callable[[B, Any, str, Any], dict[str, Any]]
    fit_fields: Callable[[B, P, Any], dict[str, Any]]
    card: Callable[[B, Any], str]
    predict: Callable[[B, PredictRequest], Answers]
    sequences: Callable[[B, Path], Iterator[Tensor]]
    fit_baseline: Callable[[P, Reporter], Any] | None = None
    fit_parts: Callable[[P, Reporter], float | None] | None = None
    own_baseline: Callable[[B], Any] | None = None
    report_parts: Callable[[B, Reporter], dict[str, Any]] | None = None
    calibrate: Callable[[B, P, Reporter], B] | None = None
    vocabulary: Callable[[P], Vocabulary] | None = None
    explain: Callable[[B, str], Explanation] | None = None
    label_log_odds: Callable[[B, Sequence[str], Sequence[str]], NDArray[np.float64]] | None = None
    use: Mapping[str, str] = field(default_factory=dict)
    untrained: Callable[[Any, Path | None], tuple[B, Iterator[Tensor]]] | None = None
    check: Check | None = None
    study: StudyFunctions[P, B] | None = None
    prepare_with_unlabeled: PrepareWithUnlabeled[P] | None = None
    decide: Callable[[B, Any, Reporter], B] | None = None
    profile: Callable[[B, Any, Tick], Profile] | None = None
    profile_file: Callable[[B, PredictRequest], Profile] | None = None
    continued: Callable[..., P] | None = None
    renumbered: Callable[[B, Any], Any] | None = None
    answered_labels: Callable[[B, list[str]], list[str]] | None = None
    predicted: Callable[[B, Any], tuple[list[str], list[str], list[int], list[str]]] | None = None
    describe_decision: Callable[[B, Reporter], dict[str, Any]] | None = None
    with_soft_labels: Callable[[P, Reporter, float], P] | None = None
    stream: Callable[[B, Any, Mapping[str, Any], bool], Iterator[dict[str, Any]]] | None = None


def outline(task: Task[Any, Any], config: Config, assets: Assets) -> Network:
    """Returns the network with the shapes of its weights, but without the memory and time for them."""
    from recurra.generators import initial_weights

    with initial_weights(config.train.seed, "meta"):
        return task.build(config, assets)
