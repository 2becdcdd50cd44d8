"""Where a run finds what a user has written: estimators of other libraries, and cells that are not built in.

A run can be made in another process, and nothing is pickled. So a run is told the name of a function or
class that it imports. An object that exists in one process only has a key there, and its runs are made in
that process.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from recurra.cells import BUILT_IN, cell_named
from recurra.errors import ConfigError

__all__ = ["Origin", "cell_modules", "created", "import_modules", "keep", "named"]

_OBJECTS = "here"  # in place of the name of a module
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_kept: dict[str, Any] = {}


@dataclass(frozen=True)
class Origin:
    """Where an estimator comes from.

    Attributes:
        name: ``package.module:name`` of a class or function that returns an unfitted estimator, or a key of
            `keep`.
        shown: How it is shown, such as ``LogisticRegression(C=0.5)``.
    """

    name: str
    shown: str

    @property
    def is_local(self) -> bool:
        """Whether it exists in this process only."""
        return self.name.startswith(f"{_OBJECTS}:")


def named(name: str) -> Origin:
    """Returns the origin of an importable function or class, which is called once as a check.

    Args:
        name: ``package.module:name``.

    Raises:
        ConfigError: If it cannot be imported or does not return an estimator.

    Example:
        >>> named("sklearn.naive_bayes:MultinomialNB").shown
        'MultinomialNB()'
    """
    return Origin(name, _shown(created(name)))


def keep(estimator: Any, key: str) -> Origin:
    """Returns the origin of an object, of which runs in this process make copies.

    Raises:
        ConfigError: If it is not an estimator.
    """
    name = f"{_OBJECTS}:{key}"
    _kept[name] = _checked(estimator, key)
    return Origin(name, _shown(estimator))


def created(name: str) -> Any:
    """Returns a new estimator, given the name of an `Origin`.

    Raises:
        ConfigError: If it cannot be made, or does not have ``fit`` and a method for answers.
    """
    if name in _kept:
        from sklearn.base import clone

        try:
            return clone(_kept[name])
        except TypeError as error:
            raise ConfigError(
                f"arm {name.partition(':')[2]} can't be copied ({str(error).splitlines()[0][:100]})",
                hint="derive its class from sklearn.base.BaseEstimator, or name a function MODULE:FUNCTION",
            ) from error
    module, _, attribute = name.partition(":")
    (found,) = import_modules([module])
    maker = getattr(found, attribute, None)
    if not callable(maker):
        raise ConfigError(f"{module} has no function {attribute!r}", hint="write MODULE:FUNCTION")
    try:
        estimator = maker()
    except TypeError as error:
        raise ConfigError(f"{name} needs arguments ({error})", hint="name a function without them") from error
    return _checked(estimator, name)


def import_modules(names: Iterable[str]) -> list[Any]:
    """Imports modules.

    Raises:
        ConfigError: If one cannot be imported.
    """
    found = []
    for name in names:
        try:
            found.append(importlib.import_module(name))
        except ImportError as error:
            hint = "it must be on the Python path of the process that makes the runs"
            raise ConfigError(f"module {name!r} can't be imported ({error})", hint=hint) from error
    return found


def cell_modules(cells: Iterable[str]) -> tuple[list[str], list[str]]:
    """Returns the modules that register the cells that are not built in, and the cells without such a module.

    The module of a cell is that of its step. A cell of a notebook or script has none that another process
    could import.

    Raises:
        ConfigError: If there is no such cell.
    """
    own = {name: cell_named(name).step.__module__ for name in cells if name not in BUILT_IN}
    local = [name for name, module in own.items() if module == "__main__" or module not in sys.modules]
    return sorted({module for name, module in own.items() if name not in local}), local


def _checked(estimator: Any, name: str) -> Any:
    answers = any(hasattr(estimator, method) for method in ("predict", "score_samples"))
    if isinstance(estimator, type) or not hasattr(estimator, "fit") or not answers:
        raise ConfigError(
            f"arm {name} is no estimator: {type(estimator).__name__}",
            hint="give a recipe, an estimator of recurra, or an object with fit and predict",
        )
    return estimator


def _shown(estimator: Any) -> str:
    return _ADDRESS.sub("", " ".join(repr(estimator).split()))  # the same in each process
