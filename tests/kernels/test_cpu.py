"""The CPU kernels give the reference's outputs, last states and gradients, computed in float64, by name.

Their memory is full of NaN before they write to it: a number that was never written shows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from recurra.kernels.cpu import engine

pytestmark = pytest.mark.usefixtures("poisoned")

CELLS = ["simple_rnn", "lstm", "gru"]
SERVED = [(cell, "tanh") for cell in CELLS] + [("simple_rnn", "relu"), ("gru", "relu")]
READING: dict[str, dict[str, Any]] = {
    "forwards": {"directions": 1, "reverse": False},
    "backwards": {"directions": 1, "reverse": True},
    "both": {"directions": 2, "reverse": False},
}
# around whole vectors and tiles, and as odd as they come
SHAPES = [(1, 1, 1, 1), (2, 13, 7, 15), (9, 5, 3, 16), (5, 4, 1, 17), (7, 3, 33, 1), (6, 7, 16, 33)]
# of float32, relative to the largest value of each tensor
TOLERANCE = 2e-6


def solve(p: Any, *, reading: str = "forwards", **options: Any) -> dict[str, torch.Tensor]:
    """By the CPU kernels; everything is float32."""
    found = p.solve(backend="cpu", reverse=READING[reading]["reverse"], **options)
    assert {value.dtype for value in found.values()} == {torch.float32}
    return found


def loops(p: Any, *, reading: str = "forwards", **options: Any) -> dict[str, torch.Tensor]:
    return p.solve(backend="reference", reverse=READING[reading]["reverse"], **options)


def truth(p: Any, **options: Any) -> tuple[dict[str, torch.Tensor], float]:
    """The reference's values in float64, and how near them float32 must come.

    Where a gradient grows over the steps it takes rounding with it: the reference's own loops in float32 show
    how much. They add up the gradient of a weight in pairs. A sum of n numbers one after another is off by
    about sqrt(n) halves of the last bit (Higham, Accuracy and Stability of Numerical Algorithms, 4.2).
    """
    expected = loops(p.double(), **options)
    rounding = 0.0
    for name, value in loops(p, **options).items():
        if value.numel():
            scale = float(expected[name].abs().max().clamp(min=1))
            rounding = max(rounding, float((value - expected[name]).abs().max()) / scale)
    steps = expected["outputs"].shape[:2].numel() if "outputs" in expected else 0
    return expected, TOLERANCE + 3 * rounding + 2**-24 * steps**0.5


@pytest.fixture
def agree(same: Any) -> Callable[..., None]:
    """The kernels' values are the true ones."""

    def check(p: Any, **options: Any) -> None:
        same(solve(p, **options), *truth(p, **options))

    return check


@pytest.fixture
def make(problem: Any) -> Callable[..., Any]:
    """A float32 problem; the reading direction by name."""

    def build(cell: str, *shape: int, reading: str = "forwards", **options: Any) -> Any:
        directions = READING[reading]["directions"]
        return problem(cell, *shape, directions=directions, dtype=torch.float32, **options)

    return build


def kinds_of_lengths(T: int, B: int) -> dict[str, list[int] | None]:
    return {
        "none": None,
        "ragged": [1 + (5 * row + 2) % T for row in range(B)],
        "with zeros": [(5 * row) % (T + 1) for row in range(B)],
        "all equal": [max(T - 1, 1)] * B,
    }


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("reading", READING)
@pytest.mark.parametrize(("cell", "activation"), SERVED)
def test_outputs_states_and_every_gradient_equal_the_reference(
    cell: str, activation: str, reading: str, shape: tuple[int, ...], make: Any, agree: Any
) -> None:
    for seed, lengths in enumerate(kinds_of_lengths(*shape[:2]).values()):
        for initial, masked, input_masked in [(False, False, True), (True, True, False), (True, False, True)]:
            p = make(
                cell, *shape, reading=reading, lengths=lengths, initial=initial, masked=masked,
                input_masked=input_masked, seed=seed,
            )  # fmt: skip
            options = {"reading": reading, "activation": activation}
            agree(p, **options)


