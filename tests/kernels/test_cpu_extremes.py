"""NaN, infinity, saturation and vanishing numbers pass the CPU kernels as they pass the reference."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch

from recurra.cells import cell_named

pytestmark = pytest.mark.usefixtures("poisoned")

NAN, INF = float("nan"), float("inf")
CELLS = ["simple_rnn", "lstm", "gru"]
SERVED = [(cell, "tanh") for cell in CELLS] + [("simple_rnn", "relu"), ("gru", "relu")]


@pytest.fixture
def alike(problem: Any) -> Callable[..., None]:
    """By both backends there are NaN and infinity in the same places, and near numbers in the others."""

    def check(p: Any, names: list[str] | None = None, **options: Any) -> None:
        found = p.solve(backend="cpu", **options)
        expected = p.solve(backend="reference", **options)
        for name in names or expected:
            torch.testing.assert_close(
                found[name],
                expected[name],
                rtol=1e-5,
                atol=1e-5,
                equal_nan=True,
                msg=lambda m, n=name: f"{n}: {m}",
            )

    return check


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("cell", "activation"), SERVED)
def test_nan_is_in_the_same_places(
    cell: str, activation: str, reverse: bool, problem: Any, alike: Any
) -> None:
    """One NaN at a time, in whatever the recurrence reads: it spreads as far as in the reference."""
    names = list(problem(cell, 5, 4, 3, 17).tensors)
    for name in names:
        p = problem(cell, 5, 4, 3, 17, dtype=torch.float32)
        value = p.tensors[name]
        value.view(-1)[value.numel() // 2] = NAN
        alike(p, activation=activation, reverse=reverse)


@pytest.mark.parametrize("cell", CELLS)
def test_nan_in_one_row_leaves_the_others_alone(cell: str, problem: Any) -> None:
    p = problem(cell, 5, 4, 3, 17, lengths=[5, 3, 4, 5], dtype=torch.float32)
    clean = p.solve(backend="cpu")
    p.tensors["x"][1, 2] = NAN
    found = p.solve(backend="cpu")
    others = [0, 1, 3]
    for name in ("outputs", "d_x"):
        assert torch.equal(found[name][:, others], clean[name][:, others])
        assert found[name][1, 2].isnan().all()
    for name in ("last_0", "d_h0"):
        assert torch.equal(found[name][others], clean[name][others])


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("cell", "activation"), SERVED)
def test_an_infinite_input_saturates(cell: str, activation: str, sign: int, problem: Any, alike: Any) -> None:
    for name, place in (("x", (2, 1, 0)), ("bias_ih", (3,)), ("weight_ih", (3, 1)), ("h0", (1, 2))):
        p = problem(cell, 5, 4, 3, 5, dtype=torch.float32)
        p.tensors[name][place] = sign * INF
        alike(p, [n for n in p.solve(backend="cpu") if not n.startswith("d_")], activation=activation)


@pytest.mark.parametrize("size", [20.0, 90.0, 200.0, 1e4, 3e38, INF])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_each_gate_opens_and_shuts(cell: str, size: float, problem: Any, alike: Any) -> None:
    """The sigmoid of what is far below zero is zero, of what is far above it one, and its slope zero."""
    for gate in range(len(cell_named(cell).gates)):
        for sign in (1, -1):
            p = problem(cell, 4, 3, 2, 5, dtype=torch.float32)
            p.tensors["bias_ih"].view(len(cell_named(cell).gates), 5)[gate] = sign * size
            alike(p)


@pytest.mark.parametrize("cell", CELLS)
def test_sums_beyond_float32_saturate_too(cell: str, problem: Any, alike: Any) -> None:
    p = problem(cell, 4, 3, 1, 5, dtype=torch.float32)  # of one feature: infinite terms can't cancel
    p.tensors["x"] *= 1e38
    p.tensors["weight_ih"] *= 1e3
    alike(p, ["outputs", "last_0"])


@pytest.mark.parametrize(("cell", "activation"), SERVED)
def test_nothing_in_is_exactly_nothing_out(cell: str, activation: str, problem: Any) -> None:
    p = problem(cell, 7, 3, 2, 17, dtype=torch.float32)
    for name in [name for name in p.tensors if not name.startswith("weight")]:
        p.tensors[name].zero_()
    found = p.solve(backend="cpu", activation=activation)
    for name in [name for name in found if name.startswith(("outputs", "last"))]:
        assert not found[name].any(), name


@pytest.mark.parametrize("cell", CELLS)
def test_a_gradient_that_vanishes_over_the_steps_is_zero_in_the_end(cell: str, problem: Any) -> None:
    """On the way it passes through numbers that are too small for float32; none of them is far off."""
    p = problem(cell, 300, 3, 2, 17, dtype=torch.float32)
    p.tensors["weight_hh"] *= 0.05
    if cell != "simple_rnn":  # a gate that forgets: LSTM's f, GRU's z
        p.tensors["bias_ih"][17:34] -= 4
    upstream = torch.randn(3, 17, generator=torch.Generator().manual_seed(4))
    gradients = []
    for q, backend in ((p, "cpu"), (p.double(), "reference")):
        mine = q.leaves()
        last = q.run(mine, backend=backend, sequences=False)["last_0"]
        gradients.append(torch.autograd.grad(last, mine["x"], upstream.to(last.dtype))[0])
    found, expected = gradients[0].double(), gradients[1]
    smallest = expected.abs().amax(dim=(1, 2))
    assert float(smallest.min()) < 1e-38 < float(smallest.max())
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-7)
    tiny = smallest < 1e-30
    assert tiny.any()
    torch.testing.assert_close(found[tiny], expected[tiny], rtol=0, atol=1e-30)


@contextmanager
def flushing(on: bool) -> Iterator[None]:
    torch.set_flush_denormal(on)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="the mode is x86's")
@pytest.mark.parametrize("on", [False, True])
def test_how_others_compute_with_denormals_is_left_as_it_was(on: bool, problem: Any, dealt: Any) -> None:
    denormal = np.full(8, 1e-40, np.float32)
    with flushing(on):
        before = denormal * np.float32(0.5), torch.from_numpy(denormal) * 0.5
        for shards, threads in [(1, 1), (4, 2)]:
            with dealt(shards, threads):
                problem("lstm", 5, 4, 3, 17, dtype=torch.float32).solve(backend="cpu")
        after = denormal * np.float32(0.5), torch.from_numpy(denormal) * 0.5
    assert before[0].any() == (not on)
    assert np.array_equal(before[0], after[0])
    assert torch.equal(before[1], after[1])
