"""One row at a time without gradients: the reference's numbers, whatever changed since the last call."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import recurra
from recurra.layers import Embedding, Recurrent

pytest.importorskip("numba")

CELLS = ("simple_rnn", "lstm", "gru")
CHANGES: dict[str, Callable[[nn.Parameter], object]] = {
    "in place": lambda weight: weight.mul_(1.5),
    "one number": lambda weight: weight.view(-1)[-1:].add_(0.5),
    "through data": lambda weight: weight.data.mul_(1.5),
    "through numpy": lambda weight: weight.detach().numpy().__imul__(1.5),
    "other memory": lambda weight: setattr(weight, "data", weight.data * 1.5),
}


@pytest.fixture
def divided(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Any layer is divided between two threads."""
    from recurra.kernels.cpu import prepared

    monkeypatch.setattr(prepared, "DIVIDED", 0)
    monkeypatch.setattr(prepared, "LEAST_TOGETHER", 0)
    monkeypatch.setenv("RECURRA_THREADS", "2")
    return monkeypatch


def make(cell: str, E: int = 3, H: int = 9, **options: Any) -> Recurrent:
    torch.manual_seed(5)
    return Recurrent(E, H, cell=cell, initial_weights="torch", **options)


def state_of(layer: Recurrent) -> tuple[tuple[Tensor, ...], ...]:
    widths = [H for H in layer.units for _ in range(layer.directions)]
    return tuple(tuple(torch.randn(1, H) for _ in layer.spec.state) for H in widths)


def flat(result: Any) -> list[Tensor]:
    outputs, states = result
    return [outputs, *(part for state in states for part in state)]


def reference(layer: Recurrent, *given: Any, **options: Any) -> list[Tensor]:
    other = copy.deepcopy(layer)
    other.backend = "reference"
    return flat(other(*given, **options))


def check(layer: Recurrent, *given: Any, **options: Any) -> None:
    """A call, prepared, against the reference."""
    found = flat(layer(*given, **options))
    assert layer._prepared is not None
    for value, expected in zip(found, reference(layer, *given, **options), strict=True):
        torch.testing.assert_close(value, expected, rtol=0, atol=3e-6)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", CELLS)
@torch.no_grad()
def test_one_row_is_the_reference(cell: str, bidirectional: bool, divided: Any) -> None:
    table = Embedding(20, 3)
    for units in ([1, 6], 17, 70):
        layer = make(cell, H=units, bidirectional=bidirectional)  # type: ignore[arg-type]
        state = state_of(layer)
        for T in (1, 2, 3, 24, 61):
            check(layer, torch.randn(1, T, 3))
            check(layer, table.lookup(torch.randint(20, (1, T))), state=state)
            wide = torch.randn(1, T, 8)[:, :, 2:5]
            check(layer, wide, torch.tensor([T]), state=state)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
@pytest.mark.parametrize("cell", ["simple_rnn", "gru"])
@torch.no_grad()
def test_activations(cell: str, activation: str) -> None:
    for T in (1, 30):
        check(make(cell, H=70, activation=activation), torch.randn(1, T, 3))


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", CELLS)
@torch.no_grad()
def test_two_threads_give_the_bits_of_one(cell: str, bidirectional: bool, divided: Any) -> None:
    layer, x = make(cell, H=100, bidirectional=bidirectional), torch.randn(1, 300, 3)
    divided.setenv("RECURRA_THREADS", "1")
    expected = flat(layer(x))
    divided.setenv("RECURRA_THREADS", "2")
    for _ in range(20):
        for value, other in zip(flat(layer(x)), expected, strict=True):
            assert torch.equal(value, other)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("cell", CELLS)
