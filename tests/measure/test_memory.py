"""Memory measured: against exact Jacobians, known matrices and gates written out; it sees forgetting."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from recurra.layers import GRU, LSTM, Recurrent, SimpleRNN
from recurra.measure.memory import Memory, measure

KINDS = [SimpleRNN, LSTM, GRU]


def made(kind: type[Recurrent], *args: Any, std: float = 0.4, **settings: Any) -> Recurrent:
    """A layer with every parameter random, biases too."""
    torch.manual_seed(0)
    layer = kind(*args, **settings)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=std)
    return layer


def texts(lengths: list[int], E: int) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return [torch.randn(T, E) for T in lengths]


def exact_norms(layer: Recurrent, text: torch.Tensor, steps: int) -> list[float]:
    """|dh_T/dx_t| by distance, from the whole Jacobian of the forward direction's last state."""
    H = layer.units[-1]
    one = layer.double()

    def last(x: torch.Tensor) -> torch.Tensor:
        outputs, _ = one(x[None])
        return outputs[0, -1, :H]

    jacobian = torch.autograd.functional.jacobian(last, text.double())  # (H, T, E)
    return jacobian.square().sum((0, 2)).sqrt().flip(0)[: steps + 1].tolist()


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("units", [[5], [4, 3]])
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_is_the_jacobians_where_the_probes_span_it(
    kind: type[Recurrent], units: list[int], bidirectional: bool
) -> None:
    layer = made(kind, 3, units, bidirectional=bidirectional, backend="reference")
    given = texts([9, 12, 7], 3)
    found = measure(layer, given, 6).gradient
    norms = np.array([exact_norms(layer, text, 6) for text in given])
    low, median, high = np.quantile(norms / norms[:, :1], [0.25, 0.5, 0.75], axis=0)
    np.testing.assert_allclose(found.median, median, rtol=1e-9)
    np.testing.assert_allclose(found.low, low, rtol=1e-9)
    np.testing.assert_allclose(found.high, high, rtol=1e-9)
    assert found.at_zero == pytest.approx(np.median(norms[:, 0]))
    assert found.texts == 3


def test_a_wide_layers_gradient_is_estimated_within_a_few_percent() -> None:
    layer = made(LSTM, 4, 40, std=0.15, backend="reference")
    given = texts([30] * 24, 4)
    norms = np.array([exact_norms(layer, text, 20) for text in given])
    expected = np.median(norms / norms[:, :1], axis=0)
    np.testing.assert_allclose(measure(layer, given, 20).gradient.median, expected, rtol=0.15)


@pytest.mark.parametrize(("radius", "half", "thousandth"), [(0.49, 1, 10), (0.9, 7, None), (1.1, None, None)])
def test_a_linear_matrix_forgets_by_its_radius(
    radius: float, half: int | None, thousandth: int | None
) -> None:
    layer = SimpleRNN(2, 6, activation=lambda x: x, backend="reference")
    with torch.no_grad():
        layer.weights("l0").weight_hh.copy_(radius * torch.linalg.qr(torch.randn(6, 6)).Q)
        layer.weights("l0").bias_ih.fill_(0.3)
    found = measure(layer, texts([40, 50], 2), 20)
    powers = [radius**d for d in range(21)]
    assert found.gradient.median == pytest.approx(powers, rel=1e-5)
    assert (found.gradient.half, found.gradient.thousandth) == (half, thousandth)
    assert found.last.spectral_radius == {"recurrent": pytest.approx(radius, rel=1e-5)}
    assert found.last.linear.left == pytest.approx(powers, rel=1e-5)  # whatever the bias is
    assert found.last.gates == []
    assert found.last.carry is None


def test_tanh_holds_what_blows_up_without_it() -> None:
    layer = SimpleRNN(2, 8)
    with torch.no_grad():
        layer.weights("l0").weight_hh.mul_(3.0)
    found = measure(layer, texts([1200], 2), 1000).last
    assert found.linear.left[10] == pytest.approx(3.0**10, rel=1e-4)
    assert found.linear.left[-1] is None  # 3 ** 1000 is no number
    norms = [value for value in found.with_activation.norm if value is not None]
    assert len(norms) == 1001
    assert 0.5 < max(norms) < 8


def by_hand(layer: Recurrent, text: torch.Tensor) -> dict[str, torch.Tensor]:
    """Each gate ``(T, H)`` of a single forward layer, one step after the other."""
    w = layer.weights("l0")
    H = layer.units[0]
    outputs, _ = layer(text[None])
    state = torch.zeros(H)
    names = {"lstm": {"input": 0, "forget": 1, "output": 3}, "gru": {"reset": 0, "update": 1}}[layer.cell]
    found: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    for t, x in enumerate(text):
        product = w.weight_ih @ x + w.bias_ih + w.weight_hh @ state
        product = product + w.get("bias_hh", 0)
        for name, block in names.items():
            found[name].append(torch.sigmoid(product[block * H : (block + 1) * H]))
        state = outputs[0, t]
    return {name: torch.stack(steps).detach() for name, steps in found.items()}


