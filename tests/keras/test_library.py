"""Keras is imported with torch as its backend, or an error says how."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FIX = "; set the environment variable KERAS_BACKEND=torch before Keras is imported"


def last_line(code: str, *, path: Path | None = None, backend: str = "") -> str:
    """The last line that a program writes, with modules from a path before the installed ones."""
    environment = os.environ | {"KERAS_BACKEND": backend}
    if path is not None:
        environment["PYTHONPATH"] = os.pathsep.join([str(path), environment.get("PYTHONPATH", "")])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment)
    return (done.stdout + done.stderr).strip().splitlines()[-1]


def test_recurra_does_not_import_keras() -> None:
    code = "import sys, recurra; recurra.LSTM; print('keras' in sys.modules)"
    assert last_line(code) == "False"


@pytest.mark.parametrize(
    ("source", "error"),
    [
        (
            "class backend: backend = staticmethod(lambda: 'jax')",
            "BackendError: recurra.keras: the backend of Keras is jax, these layers need torch" + FIX,
        ),
        (
            "import tensor_flow",
            "BackendError: recurra.keras: Keras could not import its backend: "
            "No module named 'tensor_flow'" + FIX,
        ),
        (
            "raise ModuleNotFoundError(name='keras')",
            "DependencyError: recurra.keras: Keras is not installed; pip install 'recurra[keras]'",
        ),
    ],
)
def test_an_error_says_what_to_do(source: str, error: str, tmp_path: Path) -> None:
    (tmp_path / "keras.py").write_text(source)  # in place of Keras
    assert last_line("import recurra.keras", path=tmp_path) == f"recurra.errors.{error}"
