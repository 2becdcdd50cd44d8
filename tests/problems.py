"""Random calls of the recurrence, and outputs, last states and every gradient of one by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

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
                tuple(mine[f"{part}0{end}"] for part in spec.state if f"{part}0{end}" in mine) or None,
                Weights({name: mine[name + end] for name in spec.parameter_names if name + end in mine}),
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
        gradients = torch.autograd.grad(self.loss(found), list(mine.values()), materialize_grads=True)
        solved = found | {f"d_{name}": grad for name, grad in zip(mine, gradients, strict=True)}
        return {name: value.detach() for name, value in solved.items()}


def make_problem(
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

    spec = cell_named(cell)
    tensors = {"x": randn(T, B, E) if rows is None else randn(rows, E)}
    masks: dict[str, torch.Tensor] = {}
    for end in ENDINGS[:directions]:
        for name, shape in spec.shapes(E, H).items():
            tensors[name + end] = randn(*shape) / (shape[-1] ** 0.5 if len(shape) > 1 else 1)
        if initial:
            tensors |= {f"{part}0{end}": randn(B, H) for part in spec.state}
        if masked:
            masks[f"mask{end}"] = keep(B, H)
        if input_masked:
            masks[f"input_mask{end}"] = keep(B, E)
    index = None if rows is None else torch.randint(0, rows, (T, B), generator=generator)
    steps = None if lengths is None else torch.tensor(lengths)
    mask = masks.pop("mask", None)
    return Problem(cell, tensors, steps, mask, seed, index=index, **masks)


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], tolerance: float) -> None:
    """All values of two solutions are equal by name, to a tolerance relative to the largest of each."""
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
