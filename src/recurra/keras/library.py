"""Keras itself, if it is installed and computes with torch."""

from __future__ import annotations

from recurra.errors import BackendError, DependencyError

__all__ = ["keras"]

_HINT = "set the environment variable KERAS_BACKEND=torch before Keras is imported"

try:
    import keras
except ModuleNotFoundError as error:
    if error.name == "keras":
        raise DependencyError(
            "Keras is not installed", where="recurra.keras", hint="pip install 'recurra[keras]'"
        ) from None
    # Keras imports its backend, by default tensorflow, which need not be installed
    raise BackendError(
        f"Keras could not import its backend: {error}", where="recurra.keras", hint=_HINT
    ) from error

if keras.backend.backend() != "torch":
    raise BackendError(
        f"the backend of Keras is {keras.backend.backend()}, these layers need torch",
        where="recurra.keras",
        hint=_HINT,
    )
