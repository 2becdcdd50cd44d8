"""Every backend gives the reference's outputs, states and gradients; what one can't do, it says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from recurra import cells
from recurra.cells import cell_named
from recurra.cells.spec import Weights
from recurra.errors import BackendError
from recurra.kernels import cpu, reference, torch_native
from recurra.kernels.dispatch import layer
from recurra.kernels.terms import Call
from recurra.layers import Recurrent

CELLS = ["simple_rnn", "lstm", "gru"]
SERVED = [(cell, "tanh") for cell in CELLS] + [("simple_rnn", "relu")]
SHAPES = [(1, 1, 1, 1), (1, 3, 7, 3), (7, 3, 3, 7), (3, 7, 1, 1), (17, 5, 7, 3)]
# float32 on the CPU runs oneDNN's LSTM, float64 ATen's: two kernels, both to be right
DTYPES = [(torch.float64, 1e-12), (torch.float32, 5e-6)]


@pytest.mark.parametrize(("dtype", "tolerance"), DTYPES, ids=["float64", "float32"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(("cell", "activation"), SERVED)
@pytest.mark.parametrize("shape", SHAPES)
def test_torch_equals_the_reference(
    cell: str,
    activation: str,
    shape: tuple[int, ...],
    reverse: bool,
    dtype: torch.dtype,
    tolerance: float,
    problem: Any,
    same: Any,
) -> None:
    T, B, _, _ = shape
    for lengths in [None, [(5 * row + 3) % (T + 1) for row in range(B)], [max(T - 1, 0)] * B]:
        for initial in (False, True):
            p = problem(cell, *shape, lengths=lengths, initial=initial, dtype=dtype)
            options = {"activation": activation, "reverse": reverse}
            same(p.solve(backend="torch", **options), p.solve(backend="reference", **options), tolerance)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_any_problem_gives_the_same_by_every_backend(data: st.DataObject, problem: Any, same: Any) -> None:
    cell, activation = data.draw(st.sampled_from(SERVED))
    T, B, E, H = (
        data.draw(st.integers(1, most), label=name) for name, most in zip("TBEH", (9, 5, 4, 4), strict=True)
    )
    lengths = data.draw(st.none() | st.lists(st.integers(0, T), min_size=B, max_size=B))
    initial, reverse = data.draw(st.booleans()), data.draw(st.booleans())
    p = problem(cell, T, B, E, H, lengths=lengths, initial=initial, seed=data.draw(st.integers(0, 99)))
    options = {"activation": activation, "reverse": reverse}
    expected = p.solve(backend="reference", **options)
    for backend in ("torch", "auto"):
        same(p.solve(backend=backend, **options), expected, 1e-12)


@pytest.mark.parametrize("backend", ["cpu", "reference", "torch"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_a_state_is_frozen_through_a_long_padding(
    cell: str, reverse: bool, backend: str, problem: Any
) -> None:
    """The last state of a short row does not depend on how much padding follows it."""
    p = problem(cell, 400, 2, 3, 4, lengths=[5, 400], dtype=torch.float32)
    long = p.solve(backend=backend, reverse=reverse)
    p.tensors["x"] = p.tensors["x"][:9]
    p.lengths = torch.tensor([5, 9])
    short = p.solve(backend=backend, reverse=reverse)
    for name in ["last_0"] + ["last_1"] * (cell == "lstm"):
        torch.testing.assert_close(long[name][0], short[name][0], rtol=0, atol=1e-6)
    assert not long["outputs"][5:, 0].any()
    assert not long["d_x"][5:, 0].any()


@pytest.mark.parametrize("backend", ["cpu", "reference", "torch"])
def test_a_relu_state_that_would_overflow_over_the_padding_does_not(backend: str, problem: Any) -> None:
    p = problem("simple_rnn", 300, 2, 2, 3, lengths=[4, 6], dtype=torch.float32)
    p.tensors["weight_hh"] = torch.eye(3) * 3  # times 3 a step: infinite long before step 300
    p.tensors["bias_ih"] = torch.ones(3)
    found = p.solve(backend=backend, activation="relu")
    assert all(value.isfinite().all() for value in found.values())
    assert found["outputs"].abs().max() > 100


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_of_gradients_by_torch(cell: str, problem: Any) -> None:
    """In float64, as the research use of a gradient penalty needs them; also through the reversal."""
    p = problem(cell, 3, 2, 2, 2, lengths=[3, 1])
    names = list(p.tensors)

    def outputs(*values: torch.Tensor) -> torch.Tensor:
        p.tensors = dict(zip(names, values, strict=True))
        weights = {n: p.tensors[n] for n in names if n.startswith(("weight", "bias"))}
        call = Call(
            p.cell,
            p.tensors["x"],
            p.lengths,
            tuple(p.tensors[n] for n in ("h0", "c0") if n in names),
            Weights(weights),
            reverse=True,
        )
        return torch_native.run(call)[0]

    assert torch.autograd.gradgradcheck(outputs, [value.requires_grad_() for value in p.tensors.values()])


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The backends that calls went to."""
    calls: list[str] = []
    for name, module in (("cpu", cpu), ("torch", torch_native), ("reference", reference)):
        original = module.run

        def run(call: Any, name: str = name, original: Any = original, **options: Any) -> Any:
            calls.append(name)
            return original(call, **options)

        monkeypatch.setattr(module, "run", run)
    return calls


