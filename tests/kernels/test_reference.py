"""The reference loops against torch.nn, against numerical gradients, and against the formulas in numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from recurra.cells import cell_named
from recurra.cells.spec import State, Weights
from recurra.kernels.dispatch import recurrence

CELLS = ["simple_rnn", "lstm", "gru"]
SHAPES = [(1, 1, 1, 1), (3, 1, 2, 7), (7, 3, 5, 3), (5, 4, 1, 1), (13, 7, 3, 7)]


def run_torch_nn(
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
    assert recurrent_mask is None
    T, B, E = x.shape
    H = weights.weight_hh.shape[1]
    kinds: dict[str, Any] = {"simple_rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
    options = {"nonlinearity": activation} if cell == "simple_rnn" else {}
    module = kinds[cell](E, H, bidirectional=reverse, dtype=x.dtype, **options)
    bias_hh = weights.get("bias_hh", torch.zeros_like(weights.bias_ih))
    suffix = "l0_reverse" if reverse else "l0"
    values = {
        f"weight_ih_{suffix}": weights.weight_ih,
        f"weight_hh_{suffix}": weights.weight_hh,
        f"bias_ih_{suffix}": weights.bias_ih,
        f"bias_hh_{suffix}": bias_hh,
    }
    lengths = torch.full((B,), T) if lengths is None else lengths
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    start = None
    if state is not None:
        parts = [torch.stack([torch.zeros_like(p), p]) if reverse else p[None] for p in state]
        start = tuple(parts) if cell == "lstm" else parts[0]
    outputs, last = torch.func.functional_call(module, values, (packed, start))
    padded, _ = pad_packed_sequence(outputs, total_length=T)
    last = last if cell == "lstm" else (last,)
    return (padded[:, :, H:] if reverse else padded), tuple(part[-1] for part in last)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("cell", "activation"), [(cell, "tanh") for cell in CELLS] + [("simple_rnn", "relu")]
)
@pytest.mark.parametrize("shape", SHAPES)
def test_outputs_states_and_every_gradient_equal_torch_nn(
    cell: str, activation: str, shape: tuple[int, ...], reverse: bool, problem: Any, same: Any
) -> None:
    T, B, _, _ = shape
    ragged = [1 + (5 * row) % T for row in range(B)]
    for lengths, initial in [(None, False), (None, True), (ragged, True), (ragged, False)]:
        p = problem(cell, *shape, lengths=lengths, initial=initial)
        options = {"activation": activation, "reverse": reverse}
        same(p.solve(backend="reference", **options), p.solve(run=run_torch_nn, **options), 1e-12)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "activation", ["tanh", "relu", torch.nn.functional.softsign], ids=["tanh", "relu", "callable"]
)
@pytest.mark.parametrize("reverse", [False, True])
def test_gradients_are_the_numerical_ones(cell: str, activation: Any, reverse: bool, problem: Any) -> None:
    p = problem(cell, 4, 3, 2, 3, lengths=[2, 4, 0], masked=True, seed=3)
    names = list(p.tensors)

    def call(*values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        mine = dict(zip(names, values, strict=True))
        weights = Weights({name: mine[name] for name in cell_named(cell).parameter_names})
        state = tuple(mine[name] for name in ("h0", "c0") if name in mine)
        options = {"recurrent_mask": p.mask, "activation": activation, "reverse": reverse}
        outputs, last = recurrence(cell, mine["x"], p.lengths, state, weights, backend="reference", **options)
        return outputs, *last

    assert torch.autograd.gradcheck(call, [p.tensors[name].requires_grad_() for name in names])


def numpy_formula(p: Any, act: Callable[[Any], Any], *, reverse: bool) -> tuple[Any, list[Any]]:
    """Row by row and gate by gate, over the true steps alone."""

    def sigmoid(a: Any) -> Any:
        return 1 / (1 + np.exp(-a))

    value = {name: tensor.numpy() for name, tensor in p.tensors.items()}
    T, B, _ = value["x"].shape
    H = value["weight_hh"].shape[1]
    outputs = np.zeros((T, B, H))
    last: list[list[Any]] = []
    for b in range(B):
        h = value["h0"][b].copy()
        c = value["c0"][b].copy() if p.cell == "lstm" else None
        steps = range(int(p.lengths[b]))
        for t in reversed(steps) if reverse else steps:
            entering = h * p.mask[b].numpy()
            a, u = [], []
            for gate in range(len(cell_named(p.cell).gates)):
                rows = slice(gate * H, (gate + 1) * H)
                a.append(value["weight_ih"][rows] @ value["x"][t, b] + value["bias_ih"][rows])
                u.append(value["weight_hh"][rows] @ entering)
            if p.cell == "simple_rnn":
                h = act(a[0] + u[0])
            elif p.cell == "lstm":
                i, f, o = (sigmoid(a[k] + u[k]) for k in (0, 1, 3))
                c = f * c + i * act(a[2] + u[2])
                h = o * act(c)
            else:
                d = np.split(value["bias_hh"], 3)
                r, z = sigmoid(a[0] + u[0] + d[0]), sigmoid(a[1] + u[1] + d[1])
                n = act(a[2] + r * (u[2] + d[2]))
                h = (1 - z) * n + z * h
            outputs[t, b] = h
        last.append([h] if c is None else [h, c])
    return outputs, [np.stack(part) for part in zip(*last, strict=True)]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    ("activation", "formula"),
    [("tanh", np.tanh), ("relu", lambda a: np.maximum(a, 0)), (torch.sin, np.sin)],
    ids=["tanh", "relu", "callable"],
)
def test_masks_lengths_and_activations_follow_the_formulas(
    cell: str, activation: Any, formula: Any, reverse: bool, problem: Any
) -> None:
    """The recurrent mask scales the state inside the product alone: GRU's carry sees the state as it is."""
    p = problem(cell, 6, 4, 3, 5, lengths=[6, 1, 0, 4], masked=True, seed=5)
    found = p.solve(activation=activation, reverse=reverse, backend="reference")
    outputs, last = numpy_formula(p, formula, reverse=reverse)
    np.testing.assert_allclose(found["outputs"].numpy(), outputs, rtol=0, atol=1e-12)
    for number, part in enumerate(last):
        np.testing.assert_allclose(found[f"last_{number}"].numpy(), part, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_narrow_dtype_stays_and_comes_near(cell: str, dtype: torch.dtype, problem: Any) -> None:
    sizes = (9, 3, 4, 5)
    narrow = problem(cell, *sizes, lengths=[9, 2, 5], dtype=dtype).solve(backend="reference")
    wide = problem(cell, *sizes, lengths=[9, 2, 5]).solve(backend="reference")
    for name, value in narrow.items():
        assert value.dtype == dtype
        error = float((value.double() - wide[name]).abs().max() / wide[name].abs().max())
        assert error < 16 * torch.finfo(dtype).eps, name
