"""The reference loop: numbers of any width, and a step that returns what it should not."""

from __future__ import annotations

from typing import Any

import pytest
import torch

CELLS = ["simple_rnn", "lstm", "gru", "min_gru", "min_lstm", "sru", "qrnn"]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_narrow_dtype_stays_and_comes_near(cell: str, dtype: torch.dtype, problem: Any) -> None:
    sizes = (9, 3, 4, 5)
    narrow = problem(cell, *sizes, lengths=[9, 2, 5], dtype=dtype).solve(backend="reference")
    wide = problem(cell, *sizes, lengths=[9, 2, 5]).solve(backend="reference")
    for name, value in narrow.items():
        assert value.dtype == dtype
        scale = wide[name].abs().max().clamp(min=1e-300)  # an initial output that nothing reads has none
        error = float((value.double() - wide[name]).abs().max() / scale)
        assert error < 16 * torch.finfo(dtype).eps, name
