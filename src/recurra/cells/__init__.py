"""Recurrent cells: one file for each, and the registry of their names.

A file of this folder defines a cell in its constant ``CELL``; the file is named as the cell. It is imported
when the cell is first asked for, so the names are known without importing PyTorch.
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING, Any

from recurra.errors import ConfigError

if TYPE_CHECKING:
    from recurra.cells.spec import CellSpec, Parameter, glorot, ones, orthogonal, uniform, zeros

__all__ = [
    "BUILT_IN",
    "CellSpec",
    "Parameter",
    "cell_named",
    "cell_names",
    "glorot",
    "ones",
    "orthogonal",
    "register_cell",
    "uniform",
    "zeros",
]

BUILT_IN = tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "spec"))
"""The names of the cells that come with the package."""
_specs: dict[str, CellSpec] = {}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.spec"), name)


def cell_names() -> tuple[str, ...]:
    """Returns the names of all cells: the built-in ones, then the registered ones."""
    return (*BUILT_IN, *(name for name in _specs if name not in BUILT_IN))


def cell_named(name: str) -> CellSpec:
    """Returns the cell of a name.

    Raises:
        ConfigError: there is no such cell.
    """
    spec = _specs.get(name)
    if spec is None:
        if name not in BUILT_IN:
            raise ConfigError(
                f"there is no cell {name!r}; there are {', '.join(cell_names())}",
                hint="register a cell of your own first, with recurra.register_cell",
            )
        spec = _specs[name] = importlib.import_module(f"{__name__}.{name}").CELL
    return spec


def register_cell(spec: CellSpec) -> CellSpec:
    """Add a cell to those that layers, estimators and settings accept by name.

    A model that was trained with it can be loaded in any process that has registered it. Registering a cell
    of the same name again replaces it.

    Args:
        spec: the cell.

    Returns:
        The cell.

    Raises:
        ConfigError: the name belongs to a built-in cell.
    """
    if spec.name in BUILT_IN:
        raise ConfigError(f"{spec.name!r} is a built-in cell", hint="give your cell another name")
    _specs[spec.name] = spec
    return spec