@pytest.fixture(params=["each place", "distinct tokens"])
def tokens_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether products are computed for each place of a token, or once for each distinct one."""
    always = request.param == "distinct tokens"
    monkeypatch.setattr(engine, "LEAST_WORK", 0.0 if always else math.inf)
    monkeypatch.setattr(engine, "FEW_REPEATS", 2.0)


@pytest.mark.usefixtures("tokens_once")
@pytest.mark.parametrize("lengths", ["none", "with zeros"])
@pytest.mark.parametrize("reading", READING)
@pytest.mark.parametrize("cell", CELLS)
def test_rows_of_a_table_are_read_where_they_lie(
    cell: str, reading: str, lengths: str, make: Any, agree: Any
) -> None:
    """Some rows of the table are named often and some never; the index may lie in memory in any way."""
    T, B = 6, 7
    for rows, input_masked in [(1, True), (5, False), (90, True)]:
        p = make(
            cell, T, B, 3, 17, reading=reading, rows=rows, lengths=kinds_of_lengths(T, B)[lengths],
            input_masked=input_masked, masked=input_masked,
        )  # fmt: skip
        spread = torch.stack([p.index, p.index], dim=2)[:, :, 0]
        for index in (p.index, p.index.t().contiguous().t(), p.index[:1].expand(T, B), spread):
            p.index = index
            agree(p, reading=reading)


VIEWS: dict[str, tuple[tuple[int, ...], Callable[[torch.Tensor], torch.Tensor]]] = {
    "batch first": ((5, 6, 3), lambda x: x.transpose(0, 1)),
    "features first": ((3, 6, 5), lambda x: x.permute(1, 2, 0)),
    "every second feature": ((6, 5, 6), lambda x: x[:, :, ::2]),
    "part of a wider tensor": ((9, 8, 7), lambda x: x[2:8, 1:6, 3:6]),
    "one row for all": ((6, 1, 3), lambda x: x.expand(6, 5, 3)),
    "one step for all": ((1, 5, 3), lambda x: x.expand(6, 5, 3)),
    "one number for all": ((1, 1, 1), lambda x: x.expand(6, 5, 3)),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("cell", CELLS)
def test_inputs_may_lie_in_memory_in_any_way(cell: str, view: str, make: Any, agree: Any) -> None:
    shape, function = VIEWS[view]
    for lengths in (None, [6, 1, 0, 4, 3]):
        p = make(cell, 6, 5, 3, 5, lengths=lengths, reading="both")
        p.tensors["x"] = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        p.view = function
        agree(p, reading="both")


@pytest.mark.parametrize("cell", CELLS)
def test_one_feature_may_have_any_stride(cell: str, make: Any, agree: Any) -> None:
    p = make(cell, 4, 3, 1, 5)
    p.tensors["x"] = torch.randn(4, 3, 7, generator=torch.Generator().manual_seed(2))
    p.view = lambda x: x[:, :, 3:4]
    agree(p)


@pytest.mark.parametrize("cell", CELLS)
def test_states_weights_and_masks_may_lie_in_memory_in_any_way(cell: str, make: Any, same: Any) -> None:
    p = make(cell, 4, 3, 5, 5, masked=True, input_masked=True)
    expected = truth(p)
    for name in p.tensors:
        if p.tensors[name].dim() == 2:
            p.tensors[name] = p.tensors[name].t().contiguous().t()
    p.mask, p.input_mask = (mask.t().contiguous().t() for mask in (p.mask, p.input_mask))
    same(solve(p), *expected)


@pytest.mark.parametrize("cell", CELLS)
def test_a_state_or_a_mask_of_one_direction_alone(cell: str, make: Any, agree: Any) -> None:
    for end in ("", "_reverse"):
        p = make(cell, 4, 3, 2, 5, reading="both", masked=True, input_masked=True, lengths=[4, 2, 0])
        names = [
            name for name in p.tensors if name[:2] in ("h0", "c0") and name.endswith("_reverse") == bool(end)
        ]
        for name in names:
            del p.tensors[name]
        p = replace(p, **{f"mask{end}": None, f"input_mask{end}": None})
        agree(p, reading="both")


@pytest.mark.parametrize("reading", READING)
@pytest.mark.parametrize("cell", CELLS)
def test_the_last_states_alone(cell: str, reading: str, make: Any, agree: Any) -> None:
    for rows in (None, 4):
        p = make(cell, 5, 4, 3, 17, reading=reading, rows=rows, lengths=[5, 2, 0, 3])
        options = {"reading": reading, "sequences": False}
        agree(p, **options)


def test_many_tokens_of_few_kinds_are_multiplied_once(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    multiplied: list[int] = []
    products = engine.products

    def seen(table: Any, found: Any, *rest: Any) -> Any:
        multiplied.append(len(found.rows))
        return products(table, found, *rest)

    monkeypatch.setattr(engine, "products", seen)
    solve(make("lstm", 60, 32, 20, 40, rows=300))
    assert multiplied
    assert multiplied[0] <= 300
    multiplied.clear()
    solve(make("lstm", 60, 32, 20, 40, rows=300, input_masked=True))
    solve(make("lstm", 2, 32, 20, 40, rows=3000))  # hardly any is repeated
    assert not multiplied


@pytest.mark.usefixtures("tokens_once")
@pytest.mark.parametrize("cell", CELLS)
def test_a_batch_of_any_size_is_dealt_to_any_number_of_shards(
    cell: str, make: Any, same: Any, dealt: Any
) -> None:
    for B in range(1, 14):
        lengths = [None, [(7 * row + B) % 6 for row in range(B)]][B % 2]
        for rows in (None, 6):
            p = make(cell, 5, B, 2, 5, reading="both", lengths=lengths, rows=rows, masked=B > 6)
            expected = truth(p, reading="both")
            for shards, threads in [(1, 1), (2, 2), (3, 1), (5, 3), (13, 4)]:
                with dealt(shards, threads):
                    same(solve(p, reading="both"), *expected)


@pytest.mark.parametrize("reading", READING)
@pytest.mark.parametrize(("cell", "shape"), [
    *((cell, (300, 13, 3, 17)) for cell in CELLS),  # more steps than a chunk has, a tape past the cache
    *((cell, (5, 300, 2, 3)) for cell in CELLS),  # more rows than a chunk has otherwise: one step each
    ("lstm", (3, 55, 4, 600)), ("gru", (3, 50, 4, 900)),  # gates that fill a chunk with a step
], ids=str)  # fmt: skip
def test_many_chunks_and_chunks_of_one_step(
    cell: str, shape: tuple[int, ...], reading: str, make: Any, agree: Any
) -> None:
    T, B, _, H = shape
    if H > 100 and reading == "forwards":
        pytest.skip("the other two cover it")
    for lengths in (None, [(97 * row + 5) % (T + 1) for row in range(B)]):
        p = make(cell, *shape, reading=reading, lengths=lengths, initial=False)
        agree(p, reading=reading)


@settings(max_examples=60)
@given(data=st.data())
def test_any_problem_gives_the_same(data: st.DataObject, problem: Any, same: Any, dealt: Any) -> None:
    cell, activation = data.draw(st.sampled_from(SERVED), label="cell")
    reading = data.draw(st.sampled_from(sorted(READING)), label="reading")
    T, B, E, H = (
        data.draw(st.integers(1, most), label=name)
        for name, most in zip("TBEH", (9, 13, 20, 40), strict=True)
    )
    yes = st.booleans()
    p = problem(
        cell, T, B, E, H,
        lengths=data.draw(st.none() | st.lists(st.integers(0, T), min_size=B, max_size=B), label="lengths"),
        initial=data.draw(yes, label="initial"),
        masked=data.draw(yes, label="masked"),
        input_masked=data.draw(yes, label="input_masked"),
        rows=data.draw(st.none() | st.integers(1, 9), label="rows"),
        directions=READING[reading]["directions"],
        dtype=torch.float32,
        seed=data.draw(st.integers(0, 99), label="seed"),
    )  # fmt: skip
    sequences = data.draw(yes, label="sequences")
    nearest = 1.0

    def relu(sums: torch.Tensor) -> torch.Tensor:
        nonlocal nearest
        nearest = min(nearest, float(sums.detach().abs().min()))
        return torch.relu(sums)

    options = {"reading": reading, "sequences": sequences}
    expected = truth(p, activation=relu if activation == "relu" else activation, **options)
    # on which side of relu's corner a sum falls is a matter of rounding
    assume(nearest > 1e-5)
    with dealt(data.draw(st.integers(1, B), label="shards"), data.draw(st.integers(1, 3), label="threads")):
        same(solve(p, activation=activation, **options), *expected)


@pytest.mark.parametrize("reading", READING)
@pytest.mark.parametrize("cell", CELLS)
def test_what_stands_in_the_padding_never_shows(cell: str, reading: str, make: Any) -> None:
    """Neither a NaN in the input past a row's length nor one in the gradient of the outputs there."""
    lengths = [6, 1, 0, 4, 3]
    p = make(cell, 6, 5, 3, 17, reading=reading, lengths=lengths)
    clean = solve(p, reading=reading)
    padding = torch.arange(6)[:, None] >= torch.tensor(lengths)
    for filling in (float("nan"), float("inf"), -float("inf"), 3e38):
        p.tensors["x"][padding] = filling
        found = solve(p, reading=reading)
        for name, value in clean.items():
            assert torch.equal(found[name], value), name
        assert not found["outputs"][padding].any()
        assert not found["d_x"][padding].any()
    mine = p.leaves()
    outputs = p.run(mine, backend="cpu", reverse=READING[reading]["reverse"])["outputs"]
    gradient = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(3))
    expected = torch.autograd.grad(outputs, list(mine.values()), gradient, retain_graph=True)
    gradient[padding] = float("nan")
    for name, value, other in zip(
        mine, torch.autograd.grad(outputs, list(mine.values()), gradient), expected, strict=True
    ):
        assert torch.equal(value, other), name