@torch.no_grad()
def test_any_change_of_any_weight_is_noticed(cell: str, change: str, divided: Any) -> None:
    for T, bidirectional in ((1, False), (5, False), (5, True)):
        layer = make(cell, bidirectional=bidirectional)
        x = torch.randn(1, T, 3)
        for weight in layer.parameters():
            check(layer, x)
            CHANGES[change](weight)
            if change == "other memory":
                layer(x)
            check(layer, x)
            check(layer, torch.randn(1, 4, 3))  # one step from zeros does not read all weights


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("cell", CELLS)
@torch.no_grad()
def test_one_step_has_the_bits_of_a_batch(cell: str, bidirectional: bool, divided: Any) -> None:
    for H in (9, 40, 100):
        layer, x = make(cell, H=H, bidirectional=bidirectional), torch.randn(3, 1, 3)
        of_batch = flat(layer(x))
        for row in range(3):
            for value, expected in zip(flat(layer(x[row : row + 1])), of_batch, strict=True):
                assert torch.equal(value, expected[row : row + 1])


@torch.no_grad()
def test_replaced_parameters_and_other_settings_are_noticed() -> None:
    layer, x = make("gru"), torch.randn(1, 7, 3)
    check(layer, x)
    layer.weight_hh_l0 = nn.Parameter(layer.weight_hh_l0 * 2)
    for _ in range(2):
        torch.testing.assert_close(flat(layer(x)), reference(layer, x), rtol=0, atol=3e-6)
    layer.activations = ["relu"]
    for _ in range(2):
        torch.testing.assert_close(flat(layer(x)), reference(layer, x), rtol=0, atol=3e-6)
    with pytest.raises(ValueError, match="float64"):
        layer.double()(x)
    layer.float()
    check(layer, x) if layer(x) else None


def test_gradients_dropout_and_lengths_are_as_ever() -> None:
    layer, x = make("lstm", dropout=0.5), torch.randn(1, 8, 3)
    layer.eval()
    with torch.no_grad():
        whole, _ = layer(x)
        short, _ = layer(x, torch.tensor([5]))
        assert torch.equal(short[:, 5:], torch.zeros(1, 3, 9))
        torch.testing.assert_close(short[:, :5], layer(x[:, :5])[0])
        layer.train()
        assert not torch.allclose(layer(x)[0], whole)
    layer.eval()
    outputs, _ = layer(x)
    outputs.sum().backward()
    assert all(weight.grad is not None for weight in layer.parameters())
    layer.requires_grad_(False)
    assert layer(x.clone().requires_grad_())[0].requires_grad
    check(layer, x)  # no gradient is wanted, though they are enabled


@torch.no_grad()
def test_a_token_outside_the_table_is_an_error() -> None:
    layer, table = make("lstm"), Embedding(20, 3)
    for token in (-1, 20):
        with pytest.raises(IndexError, match=f"names row {token}"):
            layer(table.lookup(torch.tensor([[1, token]])))


@torch.no_grad()
def test_callers_in_several_threads(divided: Any) -> None:
    layers = [make(cell, H=40) for cell in CELLS]
    x = torch.randn(4, 1, 50, 3)
    expected = [[layer(one)[0] for one in x] for layer in layers]
    wrong: list[int] = []

    def caller(n: int) -> None:
        with torch.no_grad():
            for k in range(60):
                one, layer = (n + k) % 4, (n * k) % 3
                if not torch.allclose(layers[layer](x[one])[0], expected[layer][one], rtol=0, atol=3e-6):
                    wrong.append(n)

    callers = [Thread(target=caller, args=(n,)) for n in range(4)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    assert not wrong


@torch.no_grad()
def test_copies_are_prepared_anew() -> None:
    layer, x = make("gru"), torch.randn(1, 6, 3)
    check(layer, x)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other._prepared is None
        layer.weight_hh_l0.mul_(1.1)
        check(other, x)
        check(layer, x)


@torch.no_grad()
def test_forms_of_a_result() -> None:
    x = torch.randn(1, 6, 3)
    for options in ({"return_sequences": False}, {"return_state": False}, {"state_form": "torch"}):
        layer = recurra.LSTM(3, 5, layers=2, bidirectional=True, merge_mode="concat", **options)  # type: ignore[arg-type]
        found = layer(x)
        assert layer._prepared is not None
        layer.backend = "reference"
        torch.testing.assert_close(found, layer(x), rtol=0, atol=3e-6)
    layer = recurra.LSTM(3, 5, bidirectional=True, merge_mode="sum")
    found = layer(x)
    layer.backend = "reference"
    torch.testing.assert_close(found, layer(x), rtol=0, atol=3e-6)
