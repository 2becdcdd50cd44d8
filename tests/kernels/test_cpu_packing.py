"""Packed weights that are kept between calls with few rows: no change of a weight goes unnoticed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from recurra.cells import cell_named
from recurra.cells.spec import Weights
from recurra.kernels.cpu import packing, release_workspaces
from recurra.kernels.dispatch import recurrence

CHANGES: dict[str, Callable[[Tensor], object]] = {
    "in place": lambda weight: weight.mul_(1.5),
    "one number": lambda weight: weight.view(-1)[-1:].add_(0.5),
    "through data": lambda weight: weight.data.mul_(1.5),
    "through numpy": lambda weight: weight.detach().numpy().__imul__(1.5),
    "a copy of other weights": lambda weight: weight.copy_(weight.flip(0)),
}


def weights_of(cell: str, E: int, H: int) -> Weights:
    torch.manual_seed(3)
    return Weights({name: torch.randn(*shape) / 4 for name, shape in cell_named(cell).shapes(E, H).items()})


@pytest.fixture
def packings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts how often weights are packed."""
    release_workspaces()
    counts: list[int] = []
    pack = packing.pack

    def counted(*arguments: Any, **options: Any) -> packing.Packed:
        counts.append(1)
        return pack(*arguments, **options)

    monkeypatch.setattr(packing, "pack", counted)
    return counts


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_any_change_of_any_weight_is_noticed(cell: str, change: str, packings: list[int]) -> None:
    weights, x = weights_of(cell, 3, 9), torch.randn(4, 1, 3)
    with torch.no_grad():
        for name in weights:
            recurrence(cell, x, None, None, weights, backend="cpu")
            CHANGES[change](weights[name])
            found, _ = recurrence(cell, x, None, None, weights, backend="cpu")
            expected, _ = recurrence(cell, x, None, None, weights, backend="reference")
            torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)
    assert len(packings) == 1 + len(weights)


def test_other_weights_in_the_same_memory_are_noticed() -> None:
    storage, x = torch.randn(1000), torch.randn(4, 1, 3)
    for cell in ("lstm", "gru", "simple_rnn", "lstm"):
        at, weights = 0, Weights()
        for name, shape in cell_named(cell).shapes(3, 6).items():
            size = torch.Size(shape).numel()
            weights[name] = storage[at : at + size].view(shape)
            at += size
        with torch.no_grad():
            found, _ = recurrence(cell, x, None, None, weights, backend="cpu")
            expected, _ = recurrence(cell, x, None, None, weights, backend="reference")
        torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)


def test_few_weights_are_kept(packings: list[int]) -> None:
    kept = [weights_of("gru", 2, 5) for _ in range(3 * packing.MOST_KEPT)]
    with torch.no_grad():
        for weights in kept:
            recurrence("gru", torch.randn(2, 1, 2), None, None, weights, backend="cpu")
    assert len(packing._entries) == packing.MOST_KEPT
    release_workspaces()
    assert not packing._entries
    assert len(packings) == len(kept)


def test_a_nan_among_the_weights_is_no_change(packings: list[int]) -> None:
    weights = weights_of("lstm", 3, 5)
    weights["weight_hh"][0, 0] = torch.nan
    with torch.no_grad():
        for _ in range(3):
            recurrence("lstm", torch.randn(2, 1, 3), None, None, weights, backend="cpu")
    assert len(packings) == 1
