"""Random calls of the recurrence, and outputs, last states and every gradient of one by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from recurra.kernels.dispatch import GATES, Weights, recurrence


@dataclass
class Problem:
    """One random problem: tensors that all want a gradient, and the upstream gradients."""

    cell: str
    tensors: dict[str, torch.Tensor]
    lengths: torch.Tensor | None
    mask: torch.Tensor | None
    seed: int

    def solve(self, *, run: Callable[..., Any] = recurrence, **options: Any) -> dict[str, torch.Tensor]:
        mine = {name: value.detach().clone().requires_grad_() for name, value in self.tensors.items()}
        weights = Weights(mine["weight_ih"], mine["weight_hh"], mine["bias_ih"], mine.get("bias_hh"))
        state = tuple(mine[name] for name in ("h0", "c0") if name in mine) or None
        outputs, last = run(
            self.cell, mine["x"], self.lengths, state, weights, recurrent_mask=self.mask, **options
        )
        found = {"outputs": outputs} | {f"last_{n}": part for n, part in enumerate(last)}
        generator = torch.Generator().manual_seed(self.seed)
        loss = sum(
            (value * torch.randn(value.shape, generator=generator, dtype=torch.float64)).sum()
            for value in found.values()
        )
        gradients = torch.autograd.grad(loss, list(mine.values()))
        solved = found | {f"d_{name}": grad for name, grad in zip(mine, gradients, strict=True)}
        return {name: value.detach() for name, value in solved.items()}


def _problem(
    cell: str,
    T: int,
    B: int,
    E: int,
    H: int,
    *,
    lengths: list[int] | None = None,
    initial: bool = True,
    masked: bool = False,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> Problem:
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    rows = GATES[cell] * H
    tensors = {
        "x": randn(T, B, E),
        "weight_ih": randn(rows, E) / E**0.5,
        "weight_hh": randn(rows, H) / H**0.5,
        "bias_ih": randn(rows),
    }
    if cell == "gru":
        tensors["bias_hh"] = randn(rows)
    if initial:
        tensors["h0"] = randn(B, H)
        if cell == "lstm":
            tensors["c0"] = randn(B, H)
    mask = 2.0 * (randn(B, H) > 0).to(dtype) if masked else None
    return Problem(cell, tensors, None if lengths is None else torch.tensor(lengths), mask, seed)


@pytest.fixture(scope="session")
def problem() -> Callable[..., Problem]:
    return _problem


@pytest.fixture(scope="session")
def same() -> Callable[..., None]:
    """All values of two solutions are equal by name, to a tolerance relative to the largest of each."""

    def check(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], tolerance: float) -> None:
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            assert found[name].shape == value.shape, name
            scale = max(1.0, float(value.abs().max())) if value.numel() else 1.0
            torch.testing.assert_close(
                found[name], value, rtol=0, atol=tolerance * scale, msg=lambda m, n=name: f"{n}: {m}"
            )

    return check
