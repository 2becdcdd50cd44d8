"""Cells that a script defines: trained in an estimator and in a plain loop, read by all that names cells."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import layer_norm

import recurra
from recurra import cells
from recurra.cells import CellSpec, Parameter, cell_named, ones, orthogonal, zeros
from recurra.config import ModelConfig
from recurra.errors import BackendError, ConfigError
from recurra.layers.keras import load_keras
from recurra.layers.recurrent import Recurrent
from recurra.measure import memory_view
from recurra.measure.memory import measure
from recurra.tasks.card import network_name
from tests.cells.checks import follows, has_numerical_gradients, sigmoid
from tests.problems import make_problem

ROOT = Path(__file__).parents[2]
TEXTS = ["a good film", "a bad film", "a good plot", "a bad plot"] * 12
LABELS = [1, 0, 1, 0] * 12


# ------------------------------------------------------- as a user's script would


def peephole_step(inputs: Any, state: Any, w: Any, ops: Any) -> Any:
    """Gers & Schmidhuber 2000."""
    h, c = state
    i, f, g, o = ops.product(ops.enter(h), w.weight_hh, inputs[0]).chunk(4, dim=1)
    keep, write = ops.gate("forget", f + w.peep_f * c), ops.gate("input", i + w.peep_i * c)
    c = keep * c + write * ops.act(g)
    return ops.gate("output", o + w.peep_o * c) * ops.act(c), c


PEEPHOLE = CellSpec(
    name="peephole_lstm",
    title="Peephole LSTM",
    parameters=(
        Parameter("weight_ih", ("4H", "E")),
        Parameter("weight_hh", ("4H", "H"), orthogonal),
        Parameter("bias_ih", ("4H",), zeros),
        *(Parameter(f"peep_{gate}", ("H",), zeros) for gate in "ifo"),
    ),
    step=peephole_step,
    gates=("input", "forget", "candidate", "output"),
    state=("h", "c"),
    keeps="forget",
)


def normalised_step(inputs: Any, state: Any, w: Any, ops: Any) -> Any:
    """Ba et al. 2016: the recurrent sums and the new cell state are normalised."""
    h, c = state
    sums = inputs[0] + layer_norm(ops.product(ops.enter(h), w.weight_hh), (4 * h.shape[1],), w.gain_h)
    i, f, g, o = sums.chunk(4, dim=1)
    c = ops.gate("forget", f) * c + ops.gate("input", i) * ops.act(g)
    return ops.gate("output", o) * ops.act(layer_norm(c, c.shape[1:], w.gain_c, w.bias_c)), c


NORMALISED = CellSpec(
    name="layer_norm_lstm",
    title="Layer-normalised LSTM",
    parameters=(
        *PEEPHOLE.parameters[:3],
        Parameter("gain_h", ("4H",), ones, initial_torch=ones),
        Parameter("gain_c", ("H",), ones, initial_torch=ones),
        Parameter("bias_c", ("H",), zeros, initial_torch=zeros),
    ),
    step=normalised_step,
    gates=PEEPHOLE.gates,
    state=("h", "c"),
    keeps="forget",
)
SPECS = [PEEPHOLE, NORMALISED]


# -------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "_specs", dict(cells._specs))
    for spec in SPECS:
        assert recurra.register_cell(spec) is spec


def peephole_formula(x: Any, entering: Any, state: Any, w: Any, act: Any) -> tuple[Any, ...]:
    _, c = state
    i, f, g, o = np.split(w["weight_ih"] @ x + w["weight_hh"] @ entering + w["bias_ih"], 4)
    new_c = sigmoid(f + w["peep_f"] * c) * c + sigmoid(i + w["peep_i"] * c) * act(g)
    return sigmoid(o + w["peep_o"] * new_c) * act(new_c), new_c


def normalised_formula(x: Any, entering: Any, state: Any, w: Any, act: Any) -> tuple[Any, ...]:
    def normalised(a: Any) -> Any:
        return (a - a.mean()) / np.sqrt(a.var() + 1e-5)

    _, c = state
    recurrent = w["gain_h"] * normalised(w["weight_hh"] @ entering)
    i, f, g, o = np.split(w["weight_ih"] @ x + recurrent + w["bias_ih"], 4)
    c = sigmoid(f) * c + sigmoid(i) * act(g)
    return sigmoid(o) * act(w["gain_c"] * normalised(c) + w["bias_c"]), c


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_steps_follow_their_formulas(activation: str) -> None:
    follows("peephole_lstm", peephole_formula, activation)
    follows("layer_norm_lstm", normalised_formula, activation)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_gradients_are_the_numerical_ones(spec: CellSpec) -> None:
    has_numerical_gradients(spec.name)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_text_classifier_trains_saves_and_loads_it(spec: CellSpec, tmp_path: Path) -> None:
    model = recurra.TextClassifier(
        cell=spec.name, units=8, embedding=8, epochs=15, learning_rate=0.03, batch_size=8, vocab_size=20,
        patience=15, validation_fraction=0.2, random_state=1,
    )  # fmt: skip
    model.fit(TEXTS, LABELS)
    assert model.score(TEXTS, LABELS) == 1.0
    model.save(tmp_path / "model")
    again = recurra.TextClassifier.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_proba(TEXTS), model.predict_proba(TEXTS))
    del cells._specs[spec.name]
    with pytest.raises(ConfigError, match=rf"'{spec.name}': it should be one of .*recurra\.register_cell"):
        recurra.TextClassifier.load(tmp_path / "model")


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_a_plain_loop_trains_it(spec: CellSpec) -> None:
    """The sum of the inputs of a row, of which the padding is no part."""
    torch.manual_seed(0)
    layer = Recurrent(1, 12, cell=spec.name, return_sequences=False)
    head = nn.Linear(12, 1)
    optimizer = torch.optim.Adam([*layer.parameters(), *head.parameters()], lr=0.02)
    losses = []
    for _ in range(120):
        lengths = torch.randint(1, 7, (32,))
        x = torch.randn(32, 6, 1)
        inside = torch.arange(6) < lengths[:, None]
        target = (x[:, :, 0] * inside).sum(1, keepdim=True)
        loss = nn.functional.mse_loss(head(layer(x, lengths)[0]), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(parameter.grad is not None for parameter in layer.parameters())
    assert sum(losses[-10:]) < 0.3 * sum(losses[:10])


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_everything_that_names_a_cell_reads_the_spec(spec: CellSpec) -> None:
    """So adding a cell takes its spec alone: one file."""
    config = ModelConfig(cell=spec.name, units=5, layers=2)
    assert network_name(config) == f"the stacked {spec.title}"
    torch.manual_seed(2)
    layer = Recurrent(3, [5, 4], cell=spec.name, bidirectional=True, initial_weights="torch")
    assert repr(layer).startswith(f"{spec.title}(")
    assert isinstance(layer.spec, CellSpec)
    count = 2 * (spec.parameter_count(3, 5) + spec.parameter_count(10, 4))
    assert sum(parameter.numel() for parameter in layer.parameters()) == count
    outputs, states = layer(torch.randn(2, 6, 3), torch.tensor([6, 2]))
    assert outputs.shape == (2, 6, 8)
    assert [len(state) for state in states] == [len(spec.state)] * 4
    found = measure(layer, [torch.randn(9, 3), torch.randn(8, 3)], 5)
    assert list(found.last.spectral_radius) == list(spec.gates)
    assert [gate.name for gate in found.last.gates] == ["input", "forget", "output"]
    assert found.last.carry is not None
    assert "The mean opening of the forget gate is" in memory_view.sentences(found)["gates"]
    for backend in ("cpu", "torch"):
        with pytest.raises(BackendError, match=f"has no cell {spec.name}"):
            make_problem(spec.name, 2, 2, 3, 4, dtype=torch.float32).solve(backend=backend)
    with pytest.raises(ConfigError, match=f"torch.nn has no {spec.title}"):
        Recurrent(3, 5, cell=spec.name).to_torch()
    with pytest.raises(ConfigError, match=f"Keras has no {spec.title}"):
        load_keras(Recurrent(3, 5, cell=spec.name), [np.zeros((3, 20)), np.zeros((5, 20)), np.zeros(20)])


def test_gates_are_read_from_the_steps_themselves() -> None:
    """The peepholes' share of a gate included, which the outputs do not show."""
    torch.manual_seed(4)
    layer = Recurrent(3, 4, cell="peephole_lstm", initial_weights="torch")
    x = torch.randn(2, 5, 3)
    (sums,) = layer.gate_sums(x)
    weights, (h, c) = layer.weights("l0"), torch.zeros(2, 2, 4)
    for t in range(5):
        forget = (x[:, t] @ weights.weight_ih.t() + h @ weights.weight_hh.t() + weights.bias_ih)[:, 4:8]
        torch.testing.assert_close(sums["forget"][:, t], forget + weights.peep_f * c)
        _, ((h, c),) = layer(x[:, : t + 1])