@pytest.mark.parametrize(("kind", "keeps"), [(LSTM, "forget"), (GRU, "update")])
def test_gates_are_those_of_the_cell(kind: type[Recurrent], keeps: str) -> None:
    layer = made(kind, 3, 5, std=1.0, backend="reference")
    given = texts([8, 11], 3)
    found = measure(layer, given, 6).last
    expected = [by_hand(layer, text) for text in given]
    assert [gate.name for gate in found.gates] == list(expected[0])
    for gate in found.gates:
        values = torch.cat([one[gate.name] for one in expected])
        assert gate.mean == pytest.approx(float(values.mean()), rel=1e-5)
        assert gate.nearly_open == pytest.approx(float((values > 0.9).float().mean()))
        assert gate.nearly_shut == pytest.approx(float((values < 0.1).float().mean()))
        ends = torch.stack([one[gate.name].flip(0)[:7].mean(1) for one in expected]).mean(0)
        assert gate.by_distance == pytest.approx(ends.tolist(), rel=1e-5)
    kept = torch.cat([one[keeps] for one in expected])
    constants = -1 / kept.log().mean(0)
    products = [float(one[keeps].flip(0)[:6].prod(0).mean()) for one in expected]
    assert found.carry is not None
    assert found.carry.gate == keeps
    assert found.carry.mean == pytest.approx(float(constants.mean()), rel=1e-4)
    assert found.carry.typical == pytest.approx(float(constants.quantile(0.5)), rel=1e-4)
    assert found.carry.longest == pytest.approx(float(constants.max()), rel=1e-4)
    assert found.carry.kept == pytest.approx(sum(products) / 2, rel=1e-4)


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_the_backward_directions_gates_are_a_forward_layers_on_the_text_reversed(
    kind: type[Recurrent],
) -> None:
    both = made(kind, 3, 4, std=1.0, bidirectional=True)
    alone = kind(3, 4)
    for name, value in both.weights("l0_reverse").items():
        alone.weights("l0")[name].data.copy_(value.data)
    given = texts([9, 14, 8], 3)
    backward = measure(both, given, 5).parts[1]
    forward = measure(alone, [text.flip(0) for text in given], 5).parts[0]
    assert (backward.direction, forward.direction) == ("backward", "forward")
    assert [gate.mean for gate in backward.gates] == pytest.approx([gate.mean for gate in forward.gates])
    assert backward.carry is not None
    assert forward.carry is not None
    assert backward.carry.longest == pytest.approx(forward.carry.longest)
    assert backward.spectral_radius == forward.spectral_radius


def test_an_open_forget_gate_remembers_what_a_shut_one_loses() -> None:
    def with_bias(bias: float) -> Memory:
        torch.manual_seed(0)
        layer = LSTM(3, 10)
        with torch.no_grad():
            layer.weights("l0").bias_ih[10:20] = bias
        return measure(layer, texts([150] * 6, 3), 100)

    shut, opened = with_bias(0.0), with_bias(9.0)
    assert shut.gradient.median[-1] < 1e-6 < 0.01 < opened.gradient.median[-1]
    assert shut.last.carry is not None
    assert opened.last.carry is not None
    assert shut.last.carry.longest < 10 < 1000 < opened.last.carry.typical
    assert shut.last.carry.kept < 1e-6 < 0.9 < opened.last.carry.kept


def test_parts_are_named_in_the_order_of_the_stack() -> None:
    found = measure(LSTM(3, [4, 5], bidirectional=True), texts([9], 3), 4)
    assert [(part.layer, part.direction) for part in found.parts] == [
        (1, "forward"),
        (1, "backward"),
        (2, "forward"),
        (2, "backward"),
    ]
    assert found.last is found.parts[2]


def test_measuring_changes_nothing_and_says_the_same_twice() -> None:
    layer = GRU(3, 20, dropout=0.5).train()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    given = texts([12, 30], 3)
    torch.manual_seed(5)
    first = measure(layer, given, 10)
    drawn = torch.rand(1)
    assert first == measure(layer, given, 10)
    torch.manual_seed(5)
    assert torch.rand(1) == drawn
    assert layer.training
    assert layer.backend == "auto"
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in layer.parameters())


def test_dead_units_give_zeros_not_nan() -> None:
    layer = SimpleRNN(3, 4, activation="relu")
    with torch.no_grad():
        layer.weights("l0").bias_ih.fill_(-100.0)
    found = measure(layer, texts([9, 9], 3), 5)
    assert found.gradient.median == [0.0] * 6
    assert found.gradient.at_zero == 0
    assert found.last.activation == "relu"


def test_a_gate_that_never_closes_has_a_finite_constant() -> None:
    layer = LSTM(2, 3)
    with torch.no_grad():
        layer.weights("l0").bias_ih[3:6] = 1e4
    carry = measure(layer, texts([9], 2), 5).last.carry
    assert carry is not None
    assert math.isfinite(carry.longest)
    assert carry.kept == 1


@pytest.mark.parametrize(("lengths", "steps"), [([], 3), ([9, 4], 4), ([9], 0)])
def test_texts_too_short_are_refused(lengths: list[int], steps: int) -> None:
    with pytest.raises(ValueError, match="texts"):
        measure(SimpleRNN(3, 4), texts(lengths, 3), steps)
