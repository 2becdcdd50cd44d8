"""What all estimators share: scikit-learn's parameters as settings, saving, loading, the summary."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from recurra import store
from recurra.errors import BundleError
from recurra.layers.summary import summarize
from recurra.tasks.fit import Trained
from recurra.tasks.settings import build_config, recipe_under
from recurra.tasks.use import load

__all__ = ["MODEL", "TRAIN", "TRANSFER", "RecurrentEstimator"]

MODEL = (
    "cell",
    "units",
    "layers",
    "bidirectional",
    "dropout",
    "recurrent_dropout",
    "activation",
    "head_dropout",
    "backend",
)
"""Parameters that every estimator passes on to the section ``model``."""
TRAIN = ("optimizer", "learning_rate", "batch_size", "epochs", "patience", "monitor")
"""Parameters that every estimator passes on to the section ``train``."""

TRANSFER = ("pretrained", "pretrained_layers", "freeze", "unfreeze_after", "layerwise_lr")
"""Parameters of the section ``train`` that those whose networks have words pass on."""


class RecurrentEstimator(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A trained network with scikit-learn's manners.

    A subclass names its parameters in ``__init__``, as scikit-learn wants it, and where they belong in
    ``sections``; a parameter left at None has the recipe's value.

    Attributes:
        bundle_: settings, network, and what the task needs besides.
        history_: a dictionary of figures for each epoch.
    """

    task: ClassVar[str]
    sections: ClassVar[dict[str, str]]
    """A parameter's name to the section of the settings it belongs to."""
    default_recipe: ClassVar[str]

    recipe: str
    random_state: int
    settings: dict[str, Any] | None
    bundle_: Any
    history_: list[dict[str, Any]]

    def _keep(self, given: dict[str, Any]) -> None:
        """Sets ``__init__``'s arguments, its ``locals()``, as attributes as they are: scikit-learn's rule."""
        for name in inspect.signature(type(self).__init__).parameters:
            if name != "self":
                setattr(self, name, given[name])

    @abstractmethod
    def _take(self, bundle: Any) -> None:
        """Sets what prediction needs besides ``bundle_`` from a bundle that was loaded."""

    def summary(self) -> str:
        """The layers with output shapes and parameters, as a table."""
        check_is_fitted(self, "bundle_")
        return summarize(self.bundle_.model).text()

    def save(self, folder: str | Path) -> None:
        """Save as the directory that ``recurra predict`` and ``recurra evaluate`` read."""
        check_is_fitted(self, "bundle_")
        store.save(self.bundle_, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """The estimator saved in ``folder``, by ``save`` or by ``recurra fit``.

        Raises:
            BundleError: no model is there, it is damaged, or it is of another task.
        """
        found = load(Path(folder))
        if found.task != cls.task:
            raise BundleError(
                f"is a model of task {found.task}, and {cls.__name__} has {cls.task}", where=folder
            )
        config = found.config
        given = {
            name: getattr(getattr(config, section), name)
            for name, section in cls.sections.items()
            if name in getattr(config, section).model_fields_set
        }
        estimator = cls(config.recipe or cls.default_recipe, **given)
        estimator.bundle_ = found
        estimator.history_ = []
        estimator._take(found)
        return estimator

    def _config(self) -> Any:
        """The settings: the recipe's, then ``settings``, then the parameters that are not None."""
        given: dict[str, Any] = {"task": self.task, "train": {"seed": self.random_state}}
        for name, section in self.sections.items():
            value = getattr(self, name)
            if value is not None:
                given.setdefault(section, {})[name] = _plain(value)
        mine = (self.settings or {}, given)
        return build_config(recipe_under(self.recipe, *mine), *mine)

    def _remember(self, trained: Trained[Any, Any]) -> Self:
        """Keeps what a fit gave."""
        self.bundle_ = trained.bundle
        self.history_ = [record.row() for record in trained.outcome.history]
        return self


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    listed = isinstance(value, np.ndarray | Sequence) and not isinstance(value, str)
    return list(value) if listed else value
