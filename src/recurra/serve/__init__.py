"""Saved models answer over HTTP: the Open Inference Protocol, plain JSON, and one page for people."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from recurra.errors import DependencyError

if TYPE_CHECKING:
    from recurra.serve.app import create_app
    from recurra.serve.limits import Limits
    from recurra.serve.server import running, serve

__all__ = ["Limits", "create_app", "running", "serve"]

_HOMES = {"Limits": "limits", "create_app": "app", "running": "server", "serve": "server"}
_EXTRA = {"fastapi", "httptools", "prometheus_client", "starlette", "uvicorn"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        hint = "pip install 'recurra[serve]'"
        raise DependencyError(f"the package {error.name} is not installed", hint=hint) from error
    return getattr(module, name)