def test_no_code_outside_cells_compares_a_cell_by_name() -> None:
    for path in (ROOT / "src").rglob("*.py"):
        compared = re.findall(r"cell\s*(?:==|!=|in|not in)\s*[\"'(\[{]", path.read_text(encoding="utf-8"))
        assert not compared, path


def test_the_guide_to_a_new_cell_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "docs" / "guide" / "new-cell.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL):
        exec(block, names)
    assert names["outputs"].shape == (3, 7, 16)
    assert list(names["model"].classes_) == [0, 1]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"name": "two words"}, "'two words' can't name a cell"),
        ({"parameters": ()}, "needs a state and parameters"),
        ({"parameters": (*PEEPHOLE.parameters, PEEPHOLE.parameters[0])}, "needs a state and parameters"),
        (
            {"parameters": (Parameter("weight", ("H*4", "E")),)},
            r"of size 'H\*4'; give sizes such as E, H, 4H or H/4",
        ),
        ({"parameters": (Parameter("weight", ("2E",)),)}, "no parameter whose shape depends on H"),
    ],
)
def test_a_spec_that_can_not_be_is_refused(changes: dict[str, Any], complaint: str) -> None:
    settings = {"name": "mine", "title": "Mine", "parameters": PEEPHOLE.parameters, "step": peephole_step}
    with pytest.raises(ConfigError, match=complaint):
        CellSpec(**settings | changes)


