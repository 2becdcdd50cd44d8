"""The examples in the documentation of ``recurra.keras`` run."""

from __future__ import annotations

import contextlib
import doctest
import importlib
import io
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT
from tests.keras.pairs import IGNORED
from tests.test_documents import python_blocks

pytestmark = IGNORED


@pytest.mark.parametrize("name", ["layers", "models"])
def test_the_examples_of_a_module(name: str) -> None:
    results = doctest.testmod(importlib.import_module(f"recurra.keras.{name}"))
    assert results.attempted > 0
    assert results.failed == 0


def test_the_guide_prints_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "__main__"}
    for _, code, expected in python_blocks((ROOT / "docs/guide/keras.md").read_text(encoding="utf-8")):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        assert printed.getvalue() == expected
