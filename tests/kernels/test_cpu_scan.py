"""The CPU kernel of scans gives the reference's outputs, last states and gradients, computed in float64.

Its memory is full of NaN before it writes to it: a number that was never written shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra.cells import cell_named
from recurra.errors import BackendError
from recurra.kernels.cpu.scan_layout import CODES
from recurra.kernels.dispatch import Lookup, recurrence
from recurra.layers import Recurrent

pytestmark = pytest.mark.usefixtures("poisoned")

CELLS = list(CODES)
SMOOTH = [(cell, name) for cell in CELLS for name in cell_named(cell).activations if name != "relu"]
READING: dict[str, dict[str, Any]] = {
    "forwards": {"directions": 1, "reverse": False},
    "backwards": {"directions": 1, "reverse": True},
    "both": {"directions": 2, "reverse": False},
}
SHAPES = [(1, 1, 1, 1), (9, 5, 16, 16), (6, 7, 3, 17)]
# of float32, relative to the largest value of each tensor
TOLERANCE = 2e-6


def problem_of(make: Any, cell: str, *shape: int, reading: str = "forwards", **options: Any) -> Any:
    return make(cell, *shape, directions=READING[reading]["directions"], dtype=torch.float32, **options)


def solve(p: Any, backend: str = "cpu", *, reading: str = "forwards", **options: Any) -> dict[str, Any]:
    options.setdefault("activation", cell_named(p.cell).activation)
    solved: dict[str, Any] = p.solve(backend=backend, reverse=READING[reading]["reverse"], **options)
    return solved


def truth(p: Any, **options: Any) -> tuple[dict[str, Any], float]:
    """The reference's values in float64, and how near them float32 must come, by its own rounding."""
    expected = solve(p.double(), "reference", **options)
    rounding = [
        float((value - expected[name]).abs().max() / expected[name].abs().max().clamp(min=1))
        for name, value in solve(p, "reference", **options).items()
        if value.numel()
    ]
    return expected, TOLERANCE + 3 * max(rounding)


def states_of(p: Any) -> list[str]:
    return [name for name in p.tensors if name.removesuffix("_reverse") in initial_names(p.cell)]


def initial_names(cell: str) -> list[str]:
    return [f"{part}0" for part in cell_named(cell).state]


@pytest.fixture
def agree(same: Any) -> Callable[..., None]:
    def check(p: Any, **options: Any) -> None:
        same(solve(p, **options), *truth(p, **options))

    return check


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("reading", READING)
@pytest.mark.parametrize(("cell", "activation"), SMOOTH)
def test_outputs_states_and_every_gradient_equal_the_reference(
    cell: str, activation: str, reading: str, shape: tuple[int, ...], problem: Any, agree: Any
) -> None:
    T, B, _, _ = shape
    for seed, lengths in enumerate([None, [(5 * row) % (T + 1) for row in range(B)]]):
        for rows, initial, input_masked in [(None, True, False), (5, False, False), (3, True, True)]:
            p = problem_of(
                problem, cell, *shape, reading=reading, lengths=lengths, initial=initial, rows=rows,
                input_masked=input_masked, seed=seed,
            )  # fmt: skip
            agree(p, reading=reading, activation=activation)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_problem_gives_the_same(data: st.DataObject, problem: Any, same: Any, dealt: Any) -> None:
    cell, activation = data.draw(st.sampled_from(SMOOTH), label="cell")
    reading = data.draw(st.sampled_from(sorted(READING)), label="reading")
    sizes = [
        data.draw(st.integers(1, most), label=name)
        for name, most in zip("TBEH", (9, 13, 20, 40), strict=True)
    ]
    B, yes = sizes[1], st.booleans()
    p = problem_of(
        problem, cell, *sizes, reading=reading,
        lengths=data.draw(st.none() | st.lists(st.integers(0, sizes[0]), min_size=B, max_size=B)),
        initial=data.draw(yes, label="initial"), input_masked=data.draw(yes, label="input_masked"),
        rows=data.draw(st.none() | st.integers(1, 9), label="rows"), seed=data.draw(st.integers(0, 99)),
    )  # fmt: skip
    options = {"reading": reading, "activation": activation, "sequences": data.draw(yes, label="sequences")}
    expected = truth(p, **options)
    with dealt(data.draw(st.integers(1, B), label="shards"), data.draw(st.integers(1, 3), label="threads")):
        same(solve(p, **options), *expected)


@pytest.mark.parametrize("cell", CELLS)
def test_relu_where_no_sum_is_near_its_corner(cell: str, problem: Any, agree: Any) -> None:
    if "relu" in cell_named(cell).activations:
        agree(
            problem_of(problem, cell, 5, 4, 3, 17, reading="both", seed=1), reading="both", activation="relu"
        )


