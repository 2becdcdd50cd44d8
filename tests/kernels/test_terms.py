"""Inputs as rows of a table, and masked inputs: computed as if they had been written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from recurra.cells.spec import Weights
from recurra.kernels.dispatch import Lookup, recurrence

T, B, E, H, ROWS = 7, 4, 3, 5, 9


def solve(p: Any, x: Any, **options: Any) -> list[torch.Tensor]:
    weights = Weights({name: p.tensors[name] for name in p.tensors if name.startswith(("weight", "bias"))})
    state = tuple(p.tensors[name] for name in ("h0", "c0") if name in p.tensors)
    outputs, last = recurrence(p.cell, x, p.lengths, state, weights, **options)
    return [outputs, *last]


@pytest.fixture
def index() -> torch.Tensor:
    """Some rows are used often, one (row 8) never; not contiguous, as a transposed batch is not."""
    return torch.randint(0, ROWS - 1, (B, T), generator=torch.Generator().manual_seed(1)).t()


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("lengths", [None, [7, 2, 0, 5]])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("backend", ["cpu", "reference", "torch"])
@pytest.mark.parametrize("cell", ["simple_rnn", "lstm", "gru"])
def test_a_lookup_is_computed_as_the_rows_it_names(
    cell: str, backend: str, reverse: bool, lengths: Any, masked: bool, index: torch.Tensor, problem: Any
) -> None:
    dtype, tolerance = (torch.float32, 1e-5) if backend == "cpu" else (torch.float64, 1e-12)
    p = problem(cell, T, B, E, H, lengths=lengths, dtype=dtype)
    table = torch.randn(ROWS, E, dtype=dtype, requires_grad=True)
    mask = (2.0 * (torch.randn(B, E) > 0)).to(dtype) if masked else None
    options = {"backend": backend, "reverse": reverse}
    rows = table[index].contiguous()  # in one layout, sums are in one order
    expected = solve(p, rows if mask is None else rows * mask, **options)
    for x in (Lookup(table, index), rows):
        found = solve(p, x, input_mask=mask, **options)
        for value, other in zip(found, expected, strict=True):
            assert torch.equal(value, other)
        (gradient,) = torch.autograd.grad(sum(value.sin().sum() for value in found), table, retain_graph=True)
        (other,) = torch.autograd.grad(sum(value.sin().sum() for value in expected), table, retain_graph=True)
        torch.testing.assert_close(gradient, other, rtol=0, atol=tolerance)
        assert not gradient[-1].any()


@pytest.mark.parametrize("backend", ["auto", "cpu", "reference", "torch"])
def test_a_lookup_begins_from_zeros_of_its_tables_dtype(backend: str, index: torch.Tensor) -> None:
    for dtype in (torch.float32, torch.float64)[: 1 if backend == "cpu" else 2]:
        shapes = {"weight_ih": (H, E), "weight_hh": (H, H), "bias_ih": (H,)}
        weights = Weights({name: torch.ones(shape, dtype=dtype) for name, shape in shapes.items()})
        x = Lookup(torch.ones(ROWS, E, dtype=dtype), index)
        outputs, (h,) = recurrence("simple_rnn", x, None, None, weights, backend=backend)
        assert outputs.dtype == h.dtype == dtype
        torch.testing.assert_close(outputs[0], torch.full((B, H), E + 1, dtype=dtype).tanh())


def test_a_lookup_has_the_shape_of_what_it_stands_for(index: torch.Tensor) -> None:
    lookup = Lookup(torch.arange(ROWS * E).reshape(ROWS, E).double(), index)
    assert lookup.shape == lookup.dense().shape == (T, B, E)
    assert torch.equal(lookup.transpose(0, 1).dense(), lookup.dense().transpose(0, 1))


def test_a_lookup_outside_its_table_is_refused() -> None:
    for wrong in (-1, ROWS):
        with pytest.raises(IndexError):
            Lookup(torch.zeros(ROWS, E), torch.tensor([[0, wrong]])).dense()
