"""A process of its own: a few cases by the CPU kernels beside float64 loops; the facts and the worst error.

Its environment says how wide the vectors are, whether bounds are checked, and where compiled code is kept.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import torch

from tests.kernels.conftest import deal
from tests.problems import make_problem


def worst(precision: str = "float32") -> float:
    """The largest error of outputs and states, in float32 of gradients too, relative to each tensor."""
    largest = 0.0
    for number, (cell, activation) in enumerate(
        [("simple_rnn", "tanh"), ("lstm", "tanh"), ("gru", "tanh"), ("simple_rnn", "relu"), ("gru", "relu")]
    ):
        for n, (T, B, E, H) in enumerate(
            [(1, 1, 1, 1), (6, 5, 3, 17), (3, 13, 33, 15), (4, 3, 16, 9), (40, 30, 2, 7), (3, 60, 1, 200)]
        ):
            odd = bool((number + n) % 2)
            p = make_problem(
                cell, T, B, E, H, directions=2, masked=odd, input_masked=odd, initial=odd,
                lengths=[(5 * row + 3) % (T + 1) for row in range(B)] if n != 3 else None,
                rows=7 if n in (1, 4) else None, dtype=torch.float32, seed=n,
            )  # fmt: skip
            with deal(1 + n % 3, 1 + n % 2):
                found = p.solve(backend="cpu", precision=precision, activation=activation)
            expected = p.double().solve(backend="reference", precision=precision, activation=activation)
            for name, value in expected.items():
                if precision != "float32" and name.startswith("d_"):
                    assert found[name].isfinite().all(), name
                    continue
                scale = float(value.abs().max().clamp(min=1))
                error = float((found[name] - value).abs().max())
                assert error == error, name
                largest = max(largest, error / scale)
    return largest


def main() -> None:
    from recurra.kernels.cpu.backward import backward
    from recurra.kernels.cpu.folder import CHECKED, cache_folder
    from recurra.kernels.cpu.forward import forward
    from recurra.kernels.cpu.host import host

    found = worst()
    rounded = None if host().bf16 is None else worst("bfloat16")
    stats: list[Any] = [getattr(function, "stats") for function in (forward, backward)]  # noqa: B009
    facts = {
        "lanes": host().lanes,
        "checked": CHECKED,
        "worst": found,
        "bf16": host().bf16,
        "rounded": rounded,
        "loaded": sum(sum(each.cache_hits.values()) for each in stats),
        "compiled": sum(sum(each.cache_misses.values()) for each in stats),
        "folder": str(cache_folder()),
    }
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
