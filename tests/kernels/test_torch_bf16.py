"""``precision="bfloat16"`` by torch's kernels, as on a GPU; here on the CPU, which takes the same way."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._subclasses import FakeTensorMode

from recurra.cells import BUILT_IN, cell_named
from recurra.cells.spec import Weights
from recurra.errors import BackendError
from recurra.kernels import cpu, torch_native
from recurra.kernels.cpu.host import host
from recurra.kernels.dispatch import Call, Precision, fastest
from tests.problems import assert_same, make_problem

STANDARD = ["simple_rnn", "lstm", "gru"]
STEPS = 7
# Rounding to 8 bits changes a number by 2^-9 of its size at most. A step rounds inputs, weights, sums and
# states, forwards and backwards: four times that for each step.
BOUND = 4 * STEPS * 2**-9


@pytest.mark.parametrize("autocast", [False, True], ids=["", "autocast"])
@pytest.mark.parametrize("lengths", [None, [7, 0, 3, 1, 6]])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("cell", STANDARD)
def test_values_and_gradients_are_those_of_float32_up_to_rounding(
    cell: str, directions: int, lengths: list[int] | None, autocast: bool
) -> None:
    p = make_problem(cell, STEPS, 5, 3, 6, directions=directions, lengths=lengths, dtype=torch.float32)
    exact = p.double().solve(backend="reference")
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        found = p.solve(backend="torch", precision="bfloat16")
    assert {value.dtype for value in found.values()} == {torch.float32}
    assert_same(found, exact, BOUND)
    worst = max(float((found[name] - exact[name]).abs().max()) for name in exact)
    assert worst > 2**-12, "nothing was rounded"


@pytest.mark.parametrize("autocast", [False, True], ids=["", "autocast"])
@pytest.mark.parametrize("cell", STANDARD)
def test_torch_gets_tensors_of_bfloat16_and_no_autocast(
    cell: str, autocast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under autocast torch would give cuDNN float16, whatever the dtype of autocast."""
    seen: list[Any] = []

    def recording(function: Any) -> Any:
        def called(x: Any, state: Any, parameters: Any, **options: Any) -> Any:
            parts = [x, *(state if isinstance(state, list) else [state]), *parameters]
            seen.append(({part.dtype for part in parts}, torch.is_autocast_enabled("cpu")))
            return function(x, state, parameters, **options)

        return called

    functions = {key: recording(function) for key, function in torch_native._FUNCTIONS.items()}
    monkeypatch.setattr(torch_native, "_FUNCTIONS", functions)
    p = make_problem(cell, 3, 2, 3, 4, dtype=torch.float32)
    with torch.autocast("cpu", torch.float16, enabled=autocast):
        p.run(p.tensors, backend="torch", precision="bfloat16")
    assert seen == [({torch.bfloat16}, False)]


def rounded(cell: str, **options: Any) -> Call:
    """One call in bfloat16."""
    problem = make_problem(cell, 3, 2, 3, 4, dtype=torch.float32, **options)
    (call,) = problem.calls(problem.tensors, precision="bfloat16")
    return call


def on_a_gpu(call: Call) -> Call:
    """The same call with tensors that say that they are on a GPU, and have no numbers."""

    def there(value: Any) -> Any:
        return None if value is None else torch.empty(value.shape, dtype=value.dtype, device="cuda")

    weights = Weights({name: there(value) for name, value in call.weights.items()})
    state = None if call.state is None else tuple(there(part) for part in call.state)
    mask = there(call.recurrent_mask)
    return call._replace(x=there(call.x), weights=weights, state=state, recurrent_mask=mask)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("cell", BUILT_IN)
def test_on_a_gpu_cudnn_computes_what_it_has(cell: str, precision: Precision) -> None:
    cudnn = "torch" if cell in STANDARD else "reference"
    with FakeTensorMode():
        assert fastest(on_a_gpu(rounded(cell)._replace(precision=precision))) == cudnn
        if cell_named(cell).recurrent_dropout:
            assert fastest(on_a_gpu(rounded(cell, masked=True)._replace(precision=precision))) == "reference"


def test_on_the_cpu_no_slower_backend_than_in_float32_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu, "host", lambda: host()._replace(bf16=None))
    for cell in [*STANDARD, "min_gru"]:
        with pytest.raises(BackendError, match=r"'reference' has products of bfloat16.*precision 'float32'"):
            fastest(rounded(cell))
    assert fastest(rounded("slstm")) == "reference"
