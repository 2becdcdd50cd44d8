"""Every cell, direction and depth as ONNX gives the outputs and last states of recurra."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from recurra import cells
from recurra.cells import CellSpec, cell_named, cell_names, register_cell
from recurra.cells.spec import Inputs, Ops, Parameter, State, Weights, zeros
from recurra.errors import ConfigError
from recurra.export.graph import Graph
from recurra.export.recurrent import last, recurrent
from recurra.layers import Recurrent
from tests.export.conftest import run_graph

CASES = [(cell, activation) for cell in cell_names() for activation in cell_named(cell).activations]


def exported(stack: Recurrent) -> Graph:
    graph = Graph()
    x = graph.input("x", np.float32, ["batch", "time", stack.input_size])
    lengths = graph.input("lengths", np.int64, ["batch"])
    steps = graph.op("Transpose", x, perm=[1, 0, 2])
    outputs, states = recurrent(graph, stack, steps, graph.cast(lengths, np.int32))
    rows = graph.op("Transpose", outputs, perm=[1, 0, 2])
    graph.output("outputs", rows, np.float32, ["batch", "time", stack.output_size])
    graph.output("last", last(graph, stack, states), np.float32, ["batch", stack.output_size])
    return graph


def random_stack(seed: int = 0, **settings: object) -> Recurrent:
    torch.manual_seed(seed)
    stack = Recurrent(6, 8, backend="reference", **settings).eval()  # type: ignore[arg-type]
    for parameter in stack.parameters():
        torch.nn.init.uniform_(parameter, -0.5, 0.5)
    return stack


def check(stack: Recurrent) -> None:
    run = run_graph(exported(stack))
    for B, T in ((1, 1), (3, 7), (5, 12)):
        x, lengths = torch.randn(B, T, 6), torch.randint(0, T + 1, (B,))
        lengths[0] = T
        with torch.inference_mode():
            outputs, states = stack(x, lengths)
            final = stack.last(states)
        found = run({"x": x.numpy(), "lengths": lengths.numpy()})
        np.testing.assert_allclose(found["outputs"], outputs.numpy(), rtol=1e-5, atol=2e-6)
        np.testing.assert_allclose(found["last"], final.numpy(), rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize(("cell", "activation"), CASES)
def test_a_cell_in_both_directions(cell: str, activation: str) -> None:
    check(random_stack(cell=cell, activation=activation, bidirectional=True))


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn", "sru"])
@pytest.mark.parametrize("merge_mode", ["concat", "sum", "mul", "ave"])
def test_stacks_and_merged_directions(cell: str, merge_mode: str) -> None:
    check(random_stack(cell=cell, layers=2, bidirectional=True, merge_mode=merge_mode))


@pytest.mark.parametrize("cell", ["lstm", "gru", "simple_rnn", "qrnn"])
def test_one_direction(cell: str) -> None:
    check(random_stack(cell=cell))


def test_cells_with_an_operator_of_onnx_use_it() -> None:
    for cell, kind in {"lstm": "LSTM", "gru": "GRU", "simple_rnn": "RNN", "min_gru": "Scan"}.items():
        kinds = [node.op_type for node in exported(random_stack(cell=cell)).model({}).graph.node]
        assert kinds.count(kind) == 1


def leaky(inputs: Inputs, state: State, weights: Weights, ops: Ops) -> State:
    (h,) = state
    new = ops.act(inputs[0] + ops.product(h, weights.weight_hh))
    return (0.9 * h + 0.1 * torch.clamp(new, -0.5, 0.5),)


def odd(inputs: Inputs, state: State, weights: Weights, ops: Ops) -> State:
    return (torch.cumsum(inputs[0], 1) + state[0],)


def scaled(inputs: Inputs, state: State, weights: Weights, ops: Ops) -> State:
    return (torch.add(inputs[0], state[0], alpha=2.0),)


def folded(inputs: Inputs, state: State, weights: Weights, ops: Ops) -> State:
    (h,) = state
    return (inputs[0] + h.reshape(h.shape[0] * 2, -1).tanh().reshape(h.shape[0], -1),)


STEPS = {"leaky": leaky, "odd": odd, "scaled": scaled, "folded": folded}


@pytest.fixture
def user_cells() -> Iterator[None]:
    parameters = (
        Parameter("weight_ih", ("H", "E")),
        Parameter("weight_hh", ("H", "H")),
        Parameter("bias_ih", ("H",), zeros),
    )  # fmt: skip
    for name, step in STEPS.items():
        register_cell(CellSpec(name=name, title=name, parameters=parameters, step=step))
    yield
    for name in STEPS:
        del cells._specs[name]


@pytest.mark.usefixtures("user_cells")
def test_a_cell_of_the_user_is_exported_by_its_step() -> None:
    check(random_stack(cell="leaky", bidirectional=True))


@pytest.mark.usefixtures("user_cells")
def test_an_operation_that_cant_be_exported_is_named() -> None:
    with pytest.raises(ConfigError, match=r"cell odd has the operation aten\.cumsum"):
        exported(random_stack(cell="odd"))


@pytest.mark.usefixtures("user_cells")
@pytest.mark.parametrize(("cell", "words"), [("scaled", r"aten\.add"), ("folded", "joins the batch")])
def test_a_step_that_would_be_exported_wrongly_is_refused(cell: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        exported(random_stack(cell=cell))