@pytest.mark.parametrize("cell", CELLS)
def test_auto_takes_torch_where_it_computes_the_same(cell: str, problem: Any, used: list[str]) -> None:
    problem(cell, 3, 2, 2, 3, lengths=[3, 1]).solve()
    problem(cell, 3, 2, 2, 3, masked=True).solve()
    problem(cell, 3, 2, 2, 3).solve(activation=torch.sin)
    problem(cell, 3, 2, 2, 3).solve(activation="relu")
    relu = "torch" if cell == "simple_rnn" else "reference"
    assert used == ["torch", "reference", "reference", relu]


@pytest.mark.parametrize("cell", CELLS)
def test_auto_takes_the_kernels_where_they_can_serve(cell: str, problem: Any, used: list[str]) -> None:
    p = problem(cell, 3, 2, 2, 3, masked=True, lengths=[3, 1], directions=2, rows=4, dtype=torch.float32)
    p.solve()
    p.solve(activation=torch.sin)
    p.solve(activation="relu")
    assert used == ["cpu", "reference", "reference", *(["reference"] * 2 if cell == "lstm" else ["cpu"])]


def test_an_explicit_backend_never_falls_back(problem: Any, used: list[str]) -> None:
    with pytest.raises(BackendError, match=r"'torch' has no recurrent dropout; use backend 'auto'"):
        problem("lstm", 3, 2, 2, 3, masked=True).solve(backend="torch")
    with pytest.raises(BackendError, match=r"'torch' has no relu in gru; use backend 'auto'"):
        problem("gru", 3, 2, 2, 3).solve(backend="torch", activation="relu")
    with pytest.raises(BackendError, match=r"'torch' has no custom activation in simple_rnn; use"):
        problem("simple_rnn", 3, 2, 2, 3).solve(backend="torch", activation=torch.sin)
    with pytest.raises(BackendError, match=r"no backend 'cuda'; there are auto, cpu, reference, torch"):
        problem("lstm", 3, 2, 2, 3).solve(backend="cuda")
    assert used == []


@pytest.mark.parametrize("backend", ["auto", "cpu", "reference", "torch"])
@pytest.mark.parametrize(
    ("part", "value", "complaint"),
    [
        ("weight_ih", torch.zeros(8, 4), r"weight_ih is \(8, 4\), not \(8, 3\)"),
        ("weight_hh", torch.zeros(8, 3), r"weight_ih is \(8, 3\), not|weight_hh is \(8, 3\), not \(8, 2\)"),
        ("bias_ih", torch.zeros(7), r"bias_ih is \(7,\), not \(8,\)"),
        ("h0", torch.zeros(3, 2), r"h is \(3, 2\), not \(2, 2\)"),
        ("c0", torch.zeros(2, 1), r"c is \(2, 1\), not \(2, 2\)"),
        ("mask", torch.zeros(2, 3), r"recurrent_mask is \(2, 3\), not \(2, 2\)"),
        ("input_mask", torch.zeros(1, 3), r"input_mask is \(1, 3\), not \(2, 3\)"),
        ("lengths", torch.tensor([5]), r"lengths is \(1,\), not \(2,\)"),
        ("lengths", torch.tensor([5, 6]), "lengths run from 5 to 6, the input has 5 steps"),
        ("lengths", torch.tensor([-1, 5]), "lengths run from -1 to 5"),
    ],
)
def test_parts_that_do_not_fit_are_refused_before_a_kernel_reads_past_them(
    backend: str, part: str, value: torch.Tensor, complaint: str, problem: Any
) -> None:
    p = problem("lstm", 5, 2, 3, 2, dtype=torch.float32)
    if part in p.tensors:
        p.tensors[part] = value
    else:
        setattr(p, part, value)
    with pytest.raises(ValueError, match=complaint):
        p.run(p.leaves(), backend=backend)


