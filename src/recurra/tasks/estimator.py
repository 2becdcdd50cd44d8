"""What all estimators share: parameters as dataclass fields, training, saving, loading, the summary."""

from __future__ import annotations

import difflib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

import numpy as np
from sklearn.utils.validation import check_is_fitted

from recurra import store
from recurra.config import Config, merged_settings
from recurra.errors import ConfigError
from recurra.generators import initial_weights
from recurra.layers.network import Network
from recurra.layers.summary import summarize
from recurra.measure.memory import Memory
from recurra.runtime import choose_device, use_threads
from recurra.store import AnyBundle
from recurra.tasks.history import Figure, History
from recurra.tasks.inputs import texts_of
from recurra.tasks.minutes import Budget
from recurra.tasks.parameters import parameters, setting, targets_of
from recurra.tasks.registry import task_info, task_named
from recurra.tasks.reporter import Reporter
from recurra.tasks.settings import build_config, recipe_under
from recurra.tasks.training import train_bundle
from recurra.tasks.transfer import open_pretrained
from recurra.tasks.use import Neighbour, load, nearest
from recurra.tasks.verbose import VERBOSE, reporter_of

if TYPE_CHECKING:
    # scikit-learn has no types, and mypy accepts any parameter of a dataclass that has an untyped base.
    class BaseEstimator:
        def get_params(self, deep: bool = True) -> dict[str, Any]: ...
        def set_params(self, **params: Any) -> Self: ...
        def __sklearn_tags__(self) -> Any: ...

    class ClassifierMixin:
        """Adds ``score``."""

        def score(self, X: Any, y: Any) -> float:
            """Returns the accuracy of ``predict``."""

    class RegressorMixin:
        """Marks a regressor."""

else:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

__all__ = [
    "RECIPE",
    "ClassifierMixin",
    "RandomState",
    "RecurrentEstimator",
    "RegressorMixin",
    "RowFields",
    "ShownText",
    "TextFields",
    "WordFields",
]

RandomState: TypeAlias = np.random.RandomState | np.random.Generator
"""Generators of which ``fit`` draws a seed."""
RECIPE = {"meaning": "Name of the recipe that gives the value of each parameter that is None"}
"""Metadata of the field ``recipe``, whose default each task sets."""


