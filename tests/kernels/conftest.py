"""Memory that is poisoned before the CPU kernels write to it, and batches dealt to several shards."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.problems import Problem, assert_same, make_problem


@pytest.fixture(scope="session")
def problem() -> Callable[..., Problem]:
    return make_problem


@pytest.fixture(scope="session")
def same() -> Callable[..., None]:
    return assert_same


class _Poisoning:
    """A module whose fresh arrays are full of NaN, so that a number that was never written shows."""

    def __init__(self, module: Any) -> None:
        self._module = module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def empty(self, *shape: Any, **options: Any) -> Any:
        fresh = self._module.empty(*shape, **options)
        fresh[...] = float("nan")
        return fresh


@contextmanager
def _borrowing(number: float) -> Iterator[pytest.MonkeyPatch]:
    """Within it the CPU kernels borrow memory that is full of a number."""
    from recurra.kernels.cpu import autograd, scan, workspace

    assert autograd  # which import all that borrow
    assert scan
    borrow = workspace.borrow

    def filled(count: int) -> Any:
        buffer = borrow(count)
        buffer[:] = number
        return buffer

    with pytest.MonkeyPatch.context() as patch:
        for name, module in list(sys.modules.items()):
            if name.startswith("recurra.kernels.cpu.") and getattr(module, "borrow", None) is borrow:
                patch.setattr(module, "borrow", filled)
        yield patch


@pytest.fixture(scope="module")
def poisoned() -> Iterator[None]:
    """Whatever memory the CPU kernels borrow or ask for holds NaN before they write to it."""
    from recurra.kernels.cpu import engine, operators, scan_autograd

    with _borrowing(float("nan")) as patch:
        patch.setattr(engine, "np", _Poisoning(engine.np))
        for module in (operators, scan_autograd):
            patch.setattr(module, "torch", _Poisoning(module.torch))
        yield


@pytest.fixture
def blanked() -> Iterator[None]:
    """Whatever memory the CPU kernels borrow holds zeros before they write to it."""
    with _borrowing(0.0):
        yield


@contextmanager
def deal(shards: int, threads: int) -> Iterator[None]:
    from recurra.kernels.cpu import shards as division

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(division, "shards_for", lambda rows, *_: max(1, min(rows, shards)))
        patch.setenv("RECURRA_THREADS", str(threads))
        yield


@pytest.fixture(scope="session")
def dealt() -> Callable[[int, int], Any]:
    """Within ``dealt(shards, threads)`` batches of any size are dealt so; a small one would be one shard."""
    return deal
