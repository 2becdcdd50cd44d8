"""The CPU kernels inside torch: its graph of gradients, its compiler, its checks, threads, forks and DDP."""

from __future__ import annotations

import gc
import multiprocessing
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import nn

from recurra.cells.spec import Weights
from recurra.errors import BackendError
from recurra.kernels.dispatch import Call, Lookup, layer, recurrence, release_workspaces
from recurra.layers import GRU, LSTM, SimpleRNN

CELLS = ["simple_rnn", "lstm", "gru"]
LAYERS: dict[str, Callable[..., Any]] = {"simple_rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}


def float32(problem: Any, cell: str, *shape: int, **options: Any) -> Any:
    return problem(cell, *shape, dtype=torch.float32, **options)


def both_ways(values: Any, others: Any) -> None:
    for value, other in zip(values, others, strict=True):
        assert torch.equal(value, other)


def arguments(p: Any, mine: dict[str, torch.Tensor], *, sequences: bool = True) -> tuple[Any, ...]:
    """A problem as the arguments of ``recurra::recurrence``: those of both operators, and whether to save."""
    calls = p.calls(mine)
    first = calls[0]
    x, index = first.x if isinstance(first.x, Lookup) else (first.x, None)
    state = [part for call in calls for part in call.state or ()]
    weights = [part for call in calls for part in call.weights.values()]
    masks = [
        [m for call in calls if (m := getattr(call, name)) is not None]
        for name in ("input_mask", "recurrent_mask")
    ]
    return (x, index, p.lengths, state, weights, *masks, p.cell, False, False, False, sequences, 1, 1, True)


CHECKED = [
    {}, {"directions": 2, "masked": True, "input_masked": True, "lengths": [4, 0, 2]},
    {"rows": 6, "initial": False}, {"rows": 3, "directions": 2, "lengths": [4, 4, 1]},
]  # fmt: skip


@pytest.mark.usefixtures("blanked")  # whole tapes are compared, with what is never written to them
@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("options", CHECKED, ids=["plain", "both, masked", "table", "both, table"])
@pytest.mark.parametrize("cell", CELLS)
def test_torchs_own_checks_of_operators(
    cell: str, options: dict[str, Any], sequences: bool, problem: Any
) -> None:
    """Schema, shapes of stand-ins, gradients, and the way through the compiler's frontend."""
    from recurra.kernels.cpu import autograd, operators

    assert autograd  # which registers the gradients
    p = float32(problem, cell, 4, 3, 2, 5, **options)
    inputs = arguments(p, p.leaves(), sequences=sequences)
    torch.library.opcheck(operators.forward, inputs)
    values = [[part.detach() for part in each] if isinstance(each, list) else each for each in inputs]
    values[0] = values[0].detach()
    outputs, last, tape = operators.forward(*values)
    gradient = torch.randn(outputs.shape) if sequences else None
    given = (*values[:-1], outputs, tape, gradient, torch.randn(last.shape), True)
    torch.library.opcheck(operators.backward, given)


@pytest.mark.parametrize("cell", CELLS)
def test_one_layer_twice_in_one_graph(cell: str, problem: Any, same: Any) -> None:
    p = float32(problem, cell, 4, 3, 5, 5, initial=False)
    found = []
    for q, backend in ((p, "cpu"), (p.double(), "reference")):
        mine = q.leaves()
        first = q.run(mine, backend=backend)["outputs"]
        second = q.run(mine | {"x": first + mine["x"]}, backend=backend)
        gradients = torch.autograd.grad(q.loss(second | {"first": first}), list(mine.values()))
        found.append(dict(zip(mine, gradients, strict=True)))
    same(*found, 5e-6)


@pytest.mark.parametrize("cell", CELLS)
def test_a_second_way_back_through_one_graph_gives_the_same_bits(cell: str, problem: Any) -> None:
    p = float32(problem, cell, 4, 3, 2, 5, directions=2, lengths=[4, 1, 2])
    mine = p.leaves()
    loss = p.loss(p.run(mine, backend="cpu"))
    first = torch.autograd.grad(loss, list(mine.values()), retain_graph=True)
    p.run(mine, backend="cpu")  # another call in between may not use what is kept for the gradient
    both_ways(torch.autograd.grad(loss, list(mine.values())), first)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(loss, list(mine.values()))


@pytest.mark.parametrize("cell", CELLS)
def test_a_gradient_for_some_of_the_inputs(cell: str, problem: Any) -> None:
    for options in ({}, {"rows": 4}, {"directions": 2}):
        p = float32(problem, cell, 4, 3, 2, 5, **options)
        every = p.solve(backend="cpu")
        for name in p.tensors:
            mine = {key: value.clone() for key, value in p.tensors.items()}
            mine[name].requires_grad_()
            loss = p.loss(p.run(mine, backend="cpu"))
            loss.backward()
            assert torch.equal(mine[name].grad, every[f"d_{name}"]), name
            assert all(value.grad is None for key, value in mine.items() if key != name)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_of_some_of_the_outputs(cell: str, problem: Any, same: Any) -> None:
    p = float32(problem, cell, 4, 3, 2, 5, directions=2, lengths=[4, 2, 0])
    for number in range(2 if cell != "lstm" else 4):
        found = []
        for q, backend in ((p, "cpu"), (p.double(), "reference")):
            mine = q.leaves()
            part = q.run(mine, backend=backend)[f"last_{number}"]
            gradients = torch.autograd.grad(part.square().sum(), list(mine.values()), allow_unused=True)
            zeros = [torch.zeros_like(value) for value in mine.values()]
            gradients = [zero if one is None else one for one, zero in zip(gradients, zeros, strict=True)]
            found.append(dict(zip(mine, gradients, strict=True)))
        same(*found, 5e-6)


def test_gradients_of_any_layout_come_in(problem: Any) -> None:
    """A sum's gradient is one number, expanded; a transposed output's is transposed."""
    p = float32(problem, "lstm", 4, 3, 2, 5, directions=2)
    mine = p.leaves()
    outputs = p.run(mine, backend="cpu")["outputs"]
    ones = torch.ones_like(outputs)
    wide = torch.ones(4, 3, 20)[:, :, ::2]
    expected = torch.autograd.grad(outputs, list(mine.values()), ones, retain_graph=True)
    for gradient in (
        torch.ones(1).expand_as(outputs),
        ones.transpose(0, 2).contiguous().transpose(0, 2),
        wide,
    ):
        both_ways(torch.autograd.grad(outputs, list(mine.values()), gradient, retain_graph=True), expected)


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Of each forward call, whether it kept anything for a gradient."""
    from recurra.kernels.cpu import engine

    kept: list[bool] = []
    original = engine.run_forward

    def run(job: Any, h0: Any, c0: Any, outputs: Any, hn: Any, cn: Any, tape: Any, save: bool) -> None:
        assert save or tape.size == 0
        kept.append(save)
        original(job, h0, c0, outputs, hn, cn, tape, save)

    monkeypatch.setattr(engine, "run_forward", run)
    return kept


@pytest.mark.parametrize("cell", CELLS)
def test_what_needs_no_gradient_keeps_nothing_for_one(cell: str, problem: Any, saved: list[bool]) -> None:
    p = float32(problem, cell, 4, 3, 2, 5, directions=2)
    mine = p.leaves()
    expected = p.run(mine, backend="cpu")
    with torch.no_grad():
        without = p.run(mine, backend="cpu")
    with torch.inference_mode():
        inferred = p.run(mine, backend="cpu")
    plain = p.run(p.tensors, backend="cpu")
    with torch.no_grad():
        last = p.run(mine, backend="cpu", sequences=False)
    assert saved == [True, False, False, False, False]
    for found in (without, inferred, plain, last):
        for name, value in found.items():
            assert torch.equal(value, expected[name]), name
            assert value.grad_fn is None


@pytest.mark.parametrize("cell", CELLS)
def test_a_state_carried_from_call_to_call_makes_one_long_call(cell: str, problem: Any, same: Any) -> None:
    p = float32(problem, cell, 12, 3, 2, 5)
    names = [name for name in ("h0", "c0") if name in p.tensors]

    def in_parts(mine: dict[str, torch.Tensor], *, detach: bool) -> dict[str, torch.Tensor]:
        state = [mine[name] for name in names]
        outputs = []
        for x in mine["x"].split(4):
            found = p.run(mine | dict(zip(names, state, strict=True)) | {"x": x}, backend="cpu")
            outputs.append(found["outputs"])
            state = [found[f"last_{n}"].detach() if detach else found[f"last_{n}"] for n in range(len(names))]
        return {"outputs": torch.cat(outputs)} | {f"last_{n}": part for n, part in enumerate(state)}

    whole = p.double().solve(backend="reference")
    mine = p.leaves()
    found = in_parts(mine, detach=False)
    gradients = torch.autograd.grad(p.loss(found), list(mine.values()))
    same(found | {f"d_{name}": one for name, one in zip(mine, gradients, strict=True)}, whole, 5e-6)
    cut = in_parts(mine, detach=True)
    for name, value in cut.items():
        assert torch.equal(value, found[name])
    (gradient,) = torch.autograd.grad(cut["outputs"][4:8].sum(), mine["x"])
    assert gradient[4:8].abs().sum(dim=2).all()
    assert not gradient[:4].any()
    assert not gradient[8:].any()


@pytest.mark.parametrize("options", CHECKED, ids=["plain", "both, masked", "table", "both, table"])
@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("cell", CELLS)
def test_gradients_of_gradients(
    cell: str, sequences: bool, options: dict[str, Any], problem: Any, same: Any
) -> None:
    """The second and third derivatives by every input are those of the reference in float64."""
    p = float32(problem, cell, 4, 3, 2, 5, **options)
    solved = []
    for q, backend in ((p, "cpu"), (p.double(), "reference")):
        mine = q.leaves()
        value = q.loss(q.run(mine, backend=backend, sequences=sequences)).square()
        found = {}
        for order in range(3):
            gradients = torch.autograd.grad(value, list(mine.values()), create_graph=order < 2)
            found |= {f"{order} {name}": one.detach() for name, one in zip(mine, gradients, strict=True)}
            value = torch.stack([one.double().square().sum() for one in gradients]).sum()
        solved.append(found)
    same(*solved, 2e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_an_output_or_a_weight_changed_before_the_gradient_is_refused(cell: str, problem: Any) -> None:
    for name in ("outputs", "weight_hh", "x"):
        p = float32(problem, cell, 4, 3, 2, 5)
        mine = p.leaves()
        found = p.run(mine, backend="cpu")
        with torch.no_grad():
            (found | mine)[name].mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            p.loss({"last": found["last_0"]}).backward()


@pytest.fixture
def empty_shelf() -> Iterator[None]:
    gc.collect()
    release_workspaces()
    yield
    release_workspaces()


@pytest.mark.usefixtures("empty_shelf")
def test_memory_is_used_again_but_never_while_someone_holds_it(problem: Any) -> None:
    from recurra.kernels.cpu.workspace import held

    p = float32(problem, "lstm", 30, 40, 8, 32)
    mine = p.leaves()
    first = p.run(mine, backend="cpu")
    (gradient,) = torch.autograd.grad(p.loss(first), mine["x"], retain_graph=True)
    copies = first["outputs"].detach().clone(), gradient.clone()
    view = first["outputs"][3:5].detach()
    zeros = {name: torch.zeros_like(value) for name, value in mine.items()}
    memory = []
    for _ in range(4):
        other = p.run(zeros, backend="cpu")["outputs"]
        assert not other.any()
        assert other.data_ptr() != first["outputs"].data_ptr()
        del other
        memory.append(held())
    assert len(set(memory)) == 1
    assert torch.equal(first["outputs"], copies[0])
    assert torch.equal(gradient, copies[1])
    shelved = held()
    assert shelved > 0
    del first
    gc.collect()
    again = p.run(zeros, backend="cpu")
    assert torch.equal(view, copies[0][3:5])  # a view holds on to the whole
    del again, view, gradient
    gc.collect()
    assert held() > shelved
    release_workspaces()
    assert held() == 0


def test_several_threads_may_call_at_once(problem: Any, dealt: Any) -> None:
    problems = [
        float32(problem, cell, 20, 9, 8, 33, directions=2, seed=n) for n, cell in enumerate(CELLS * 2)
    ]
    with dealt(4, 2):
        expected = [p.solve(backend="cpu") for p in problems]
        wrong: list[str] = []
        start = threading.Barrier(len(problems))

        def work(n: int) -> None:
            start.wait()
            for _ in range(5):
                found = problems[n].solve(backend="cpu")
                wrong.extend(
                    name for name, value in expected[n].items() if not torch.equal(found[name], value)
                )

        workers = [threading.Thread(target=work, args=(n,)) for n in range(len(problems))]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
    assert not any(worker.is_alive() for worker in workers)
    assert wrong == []


def solve_in_child(p: Any, pipe: Any) -> None:
    pipe.send({name: value.numpy() for name, value in p.solve(backend="cpu").items()})


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="there is no fork")
@pytest.mark.parametrize("busy", [False, True])
def test_a_forked_child_computes_too(busy: bool, problem: Any, dealt: Any) -> None:
    """With the threads and the memory of its parent gone, or taken by another thread when it forked."""
    from recurra.kernels.cpu import workspace

    p = float32(problem, "gru", 20, 40, 8, 33)
    held, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        with workspace._lock:
            held.set()
            let_go.wait(60)

    other = threading.Thread(target=hold)
    with dealt(4, 2), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12's, of any fork beside threads
        expected = p.solve(backend="cpu")
        if busy:
            other.start()
            held.wait(60)
        context = multiprocessing.get_context("fork")
        here, there = context.Pipe()
        child = context.Process(target=solve_in_child, args=(p, there))
        child.start()
    let_go.set()
    try:
        assert here.poll(30), "the child is stuck"
        found = here.recv()
    finally:
        child.kill()
        child.join()
        if busy:
            other.join()
    for name, value in expected.items():
        assert torch.equal(torch.from_numpy(found[name]), value), name


def test_an_index_outside_its_table_is_refused() -> None:
    weights = Weights(weight_ih=torch.zeros(5, 3), weight_hh=torch.zeros(5, 5), bias_ih=torch.zeros(5))
    for wrong in (-1, 4):
        x = Lookup(torch.zeros(4, 3), torch.tensor([[0, wrong]]))
        with pytest.raises(IndexError, match=f"the index names row {wrong}, the table has 4"):
            recurrence("simple_rnn", x, None, None, weights, backend="cpu")


@pytest.mark.parametrize("cell", CELLS)
def test_float64_masks_with_gradients_and_other_activations_are_refused(cell: str, problem: Any) -> None:
    p = float32(problem, cell, 4, 3, 2, 5, masked=True)
    p.mask.requires_grad_()
    with pytest.raises(BackendError, match=r"'cpu' has no gradients of masks; use backend 'auto'"):
        p.solve(backend="cpu")
    with pytest.raises(BackendError, match=r"'cpu' has no float64 numbers"):
        p.double().solve(backend="cpu")
    p.mask = None
    with pytest.raises(BackendError, match=f"'cpu' has no custom activation in {cell}"):
        p.solve(backend="cpu", activation=torch.sin)
    if cell == "lstm":
        with pytest.raises(BackendError, match="'cpu' has no relu in lstm"):
            p.solve(backend="cpu", activation="relu")


@pytest.mark.parametrize("cell", CELLS)
def test_training_goes_the_reference_s_way_step_by_step(cell: str) -> None:
    """Losses and weights of a small tagger after each of 25 steps, with and without the kernels."""
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(9, 11, 4, generator=generator)
    lengths = torch.randint(1, 12, (9,), generator=generator)
    target = (x.cumsum(1).sum(2) > 0).float()
    courses: dict[str, list[torch.Tensor]] = {}
    for backend in ("cpu", "reference"):
        torch.manual_seed(1)
        recurrent = LAYERS[cell](4, [16, 7], bidirectional=True, backend=backend)
        head = nn.Linear(14, 1)
        parameters = [*recurrent.parameters(), *head.parameters()]
        optimizer = torch.optim.SGD(parameters, lr=0.3, momentum=0.5)
        course = courses[backend] = []
        for _ in range(25):
            outputs, _ = recurrent(x, lengths)
            loss = nn.functional.binary_cross_entropy_with_logits(head(outputs).squeeze(2), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            course += [loss.detach(), *(parameter.detach().clone() for parameter in parameters)]
    for found, expected in zip(courses["cpu"], courses["reference"], strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    step = len(courses["cpu"]) // 25
    assert courses["cpu"][-step] < courses["cpu"][0]


def test_two_directions_are_one_call_of_the_kernels(problem: Any, saved: list[bool]) -> None:
    p = float32(problem, "gru", 4, 3, 2, 5, directions=2)
    calls: list[Call] = p.calls(p.tensors)
    layer(calls, backend="cpu")
    assert saved == [False]