@pytest.mark.parametrize("backend", ["auto", "cpu", "reference", "torch"])
def test_a_missing_parameter_and_a_wrong_number_of_states_are_refused(backend: str, problem: Any) -> None:
    p = problem("gru", 3, 2, 2, 3, dtype=torch.float32)
    (call,) = p.calls(p.tensors)
    weights = Weights({name: value for name, value in call.weights.items() if name != "bias_hh"})
    with pytest.raises(
        ValueError, match=r"gru has the parameters .*, bias_hh, not weight_ih, weight_hh, bias_ih"
    ):
        layer([call._replace(weights=weights)], backend=backend)
    with pytest.raises(ValueError, match=r"the state of gru is \(h\), not of 2"):
        layer([call._replace(state=(call.state[0],) * 2)], backend=backend)


@pytest.fixture
def default_dtype() -> Iterator[Callable[[torch.dtype], None]]:
    """Sets torch's default dtype for the test."""
    yield torch.set_default_dtype
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("backend", ["auto", "cpu"])
@pytest.mark.parametrize("cell", CELLS)
def test_float32_tensors_are_computed_alike_under_any_default_dtype(
    cell: str, backend: str, default: torch.dtype, problem: Any, default_dtype: Any
) -> None:
    for options in ({}, {"rows": 4, "initial": False, "masked": True, "lengths": [4, 2]}):
        p = problem(cell, 4, 2, 3, 5, dtype=torch.float32, directions=2, **options)
        expected = p.solve(backend=backend)
        default_dtype(default)
        found = p.solve(backend=backend)
        with torch.no_grad():
            outputs = p.run(p.tensors, backend=backend)["outputs"]
        default_dtype(torch.float32)
        assert torch.equal(outputs, expected["outputs"])
        for name, value in expected.items():
            assert found[name].dtype == torch.float32, name
            assert torch.equal(found[name], value), name


@pytest.mark.parametrize("default", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("cell", [*CELLS, "min_gru"])
def test_a_layer_made_under_another_default_dtype_works_or_says_what_is_missing(
    cell: str, default: torch.dtype, default_dtype: Any
) -> None:
    default_dtype(default)
    module, x = Recurrent(3, 5, cell=cell, bidirectional=True), torch.randn(2, 4, 3)
    outputs, _ = module(x, torch.tensor([4, 2]))
    outputs.sum().backward()
    assert outputs.dtype == module.weight_ih_l0.grad.dtype == default
    module.backend = "cpu"
    missing = f"{str(default)[6:]} numbers"
    with pytest.raises(BackendError, match=f"'cpu' has no {missing}; use backend 'auto' or 'reference'"):
        module(x)


def test_lengths_are_checked_once_a_layer(problem: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[torch.Tensor] = []
    aminmax = torch.aminmax
    monkeypatch.setattr(torch, "aminmax", lambda x: counted.append(x) or aminmax(x))
    p = problem("lstm", 4, 2, 3, 5, dtype=torch.float32, directions=2, lengths=[4, 2])
    p.run(p.tensors)
    assert len(counted) == 1
    Recurrent(3, [5, 4], cell="lstm", bidirectional=True)(torch.randn(2, 4, 3), torch.tensor([4, 2]))
    assert len(counted) == 2


def test_a_backend_serves_only_the_cells_that_it_lists(problem: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell of another name with the parameters of one that is served is another cell."""
    monkeypatch.setattr(cells, "_specs", dict(cells._specs))
    own = replace(cell_named("lstm"), name="own_lstm", torch_module=None)
    cells.register_cell(own)
    p = problem("own_lstm", 3, 2, 2, 3, dtype=torch.float32)
    (call,) = p.calls(p.tensors)
    assert cpu.unsupported_reason(call) == torch_native.unsupported_reason(call) == "cell own_lstm"