VIEWS: dict[str, tuple[tuple[int, ...], Callable[[torch.Tensor], torch.Tensor]]] = {
    "batch first": ((5, 6, 3), lambda x: x.transpose(0, 1)),
    "features first": ((3, 6, 5), lambda x: x.permute(1, 2, 0)),
    "part of a wider tensor": ((9, 8, 7), lambda x: x[2:8, 1:6, 3:6]),
    "one number for all": ((1, 1, 1), lambda x: x.expand(6, 5, 3)),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("cell", CELLS)
def test_inputs_and_indices_may_lie_in_memory_in_any_way(
    cell: str, view: str, problem: Any, agree: Any
) -> None:
    shape, function = VIEWS[view]
    for lengths in (None, [6, 1, 0, 4, 3]):
        p = problem_of(problem, cell, 6, 5, 3, 5, lengths=lengths, reading="both")
        p.tensors["x"] = torch.randn(shape, generator=torch.Generator().manual_seed(1))
        p.view = function
        agree(p, reading="both")
        p = problem_of(problem, cell, 6, 5, 3, 5, lengths=lengths, reading="both", rows=4)
        p.index = torch.stack([p.index, p.index], dim=2)[:, :, 0]
        agree(p, reading="both")


@pytest.mark.parametrize("cell", CELLS)
def test_a_state_or_a_mask_of_one_direction_alone(cell: str, problem: Any, agree: Any) -> None:
    for end in ("", "_reverse"):
        p = problem_of(problem, cell, 4, 3, 2, 5, reading="both", input_masked=True, lengths=[4, 2, 0])
        for name in [name for name in states_of(p) if name.endswith("_reverse") == bool(end)]:
            del p.tensors[name]
        agree(replace(p, **{f"input_mask{end}": None}), reading="both")


@pytest.mark.parametrize("reading", READING)
@pytest.mark.parametrize("cell", CELLS)
def test_what_stands_in_the_padding_never_shows(cell: str, reading: str, problem: Any) -> None:
    """Neither in the input past a row's length nor in the gradient of the outputs there."""
    lengths = [6, 1, 0, 4, 3]
    p = problem_of(
        problem, cell, 6, 5, 3, 17, reading=reading, lengths=lengths, input_masked=reading == "both"
    )
    clean = solve(p, reading=reading)
    padding = torch.arange(6)[:, None] >= torch.tensor(lengths)
    for filling in (float("nan"), float("inf"), 3e38):
        p.tensors["x"][padding] = filling
        found = solve(p, reading=reading)
        for name, value in clean.items():
            assert torch.equal(found[name], value), name
        assert not found["outputs"][padding].any()
        assert not found["d_x"][padding].any()
    mine, options = p.leaves(), {"reverse": READING[reading]["reverse"], "backend": "cpu"}
    outputs = p.run(mine, **options)["outputs"]
    longer = p.run(mine | {"x": torch.cat([mine["x"], torch.full((9, 5, 3), float("nan"))])}, **options)
    assert not longer["outputs"][6:].any()
    assert torch.equal(longer["outputs"][:6], outputs)
    gradient = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(3))
    for each in (outputs, longer["outputs"][:6]):
        expected = torch.autograd.grad(
            outputs, list(mine.values()), gradient, retain_graph=True, materialize_grads=True
        )
        found = torch.autograd.grad(
            each, list(mine.values()), gradient.masked_fill(padding[:, :, None], float("nan")),
            retain_graph=True, materialize_grads=True,
        )  # fmt: skip
        for name, value, other in zip(mine, found, expected, strict=True):
            assert torch.equal(value, other), name


@pytest.mark.parametrize("cell", CELLS)
def test_the_same_shards_give_the_same_bits(cell: str, problem: Any, dealt: Any) -> None:
    for rows in (None, 5):
        p = problem_of(
            problem, cell, 30, 12, 5, 33, reading="both", rows=rows,
            lengths=[(7 * row) % 31 for row in range(12)],
        )  # fmt: skip
        for shards in (1, 2, 6):
            with dealt(shards, 1):
                first = solve(p, reading="both")
            with dealt(shards, 3):
                for name, value in solve(p, reading="both").items():
                    assert torch.equal(value, first[name]), name