def test_initial_values_of_its_own_leave_the_callers_random_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cells, "_specs", dict(cells._specs))
    drawn = Parameter("weight_ih", ("4H", "E"), lambda weight, H: weight.copy_(torch.rand(weight.shape)))
    recurra.register_cell(replace(PEEPHOLE, name="drawn", parameters=(drawn, *PEEPHOLE.parameters[1:])))
    settings: dict[str, Any] = {"units": 3, "embedding": 3, "epochs": 1, "vocab_size": 20, "cell": "drawn"}
    torch.manual_seed(1)
    first = recurra.TextClassifier(**settings).fit(TEXTS, LABELS)
    before = torch.rand(9)
    again = recurra.TextClassifier(**settings).fit(TEXTS, LABELS)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(9), before)
    for name, value in first.bundle_.model.state_dict().items():
        assert torch.equal(value, again.bundle_.model.state_dict()[name]), name


def test_names_of_cells() -> None:
    built_in = ("gru", "lstm", "min_gru", "min_lstm", "qrnn", "qrnn1", "simple_rnn", "slstm", "sru")
    assert built_in == cells.BUILT_IN
    assert cells.cell_names() == (*built_in, "peephole_lstm", "layer_norm_lstm")
    for name in cells.BUILT_IN:
        assert cell_named(name).name == name
    with pytest.raises(ConfigError, match=r"there is no cell 'ltsm'; there are gru, lstm, .*register a cell"):
        cell_named("ltsm")
    with pytest.raises(ConfigError, match="there is no cell 'mine'"):
        Recurrent(3, 4, cell="mine")
    with pytest.raises(ConfigError, match="is a built-in cell; give your cell another name"):
        recurra.register_cell(cell_named("lstm"))
    with pytest.raises(ConfigError, match="LSTM is of cell lstm, not gru; use Recurrent"):
        recurra.LSTM(3, 4, cell="gru")


def test_a_step_that_returns_other_shapes_is_refused() -> None:
    wrong = CellSpec(
        name="wrong", title="Wrong", parameters=PEEPHOLE.parameters[:3], state=("h",),
        step=lambda inputs, state, w, ops: (inputs[0],),
    )  # fmt: skip
    recurra.register_cell(wrong)
    with pytest.raises(
        ValueError, match=r"the step of wrong returned \[\(2, 16\)\], the state is \[\(2, 4\)\]"
    ):
        Recurrent(3, 4, cell="wrong")(torch.randn(2, 5, 3))
