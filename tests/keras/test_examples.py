"""The examples in the documentation of ``recurra.keras`` run."""

from __future__ import annotations

import doctest
import importlib

import pytest

from tests.keras.pairs import IGNORED

pytestmark = IGNORED


@pytest.mark.parametrize("name", ["layers", "models"])
def test_the_examples_of_a_module(name: str) -> None:
    results = doctest.testmod(importlib.import_module(f"recurra.keras.{name}"))
    assert results.attempted > 0
    assert results.failed == 0