class ShownText(str):
    """A text that the prompt and notebooks show as it is."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@parameters
class RowFields:
    """Parameters of estimators whose rows have no order in time."""

    validation_rows: int | None = setting(
        "data.valid_rows",
        meaning="number of the first rows held out for validation, in place of ``validation_fraction``",
    )


@parameters
class WordFields(RowFields):
    """Parameters of estimators whose networks read vectors of words, which may be pretrained."""

    embedding: int | None = setting("model")
    embedding_rows: str | None = setting("train")
    adversarial: float | None = setting("train")
    pretrained: str | Path | None = setting("train")
    pretrained_layers: bool | None = setting("train")
    freeze: bool | None = setting("train")
    unfreeze_after: int | None = setting("train")


@parameters
class TextFields(WordFields):
    """Parameters of estimators that read texts."""

    level: str | None = setting("tokenizer")
    vocab_size: int | None = setting("tokenizer")
    max_tokens: int | None = setting("tokenizer")
    cut: str | None = setting("tokenizer")
    lowercase: bool | None = setting("tokenizer")
    strip_html: bool | None = setting("tokenizer")
    punctuation: str | None = setting("tokenizer")
    chinese: str | None = setting("tokenizer")
    start_token: bool | None = setting("tokenizer")

    def _texts(self, X: Any, name: str = "X") -> list[str]:
        """The texts to predict for; of a data frame, the columns that were trained on."""
        bundle: AnyBundle = self.bundle_  # type: ignore[attr-defined]
        return texts_of(X, bundle.config.data.text, name)[0]


@parameters
class RecurrentEstimator(BaseEstimator):
    """A recurrent network as a scikit-learn estimator.

    A subclass adds its task's parameters as fields and implements ``fit`` by `_fit`. A parameter that is None
    has the recipe's value. Parameters are validated by ``fit``.

    Attributes:
        bundle_: settings, network, and what the task needs besides.
        history_: metrics of each epoch; ``history_["loss"]`` is a column.
    """

    task: ClassVar[str]
    bundle_: AnyBundle = field(init=False)
    history_: History = field(init=False)

    recipe: str = field(default="default", kw_only=False, metadata=RECIPE)
    cell: str | None = setting("model")
    units: int | Sequence[int] | None = setting("model")
    layers: int | None = setting("model")
    dropout: float | Sequence[float] | None = setting("model")
    recurrent_dropout: float | Sequence[float] | None = setting("model")
    activation: str | Sequence[str] | None = setting("model")
    head_dropout: float | None = setting("model")
    initial_weights: str | None = setting("model")
    backend: str | None = setting("model")
    precision: str | None = setting("model")
    optimizer: str | None = setting("train")
    learning_rate: float | None = setting("train")
    layerwise_lr: float | None = setting("train")
    schedule: str | None = setting("train")
    warmup_steps: int | None = setting("train")
    weight_decay: float | None = setting("train")
    momentum: float | None = setting("train")
    clip_norm: float | None = setting(
        "train",
        meaning="gradients are scaled down to this norm; None keeps the recipe's value, and "
        "``settings={'train': {'clip_norm': None}}`` turns it off",
    )
    average: float | None = setting("train")
    batch_size: int | None = setting("train")
    epochs: int | None = setting("train")
    steps_per_epoch: int | None = setting("train")
    minutes: float | None = setting(
        "train",
        meaning="minutes that ``fit`` may take: the epochs, up to ``epochs``, are chosen from the speed of "
        "trial batches; None for no limit, also if the recipe has one",
    )
    patience: int | None = setting("train")
    monitor: str | None = setting("train")
    device: str | None = setting("train")
    validation_fraction: float = setting(
        "data.valid_fraction",
        default=0.1,
        meaning="share of the rows held out for validation where ``fit`` gets no ``validation_data``",
    )
    random_state: int | RandomState | None = setting(
        "train.seed",
        "data.split_seed",
        default=1,
        meaning="seed of the validation split, the weights, the dropout masks and the order of batches; "
        "None for another one in each ``fit``; of a ``numpy.random.RandomState`` or ``Generator``, its next "
        "number",
    )
    verbose: int = field(default=0, metadata=VERBOSE)
    settings: dict[str, Any] | None = field(
        default=None,
        metadata={"meaning": "Further settings by section and name; a parameter that is not None wins"},
    )

    def set_params(self, **params: Any) -> Self:
        """Sets parameters by name.

        Raises:
            ValueError: there is no parameter of that name.
        """
        known = sorted(self.get_params(deep=False))
        for name in params:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]!r}?" if near else f"the parameters are {', '.join(known)}"
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}; {hint}")
        return super().set_params(**params)

    def _summary(self, untrained: Callable[[Any], Network]) -> str:
        """Returns a table of the layers with output shapes and numbers of weights; a notebook shows it.

        Before ``fit`` it is that of the network that ``untrained`` returns for the settings, without the
        memory for its weights.
        """
        if hasattr(self, "bundle_"):
            self._check_fitted()
            return ShownText(summarize(self.bundle_.model).text())
        with initial_weights(0, "meta"):
            return ShownText(summarize(untrained(self._config())).text())

    def plot_history(self, *metrics: str) -> Figure:
        """Returns a chart of metrics over the epochs; a notebook shows it.

        Args:
            metrics: names of columns of ``history_``; ``loss`` and ``val_loss`` if there are none.

        Raises:
            ConfigError: there is no such column, or no history, as after ``load``.
        """
        self._check_fitted()
        return self.history_.plot(*metrics)

    def nearest(self, word: str, n: int = 10) -> list[Neighbour]:
        """Returns the ``n`` words with the nearest vectors; see `recurra.nearest`."""
        self._check_fitted()
        return nearest(self, word, n)

    def memory(self, data: Any = None, **options: Any) -> Memory:
        """Measures how far back the network remembers; arguments are those of `recurra.memory`."""
        self._check_fitted()
        from recurra.tasks.memory import memory

        return memory(self, data, **options)

    def save(self, folder: str | Path) -> None:
        """Saves the model as the directory that ``recurra predict`` and ``recurra evaluate`` read."""
        self._check_fitted()
        store.save(self.bundle_, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """Returns the estimator saved in ``folder``, by ``save`` or by ``recurra fit``.

        Its parameters are the settings that the model was trained with.

        Raises:
            BundleError: there is no model, it is damaged, or it is of another task.
        """
        bundle = load(Path(folder), cls.task)
        saved = bundle.config.plain()
        # Of a parameter's settings the first decides, so it is read last.
        values = {name: saved[section][key] for name, section, key in reversed([*cls._parameter_settings()])}
        given = {name: value for name, value in values.items() if value is not None}
        estimator = cls(bundle.config.recipe or cls.recipe, **given)
        own = estimator._config().plain()
        others = {
            section: {key: value for key, value in saved[section].items() if value != own[section][key]}
            for section in saved
            if isinstance(saved[section], dict)
        }
        estimator.settings = {section: values for section, values in others.items() if values} or None
        estimator._set_fitted(bundle, [])
        return estimator

    def _fit(
        self,
        prepare: Callable[[Any, Reporter], Any],
        reporter: Reporter | None,
        *,
        unlabeled: bool = False,
    ) -> Self:
        """Trains on what ``prepare`` returns for the settings.

        If it returns unlabelled texts too, the default recipe is that for them.
        """
        begun = time.monotonic()
        reporter, task = reporter or reporter_of(self.verbose), task_named(self.task)
        config, pretrained = open_pretrained(self._config(unlabeled), unlabeled=unlabeled)
        prepared = prepare(config, reporter)
        budget = None if config.train.minutes is None else Budget(config.train.minutes, begun)
        trained = train_bundle(task, prepared, pretrained=pretrained, reporter=reporter, budget=budget)
        self._set_fitted(trained.bundle, [record.row() for record in trained.outcome.history])
        return self

    def _set_fitted(self, bundle: Any, history: list[dict[str, Any]]) -> None:
        """Sets the attributes of a trained estimator."""
        self.bundle_, self.history_ = bundle, History(history)

    def _check_fitted(self) -> None:
        """Prepares for a prediction: sets the number of threads.

        Raises:
            NotFittedError: before ``fit``.
            ConfigError: the device of the model can't be used.
        """
        check_is_fitted(self, "bundle_")
        choose_device(str(next(self.bundle_.model.parameters()).device))
        use_threads()

    def _config(self, unlabeled: bool = False) -> Config:
        """Returns the settings: the recipe's, then ``settings``, then the parameters that are not None.

        Raises:
            ConfigError: a parameter or one of ``settings`` is unknown or out of its range.
        """
        layers = self._layers()
        try:
            recipe, info = str(self.recipe), task_info(self.task)
            if unlabeled and recipe == info.recipe and info.recipe_with_unlabeled is not None:
                recipe = info.recipe_with_unlabeled
            return build_config(recipe_under(recipe, *layers), *layers)
        except ConfigError as error:
            for name, section, key in self._parameter_settings():
                names_it = error.what.startswith(
                    (f"setting {section}.{key} = ", f"setting {section}.{key}: ")
                )
                if getattr(self, name) is not None and names_it:
                    raise ConfigError(error.what, where=f"parameter {name}", hint=error.hint) from None
            raise

    def _layers(self) -> tuple[dict[str, Any], ...]:
        """Returns the layers of settings above the recipe."""
        further = {} if self.settings is None else self.settings
        if not isinstance(further, dict):
            raise ConfigError(f"{further!r} is not a dictionary of sections", where="parameter settings")
        for key, own in (("recipe", self.recipe), ("task", self.task)):
            if further.get(key, own) != own:
                what = f"{key} is {further[key]!r} there, and {own!r} for this {type(self).__name__}"
                raise ConfigError(what, where="parameter settings", hint="leave it out")
        given: dict[str, Any] = {"task": self.task}
        seed = _seed(self.random_state)
        for name, section, key in self._parameter_settings():
            value = seed if name == "random_state" else getattr(self, name)
            if value is not None:
                given.setdefault(section, {})[key] = _plain(value)
        return {"train": {"minutes": None}}, further, given

    def as_settings(self) -> dict[str, Any]:
        """Returns what `recurra.compare` takes over: the settings above the recipe, nested by section.

        The seed and the settings of files are left out: a comparison sets them.

        Raises:
            ConfigError: a parameter or one of ``settings`` is unknown or out of its range.
        """
        self._config()
        settings = merged_settings(*self._layers())
        settings.pop("data", None)
        settings["train"].pop("seed", None)
        return settings

    @classmethod
    def _parameter_settings(cls) -> Iterator[tuple[str, str, str]]:
        """The name of each parameter with the section and the name of each setting that it sets."""
        for parameter in fields(cls):
            for section, key in targets_of(parameter):
                yield parameter.name, section, key

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        if isinstance(self, TextFields):
            tags.input_tags.string, tags.input_tags.two_d_array = True, False
        return tags


def _seed(random_state: Any) -> Any:
    """The seed of a fit. The caller's random numbers are not used, unless a generator of them is given."""
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1)[0])
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**32, dtype=np.uint32))
    if isinstance(random_state, np.random.Generator):
        return int(random_state.integers(2**32))
    return random_state


def _plain(value: Any) -> Any:
    """A parameter's value in the types of the settings."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):  # class names to weights
        return {str(key): _plain(weight) for key, weight in value.items()}
    listed = isinstance(value, np.ndarray | Sequence) and not isinstance(value, str)
    return [_plain(item) for item in value] if listed else value
