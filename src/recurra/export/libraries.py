"""The optional libraries of an export."""

from __future__ import annotations

import importlib.util

from recurra.errors import DependencyError

__all__ = ["require"]


def require(*names: str) -> None:
    """Checks that libraries are installed.

    Raises:
        DependencyError: one is not.

    Example:
        >>> require("numpy")
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise DependencyError(f"an export needs {name}", hint="pip install 'recurra[export]'")
