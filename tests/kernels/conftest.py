"""Random calls of the recurrence, and outputs, last states and every gradient of one by name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch

from recurra.cells import cell_named
from recurra.cells.spec import Weights
from recurra.kernels import dispatch
from recurra.kernels.dispatch import Call, Lookup, recurrence

ENDINGS = ("", "_reverse")


@dataclass
class Problem:
    """One random problem: tensors that all want a gradient, and the upstream gradients.

    The names of the second direction's tensors end in ``_reverse``.
    """

    cell: str
    tensors: dict[str, torch.Tensor]
    lengths: torch.Tensor | None
    mask: torch.Tensor | None
    seed: int
    mask_reverse: torch.Tensor | None = None
    input_mask: torch.Tensor | None = None
    input_mask_reverse: torch.Tensor | None = None
    index: torch.Tensor | None = None
    """Where there is one, ``tensors["x"]`` is the table."""
    view: Callable[[torch.Tensor], torch.Tensor] = field(default=lambda x: x)
    """What ``x`` becomes on its way to the recurrence: another place for the same numbers in memory."""

    @property
    def directions(self) -> int:
        return 2 if "weight_ih_reverse" in self.tensors else 1

    def double(self) -> Problem:
        """The same numbers in float64."""

        def wide(value: torch.Tensor | None) -> Any:
            return None if value is None else value.double()

        masks = ("mask", "mask_reverse", "input_mask", "input_mask_reverse")
        tensors = {name: wide(value) for name, value in self.tensors.items()}
        return replace(self, tensors=tensors, **{name: wide(getattr(self, name)) for name in masks})

    def leaves(self) -> dict[str, torch.Tensor]:
        """Copies of all tensors that want a gradient."""
        return {name: value.detach().clone().requires_grad_() for name, value in self.tensors.items()}

    def calls(self, mine: dict[str, torch.Tensor], *, reverse: bool = False, **options: Any) -> list[Call]:
        """One call a direction, with these tensors."""
        x = self.view(mine["x"]) if self.index is None else Lookup(mine["x"], self.index)
        spec = cell_named(self.cell)
        return [
            Call(
                self.cell,
                x,
                self.lengths,
                tuple(mine[name + end] for name in ("h0", "c0") if name + end in mine) or None,
                Weights({name: mine[name + end] for name in spec.parameter_names}),
                recurrent_mask=getattr(self, f"mask{end}"),
                input_mask=getattr(self, f"input_mask{end}"),
                reverse=reverse or end == "_reverse",
                **options,
            )
            for end in ENDINGS[: self.directions]
        ]

    def run(
        self, mine: dict[str, torch.Tensor], *, backend: str = "auto", sequences: bool = True, **options: Any
    ) -> dict[str, torch.Tensor]:
        """Outputs (where ``sequences``) and last states by name."""
        outputs, states = dispatch.layer(self.calls(mine, **options), sequences=sequences, backend=backend)
        last = [part for state in states for part in state]
        return ({"outputs": outputs} if sequences else {}) | {
            f"last_{n}": part for n, part in enumerate(last)
        }

    def loss(self, found: dict[str, torch.Tensor]) -> torch.Tensor:
        """A number whose gradient with respect to every value found is random."""
        generator = torch.Generator().manual_seed(self.seed)
        parts = [
            (value * torch.randn(value.shape, generator=generator, dtype=torch.float64)).sum()
            for value in found.values()
        ]
        return torch.stack(parts).sum()

    def solve(self, *, run: Callable[..., Any] = recurrence, **options: Any) -> dict[str, torch.Tensor]:
        """All values and gradients by name."""
        mine = self.leaves()
        if run is recurrence:
            found = self.run(mine, **options)
        else:
            (call,) = self.calls(mine)
            outputs, last = run(
                call.cell, call.x, call.lengths, call.state, call.weights, recurrent_mask=self.mask, **options
            )
            found = {"outputs": outputs} | {f"last_{n}": part for n, part in enumerate(last)}
        gradients = torch.autograd.grad(self.loss(found), list(mine.values()))
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
    input_masked: bool = False,
    directions: int = 1,
    rows: int | None = None,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> Problem:
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    def keep(*shape: int) -> torch.Tensor:
        return 2.0 * (randn(*shape) > 0).to(dtype)

    columns = len(cell_named(cell).gates) * H
    tensors = {"x": randn(T, B, E) if rows is None else randn(rows, E)}
    masks: dict[str, torch.Tensor] = {}
    for end in ENDINGS[:directions]:
        tensors[f"weight_ih{end}"] = randn(columns, E) / E**0.5
        tensors[f"weight_hh{end}"] = randn(columns, H) / H**0.5
        tensors[f"bias_ih{end}"] = randn(columns)
        if cell == "gru":
            tensors[f"bias_hh{end}"] = randn(columns)
        if initial:
            tensors[f"h0{end}"] = randn(B, H)
            if cell == "lstm":
                tensors[f"c0{end}"] = randn(B, H)
        if masked:
            masks[f"mask{end}"] = keep(B, H)
        if input_masked:
            masks[f"input_mask{end}"] = keep(B, E)
    index = None if rows is None else torch.randint(0, rows, (T, B), generator=generator)
    steps = None if lengths is None else torch.tensor(lengths)
    mask = masks.pop("mask", None)
    return Problem(cell, tensors, steps, mask, seed, index=index, **masks)


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
                found[name].to(value.dtype),
                value,
                rtol=0,
                atol=tolerance * scale,
                msg=lambda m, n=name: f"{n}: {m}",
            )

    return check


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
    from recurra.kernels.cpu import autograd, workspace

    assert autograd  # which imports all that borrow
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
    from recurra.kernels.cpu import engine, operators

    with _borrowing(float("nan")) as patch:
        patch.setattr(engine, "np", _Poisoning(engine.np))
        patch.setattr(operators, "torch", _Poisoning(operators.torch))
        yield


@pytest.fixture
def blanked() -> Iterator[None]:
    """Whatever memory the CPU kernels borrow holds zeros before they write to it."""
    with _borrowing(0.0):
        yield


@contextmanager
def _dealt(shards: int, threads: int) -> Iterator[None]:
    from recurra.kernels.cpu import engine

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "shards_for", lambda rows, *_: max(1, min(rows, shards)))
        patch.setenv("RECURRA_THREADS", str(threads))
        yield


@pytest.fixture(scope="session")
def dealt() -> Callable[[int, int], Any]:
    """Within ``dealt(shards, threads)`` batches of any size are dealt so; a small one would be one shard."""
    return _dealt