@pytest.mark.parametrize("rows", [None, 6])
@pytest.mark.parametrize("cell", CELLS)
def test_a_state_carried_from_call_to_call_makes_one_long_call(
    cell: str, rows: int | None, problem: Any, same: Any
) -> None:
    p = problem_of(problem, cell, 12, 3, 2, 5, rows=rows)
    names, activation = initial_names(cell), cell_named(cell).activation
    mine, outputs = p.leaves(), []
    state = [mine[name] for name in names]
    for begin in (0, 1, 5, 8):
        stop = {0: 1, 1: 5, 5: 8, 8: 12}[begin]
        part = replace(p, index=None if rows is None else p.index[begin:stop])
        x = mine["x"] if rows else mine["x"][begin:stop]
        found = part.run(
            mine | dict(zip(names, state, strict=True)) | {"x": x}, backend="cpu", activation=activation
        )
        outputs.append(found["outputs"])
        state = [found[f"last_{n}"] for n in range(len(names))]
    found = {"outputs": torch.cat(outputs)} | {f"last_{n}": part for n, part in enumerate(state)}
    gradients = torch.autograd.grad(p.loss(found), list(mine.values()), materialize_grads=True)
    found |= {f"d_{name}": one for name, one in zip(mine, gradients, strict=True)}
    same(found, solve(p.double(), "reference"), 5e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_an_empty_batch(cell: str, problem: Any, same: Any) -> None:
    for lengths in (None, []):
        p = problem_of(problem, cell, 4, 0, 3, 5, lengths=lengths, reading="both")
        same(solve(p, reading="both"), solve(p, "reference", reading="both"), 0)


@pytest.mark.parametrize("cell", CELLS)
def test_numbers_far_out_saturate_as_in_the_reference(cell: str, problem: Any, same: Any) -> None:
    for size in (20.0, 90.0, 200.0, 1e4):
        p = problem_of(problem, cell, 5, 4, 3, 17)
        p.tensors["x"] *= size
        found, (expected, tolerance) = solve(p), truth(p)
        names = ("outputs", "last_0")
        same({name: found[name] for name in names}, {name: expected[name] for name in names}, tolerance)
        for name, value in found.items():
            assert value.isfinite().all(), name


@pytest.mark.parametrize("cell", CELLS)
def test_a_nan_stays_in_its_row(cell: str, problem: Any) -> None:
    p = problem_of(problem, cell, 5, 4, 3, 17, lengths=[5, 3, 4, 5])
    clean = solve(p)
    p.tensors["x"][1, 2] = float("nan")
    found = solve(p)
    assert torch.equal(found["outputs"][:, [0, 1, 3]], clean["outputs"][:, [0, 1, 3]])
    assert found["outputs"][1:4, 2].isnan().all()


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_twice_and_of_gradients(cell: str, problem: Any) -> None:
    p = problem_of(problem, cell, 4, 3, 2, 5)
    mine = p.leaves()
    loss = p.loss(p.run(mine, backend="cpu"))
    first = torch.autograd.grad(loss, mine["x"], retain_graph=True)[0]
    p.run(mine, backend="cpu")  # another call in between may not use what is kept for the gradient
    assert torch.equal(torch.autograd.grad(loss, mine["x"], retain_graph=True)[0], first)
    (gradient,) = torch.autograd.grad(loss, mine["x"], create_graph=True)
    assert torch.equal(gradient, first)
    with pytest.raises(BackendError, match="'cpu' has no gradients of gradients; use backend 'reference'"):
        gradient.square().sum().backward()
    with torch.no_grad():
        again = p.run(mine, backend="cpu")
    assert torch.equal(again["outputs"], p.run(mine, backend="cpu")["outputs"])
    assert again["outputs"].grad_fn is None


@pytest.mark.parametrize("cell", CELLS)
def test_what_it_can_not_do_it_says(cell: str, problem: Any) -> None:
    p = problem_of(problem, cell, 4, 3, 2, 5)
    with pytest.raises(BackendError, match="'cpu' has no float64 numbers"):
        solve(p.double())
    with pytest.raises(BackendError, match=f"'cpu' has no custom activation in {cell}"):
        solve(p, activation=torch.sin)
    call = p.calls(p.tensors)[0]
    for wrong in (-1, 4):
        x = Lookup(torch.zeros(4, 2), torch.tensor([[0, wrong]]))
        with pytest.raises(IndexError, match=f"the index names row {wrong}, the table has 4"):
            recurrence(cell, x, None, None, call.weights, backend="cpu")


@pytest.mark.parametrize("cell", CELLS)
def test_training_goes_the_reference_s_way_step_by_step(cell: str) -> None:
    """Losses and weights of a small tagger after each of 15 steps, with and without the kernel."""
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(9, 11, 4, generator=generator)
    lengths = torch.randint(1, 12, (9,), generator=generator)
    target = (x.cumsum(1).sum(2) > 0).float()
    courses: dict[str, list[torch.Tensor]] = {}
    for backend in ("cpu", "reference"):
        torch.manual_seed(1)
        recurrent = Recurrent(4, [16, 7], cell=cell, bidirectional=True, backend=backend)
        head = torch.nn.Linear(14, 1)
        parameters = [*recurrent.parameters(), *head.parameters()]
        optimizer = torch.optim.SGD(parameters, lr=0.3, momentum=0.5)
        course = courses[backend] = []
        for _ in range(15):
            outputs, _ = recurrent(x, lengths)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(head(outputs).squeeze(2), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            course += [loss.detach(), *(parameter.detach().clone() for parameter in parameters)]
    for found, expected in zip(courses["cpu"], courses["reference"], strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
