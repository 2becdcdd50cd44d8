"""What holds of every cell: its formula, its torch.nn module, and numerical gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from recurra.cells import cell_named
from recurra.cells.spec import State, Weights
from tests.problems import assert_same, make_problem


def sigmoid(a: Any) -> Any:
    return 1 / (1 + np.exp(-a))


SHAPES = [(1, 1, 1, 1), (3, 1, 2, 7), (7, 3, 5, 3), (5, 4, 1, 1), (13, 7, 3, 7)]
ACTIVATIONS = {
    "tanh": ("tanh", np.tanh),
    "relu": ("relu", lambda a: np.maximum(a, 0)),
    "function": (torch.sin, np.sin),
}
FURTHER = {
    "identity": ("identity", lambda a: a),
    "linear_sigmoid": ("linear_sigmoid", lambda a: np.where(a >= 0, a + 0.5, sigmoid(a))),
}
"""Those of cells without a recurrent matrix."""


def equals_torch_nn(cell: str, shape: tuple[int, ...], activation: str = "tanh") -> None:
    """Outputs, states and every gradient in float64, with and without lengths, in both directions."""
    T, B, _, _ = shape
    ragged = [1 + (5 * row) % T for row in range(B)]
    for lengths, initial in [(None, False), (None, True), (ragged, True), (ragged, False)]:
        for reverse in (False, True):
            p = make_problem(cell, *shape, lengths=lengths, initial=initial)
            options = {"activation": activation, "reverse": reverse}
            expected = p.solve(run=_torch_nn, **options)
            assert_same(p.solve(backend="reference", **options), expected, 1e-12)


def _torch_nn(
    cell: str,
    x: torch.Tensor,
    lengths: torch.Tensor | None,
    state: State | None,
    weights: Weights,
    *,
    recurrent_mask: None,
    activation: str,
    reverse: bool,
) -> tuple[torch.Tensor, State]:
    """The same call through a packed torch.nn module; a backward direction is one of a pair."""
    spec = cell_named(cell)
    module_class: Any = spec.torch_module
    T, B, E = x.shape
    H = spec.units(weights)
    options = {"nonlinearity": activation} if module_class is torch.nn.RNN else {}
    module = module_class(E, H, bidirectional=reverse, dtype=x.dtype, **options)
    suffix = "l0_reverse" if reverse else "l0"
    values = {f"bias_hh_{suffix}": torch.zeros_like(weights.bias_ih)}
    values |= {f"{name}_{suffix}": value for name, value in weights.items()}
    lengths = torch.full((B,), T) if lengths is None else lengths
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    start: Any = None
    if state is not None:
        parts = [torch.stack([torch.zeros_like(p), p]) if reverse else p[None] for p in state]
        start = tuple(parts) if len(parts) > 1 else parts[0]
    outputs, last = torch.func.functional_call(module, values, (packed, start))
    padded, _ = pad_packed_sequence(outputs, total_length=T)
    last = last if isinstance(last, tuple) else (last,)
    return (padded[:, :, H:] if reverse else padded), tuple(part[-1] for part in last)


def has_numerical_gradients(
    cell: str,
    activation: Any = "tanh",
    *,
    masked: bool = True,
    sizes: tuple[int, int] = (2, 3),
    positive: str | None = None,
) -> None:
    """Of everything that has one, by ``gradcheck`` in float64, over rows of different length.

    ``sizes`` are ``E`` and ``H``; the tensor ``positive`` is made so.
    """
    for reverse in (False, True):
        p = make_problem(cell, 4, 3, *sizes, lengths=[2, 4, 0], masked=masked, seed=3)
        if positive is not None:
            p.tensors[positive].abs_().add_(0.5)
        names = list(p.tensors)

        def call(*values: torch.Tensor, p: Any = p, reverse: bool = reverse) -> tuple[torch.Tensor, ...]:
            mine = dict(zip(p.tensors, values, strict=True))
            found = p.run(mine, backend="reference", activation=activation, reverse=reverse)
            return tuple(found.values())

        assert torch.autograd.gradcheck(call, [p.tensors[name].requires_grad_() for name in names])


def follows(
    cell: str,
    step: Callable[..., tuple[Any, ...]],
    activation: str = "tanh",
    *,
    masked: bool = True,
    sizes: tuple[int, int] = (3, 5),
    positive: str | None = None,
) -> None:
    """``step(x, entering, state, weights, act)`` in numpy, row by row over the true steps alone.

    ``entering`` is the state multiplied by the mask of recurrent dropout. ``sizes`` are ``E`` and ``H``; the
    tensor ``positive`` is made so.
    """
    name, act = (ACTIVATIONS | FURTHER)[activation]
    p = make_problem(cell, 6, 4, *sizes, lengths=[6, 1, 0, 4], masked=masked, seed=5)
    if positive is not None:
        p.tensors[positive].abs_().add_(0.5)
    weights = {key: p.tensors[key].numpy() for key in cell_named(cell).parameter_names if key in p.tensors}
    parts = [p.tensors[f"{part}0"].numpy() for part in cell_named(cell).state]
    mask = np.ones_like(parts[0]) if p.mask is None else p.mask.numpy()
    x = p.tensors["x"].numpy()
    for reverse in (False, True):
        outputs, last = np.zeros((6, 4, sizes[1])), [part.copy() for part in parts]
        for b in range(4):
            state = tuple(part[b] for part in parts)
            steps = range(int(p.lengths[b]))
            for t in reversed(steps) if reverse else steps:
                state = step(x[t, b], state[0] * mask[b], state, weights, act)
                outputs[t, b] = state[0]
            for part, value in zip(last, state, strict=True):
                part[b] = value
        found = p.solve(activation=name, reverse=reverse, backend="reference")
        np.testing.assert_allclose(found["outputs"].numpy(), outputs, rtol=0, atol=1e-12)
        for number, part in enumerate(last):
            np.testing.assert_allclose(found[f"last_{number}"].numpy(), part, rtol=0, atol=1e-12)