@pytest.mark.parametrize("reading", READING)
@pytest.mark.parametrize("cell", CELLS)
def test_a_batch_padded_further_gives_the_same_bits(cell: str, reading: str, make: Any) -> None:
    p = make(cell, 6, 5, 3, 17, reading=reading, lengths=[6, 1, 0, 4, 3])
    mine = p.leaves()
    short = p.run(mine, backend="cpu", reverse=READING[reading]["reverse"])
    longer = mine | {"x": torch.cat([mine["x"], torch.full((9, 5, 3), float("nan"))])}
    long = p.run(longer, backend="cpu", reverse=READING[reading]["reverse"])
    assert not long["outputs"][6:].any()
    long["outputs"] = long["outputs"][:6]
    for name, value in short.items():
        assert torch.equal(long[name], value), name
    gradients = [torch.autograd.grad(p.loss(found), list(mine.values())) for found in (short, long)]
    for name, one, other in zip(mine, *gradients, strict=True):
        assert torch.equal(one, other), name


@pytest.mark.parametrize("cell", CELLS)
def test_the_same_call_gives_the_same_bits(cell: str, make: Any, dealt: Any) -> None:
    for rows in (None, 5):
        p = make(
            cell, 30, 12, 5, 33, reading="both", rows=rows, lengths=[(7 * row) % 31 for row in range(12)]
        )
        for shards, threads in [(1, 1), (2, 2), (6, 3)]:
            with dealt(shards, threads):
                first = solve(p, reading="both")
                for _ in range(4):
                    for name, value in solve(p, reading="both").items():
                        assert torch.equal(value, first[name]), name
            with dealt(shards, 1):  # shards, not threads, settle the order of sums
                for name, value in solve(p, reading="both").items():
                    assert torch.equal(value, first[name]), name


@pytest.mark.parametrize("cell", CELLS)
def test_a_row_is_the_same_alone_and_in_any_batch_but_for_rounding(cell: str, make: Any) -> None:
    p = make(cell, 12, 9, 5, 33, lengths=[12, 3, 9, 0, 12, 1, 7, 8, 5])
    together = p.run(p.tensors, backend="cpu")
    for row in range(9):
        start = {name: value[row : row + 1] for name, value in p.tensors.items() if name in ("h0", "c0")}
        one = p.tensors | start | {"x": p.tensors["x"][:, row : row + 1]}
        alone = replace(p, lengths=p.lengths[row : row + 1]).run(one, backend="cpu")
        for name, value in alone.items():
            part = together[name][:, row] if name == "outputs" else together[name][row]
            torch.testing.assert_close(value.squeeze(1 if name == "outputs" else 0), part, rtol=0, atol=1e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_an_empty_batch(cell: str, make: Any) -> None:
    for lengths in (None, []):
        p = make(cell, 4, 0, 3, 5, lengths=lengths, reading="both")
        found = solve(p, reading="both")
        assert found["outputs"].shape == (4, 0, 10)
        assert all(not value.any() for value in found.values())
