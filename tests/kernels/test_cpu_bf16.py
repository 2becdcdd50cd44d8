"""Products of bfloat16 in the CPU kernels: the reference's with rounded factors, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from recurra.errors import BackendError
from recurra.kernels.cpu.host import host

pytestmark = [
    pytest.mark.usefixtures("poisoned"),
    pytest.mark.skipif(host().bf16 is None, reason="this processor has no products of bfloat16"),
]

CELLS = ["simple_rnn", "lstm", "gru"]
SERVED = [(cell, "tanh") for cell in CELLS] + [("simple_rnn", "relu"), ("gru", "relu")]
SHAPES = [
    (1, 1, 1, 1),
    (2, 13, 7, 15),
    (9, 5, 3, 16),
    (5, 4, 1, 17),
    (3, 7, 33, 31),
    (5, 40, 3, 70),
    (4, 3, 32, 64),
]


def distances(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> dict[str, float]:
    """The largest difference of each value, relative to its largest number where that is above 1."""
    scales = {name: float(value.abs().max().clamp(min=1)) for name, value in expected.items()}
    return {name: float((found[name] - value).abs().max()) / scales[name] for name, value in expected.items()}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize(("cell", "activation"), SERVED)
def test_values_and_gradients_are_those_of_rounded_factors(
    cell: str, activation: str, directions: int, shape: tuple[int, ...], problem: Any
) -> None:
    """Where a sum in float32 falls to the other side of a rounding, it is as far off as rounding makes it."""
    T, B, _, _ = shape
    lengths = [1 + (5 * row + 2) % T for row in range(B)]
    for n, options in enumerate(
        [{}, {"masked": True, "input_masked": True, "lengths": lengths}, {"rows": 5}]
    ):
        p = problem(cell, *shape, directions=directions, dtype=torch.float32, seed=n, **options)
        expected = p.double().solve(backend="reference", precision="bfloat16", activation=activation)
        whole = p.double().solve(backend="reference", activation=activation)
        found = p.solve(backend="cpu", precision="bfloat16", activation=activation)
        assert {value.dtype for value in found.values()} == {torch.float32}
        rounding = max(distances(whole, expected).values())
        for name, distance in distances(found, expected).items():
            assert distance < 2e-6 + 0.25 * rounding, name


@pytest.mark.parametrize("shape", SHAPES[:5], ids=str)
def test_whole_numbers_of_eight_bits_are_exact(shape: tuple[int, ...], problem: Any) -> None:
    """They need no rounding: all but the sums of gradients is the float32 kernels' to the last bit."""
    p = problem("simple_rnn", 2, *shape[1:], directions=2, dtype=torch.float32)
    generator = torch.Generator().manual_seed(0)
    for name, value in p.tensors.items():
        p.tensors[name] = torch.randint(-1, 2, value.shape, generator=generator).float()
    found, expected = (
        p.run(p.tensors, backend="cpu", precision=precision, activation="relu")
        for precision in ("bfloat16", "float32")
    )
    assert float(expected["outputs"].max()) < 256
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("cell", CELLS)
def test_any_number_of_shards_and_twice_the_same_bits(cell: str, problem: Any, dealt: Any) -> None:
    p = problem(
        cell, 6, 13, 5, 33, directions=2, lengths=[(5 * n) % 7 for n in range(13)], dtype=torch.float32
    )
    one = p.solve(backend="cpu", precision="bfloat16")
    for shards, threads in [(2, 2), (5, 3), (13, 2)]:
        with dealt(shards, threads):
            found = p.solve(backend="cpu", precision="bfloat16")
            assert max(distances(found, one).values()) < 2**-6
            for name, value in p.solve(backend="cpu", precision="bfloat16").items():
                assert torch.equal(value, found[name]), name


@pytest.mark.parametrize("cell", CELLS)
def test_padding_never_shows_and_nan_does(cell: str, problem: Any) -> None:
    lengths = [6, 1, 0, 4, 3]
    p = problem(cell, 6, 5, 3, 17, directions=2, lengths=lengths, dtype=torch.float32)
    clean = p.solve(backend="cpu", precision="bfloat16")
    padding = torch.arange(6)[:, None] >= torch.tensor(lengths)
    p.tensors["x"][padding] = float("nan")
    for name, value in p.solve(backend="cpu", precision="bfloat16").items():
        assert torch.equal(value, clean[name]), name
    p.tensors["x"][0, 0, 1] = float("nan")
    found = p.solve(backend="cpu", precision="bfloat16")["outputs"]
    assert found[:, 0].isnan().any()
    assert torch.equal(found[:, 1:], clean["outputs"][:, 1:])


def test_a_machine_without_them_says_so(problem: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from recurra.kernels import cpu

    monkeypatch.setattr(cpu, "host", lambda: host()._replace(bf16=None))
    p = problem("lstm", 4, 3, 2, 5, dtype=torch.float32)
    with pytest.raises(BackendError, match="'cpu' has no products of bfloat16 on this machine"):
        p.solve(backend="cpu", precision="bfloat16")
