"""Stacks: padding never shows, dropout means what it says, weights begin and travel as documented."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from recurra.cells.spec import Weights
from recurra.errors import BackendError, ConfigError
from recurra.layers import GRU, LSTM, Embedding, Recurrent, SimpleRNN
from recurra.layers import recurrent as module_under_test

KINDS = [SimpleRNN, LSTM, GRU]
LENGTHS = torch.tensor([7, 3, 1, 5])


def made(kind: type[Recurrent], *args: Any, seed: int = 0, **settings: Any) -> Recurrent:
    """A float64 layer with every parameter random, biases too."""
    torch.manual_seed(seed)
    layer = kind(*args, **settings).double()
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return layer


def random_states(layer: Recurrent, B: int) -> Any:
    parts = 2 if layer.cell == "lstm" else 1
    return tuple(
        tuple(torch.randn(B, H, dtype=torch.float64) for _ in range(parts))
        for H in layer.units
        for _ in range(layer.directions)
    )


@pytest.mark.parametrize("backend", ["reference", "torch"])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("units", [[5], [4, 3, 2]])
@pytest.mark.parametrize("return_sequences", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_padding_never_shows(
    kind: type[Recurrent], return_sequences: bool, units: list[int], bidirectional: bool, backend: str
) -> None:
    """Alone, in a batch and padded further (with garbage): the same outputs, states and gradients."""
    layer = made(
        kind, 3, units, bidirectional=bidirectional, return_sequences=return_sequences, backend=backend
    )
    x = torch.randn(4, 7, 3, dtype=torch.float64)
    upstream = torch.randn(4, 7, layer.output_size, dtype=torch.float64)
    states = random_states(layer, 4)

    def solve(rows: list[int], T: int, lengths: torch.Tensor | None) -> dict[str, torch.Tensor]:
        inputs = torch.full((len(rows), T, 3), 9.0, dtype=torch.float64)
        for place, row in enumerate(rows):
            n = int(LENGTHS[row])
            inputs[place, :n] = x[row, :n]
        inputs.requires_grad_()
        mine = tuple(tuple(part[rows] for part in state) for state in states)
        outputs, last = layer(inputs, lengths, mine)
        if return_sequences:
            for place, row in enumerate(rows):
                assert not outputs[place, int(LENGTHS[row]) :].any()
            loss = (outputs[:, :7] * upstream[rows, : outputs.shape[1]]).sum()
        else:
            loss = (outputs * upstream[rows, 0]).sum()
        loss = loss + sum((number + 1) * part.sum() for number, part in enumerate(p for s in last for p in s))
        layer.zero_grad()
        loss.backward()
        for place, row in enumerate(rows):
            assert not inputs.grad[place, int(LENGTHS[row]) :].any()
        found = {f"last {n}": part.detach() for n, part in enumerate(p for state in last for p in state)}
        found |= {name: parameter.grad.clone() for name, parameter in layer.named_parameters()}
        cut = (lambda value: value[:, :7]) if return_sequences else (lambda value: value)
        return found | {"outputs": cut(outputs.detach()), "x": inputs.grad[:, :7]}

    batch = solve([0, 1, 2, 3], 7, LENGTHS)
    further = solve([0, 1, 2, 3], 19, LENGTHS)
    for name, value in batch.items():
        torch.testing.assert_close(
            further[name], value, rtol=0, atol=1e-12, msg=lambda m, n=name: f"{n}: {m}"
        )
    alone = [solve([row], int(LENGTHS[row]), None) for row in range(4)]
    for name, value in batch.items():
        if name in dict(layer.named_parameters()):
            torch.testing.assert_close(sum(found[name] for found in alone), value, rtol=0, atol=1e-11)
        else:
            for row, found in enumerate(alone):
                mine = (
                    value[row : row + 1, : LENGTHS[row]] if found[name].dim() == 3 else value[row : row + 1]
                )
                torch.testing.assert_close(found[name], mine, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_and_its_torch_module_agree_and_weights_come_back(
    kind: type[Recurrent], layers: int, bidirectional: bool
) -> None:
    layer = made(kind, 3, 5, layers=layers, bidirectional=bidirectional)
    module = layer.to_torch()
    x = torch.randn(4, 7, 3, dtype=torch.float64)
    states = random_states(layer, 4)
    outputs, last = layer(x, LENGTHS, states)

    stacked = tuple(torch.stack(part) for part in zip(*states, strict=True))
    packed = pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
    theirs, their_last = module(packed, stacked if kind is LSTM else stacked[0])
    padded, _ = pad_packed_sequence(theirs, batch_first=True)
    torch.testing.assert_close(outputs, padded, rtol=0, atol=1e-12)
    their_last = their_last if kind is LSTM else (their_last,)
    for part, expected in enumerate(their_last):
        found = torch.stack([state[part] for state in last])
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)

    again = kind.from_torch(module)
    assert {k: v.tolist() for k, v in again.state_dict().items()} == {
        k: v.tolist() for k, v in layer.state_dict().items()
    }


@pytest.mark.parametrize(("kind", "theirs"), [(SimpleRNN, nn.RNN), (LSTM, nn.LSTM), (GRU, nn.GRU)])
@pytest.mark.parametrize("bias", [False, True])
def test_two_torch_biases_become_ours(kind: type[Recurrent], theirs: Any, bias: bool) -> None:
    module = theirs(2, 3, num_layers=2, bidirectional=True, bias=bias, batch_first=True)
    layer = kind.from_torch(module, dropout=0.25, return_sequences=False)
    x = torch.randn(2, 5, 2)
    torch.testing.assert_close(kind.from_torch(module)(x)[0], module(x)[0], rtol=0, atol=1e-6)
    assert layer.dropout == 0.25
    assert sum(name.startswith("bias_hh") for name in layer.state_dict()) == (4 if kind is GRU else 0)


def test_a_relu_rnn_travels_too() -> None:
    module = nn.RNN(2, 3, nonlinearity="relu", batch_first=True, dtype=torch.float64)
    layer = SimpleRNN.from_torch(module)
    x = torch.randn(2, 5, 2, dtype=torch.float64)
    torch.testing.assert_close(layer(x)[0], module(x)[0], rtol=0, atol=1e-12)
    assert layer.to_torch().nonlinearity == "relu"


def test_what_torch_has_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="LSTM can't be made from GRU"):
        LSTM.from_torch(nn.GRU(2, 3))
    with pytest.raises(ConfigError, match="proj_size"):
        LSTM.from_torch(nn.LSTM(2, 3, proj_size=2))
    with pytest.raises(ConfigError, match="differ in width"):
        LSTM(2, [3, 4]).to_torch()
    with pytest.raises(ConfigError, match="no GRU with activation relu"):
        GRU(2, 3, activation="relu").to_torch()


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_is_one_mask_a_sequence_on_the_input(kind: type[Recurrent]) -> None:
    """Which inputs were dropped is read off the gradient; the same outputs follow from masking by hand."""
    layer = made(kind, 6, 4, dropout=0.4, bidirectional=True)
    x = torch.randn(5, 7, 6, dtype=torch.float64, requires_grad=True)
    outputs, _ = layer(x)
    gradients = [torch.autograd.grad(half.sum(), x, retain_graph=True)[0] for half in outputs.split(4, dim=2)]
    layer.eval()
    by_hand = []
    for gradient, half in zip(gradients, (slice(0, 4), slice(4, 8)), strict=True):
        kept = gradient[:, :1] != 0
        assert bool(((gradient != 0) == kept).all())
        assert 0 < kept.sum() < kept.numel()
        by_hand.append(layer(x * kept / 0.6)[0][:, :, half])
    torch.testing.assert_close(outputs, torch.cat(by_hand, dim=2), rtol=0, atol=1e-12)


def test_recurrent_dropout_is_one_mask_a_sequence_on_the_state() -> None:
    """h' = relu(1 + m h) from 0: a kept unit (m = 2) goes 1, 3, 7, 15, ...; a dropped one stays at 1."""
    layer = SimpleRNN(1, 6, activation="relu", recurrent_dropout=0.5)
    with torch.no_grad():
        layer.weight_ih_l0.fill_(1)
        layer.weight_hh_l0.copy_(torch.eye(6))
    torch.manual_seed(3)
    outputs, _ = layer(torch.ones(8, 5, 1))
    kept = outputs[:, 1, :] > 1
    assert 0 < kept.sum() < kept.numel()
    for t in range(5):
        expected = torch.where(kept, 2.0 ** (t + 1) - 1, 1.0)
        assert outputs[:, t].tolist() == expected.tolist()
    assert layer.eval()(torch.ones(1, 5, 1))[0][0, :, 0].tolist() == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_recurrent_dropout_leaves_what_a_gate_carries(kind: type[Recurrent]) -> None:
    """With the carrying gate wide open the memory stays as it was, whatever is dropped from the product."""
    H = 6
    layer = kind(2, H, recurrent_dropout=0.5)
    with torch.no_grad():
        if kind is LSTM:
            layer.bias_ih_l0.copy_(torch.tensor([-60.0, 60, 0, 60]).repeat_interleave(H))
        else:
            layer.bias_ih_l0.copy_(torch.tensor([0.0, 60, 0]).repeat_interleave(H))
    start = torch.rand(3, H)
    states = ((torch.zeros(3, H), start),) if kind is LSTM else ((start,),)
    _, last = layer(torch.randn(3, 9, 2), None, states)
    torch.testing.assert_close(last[0][-1], start, rtol=0, atol=1e-6)


@pytest.mark.parametrize("rows", ["all", "touched"])
@pytest.mark.parametrize("backend", ["auto", "torch"])
@pytest.mark.parametrize("kind", KINDS)
def test_tokens_looked_up_are_read_as_their_vectors(kind: type[Recurrent], backend: str, rows: Any) -> None:
    """With the same masks from the same seed."""
    recurrent = 0.3 if backend == "auto" else 0.0
    dropout = {"dropout": 0.3, "recurrent_dropout": recurrent}
    layer = made(kind, 3, [4, 5], bidirectional=True, backend=backend, **dropout)
    tokens = torch.randint(1, 9, (4, 7)) * (torch.arange(7) < LENGTHS[:, None])
    found = []
    for way in ("vectors", "lookup"):
        table = Embedding(9, 3, rows=rows if way == "lookup" else "all").double()
        nn.init.normal_(table.weight, generator=torch.Generator().manual_seed(2))
        torch.manual_seed(1)
        outputs, last = layer(table(tokens) if way == "vectors" else table.lookup(tokens), LENGTHS)
        layer.zero_grad()
        (outputs.sin().sum() + sum(part.sum() for state in last for part in state)).backward()
        gradients = [parameter.grad.to_dense().clone() for parameter in [*layer.parameters(), table.weight]]
        found.append([outputs, *(part for state in last for part in state), *gradients])
    for value, expected in zip(found[1], found[0], strict=True):
        torch.testing.assert_close(value, expected, rtol=0, atol=1e-12)


def test_masks_are_drawn_for_every_layer_and_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    original = module_under_test.sequence_mask

    def mask(B: int, features: int, share: float, *, like: torch.Tensor) -> torch.Tensor:
        drawn.append((B, features, share))
        return original(B, features, share, like=like)

    monkeypatch.setattr(module_under_test, "sequence_mask", mask)
    layer = GRU(2, [3, 4], bidirectional=True, dropout=0.1, recurrent_dropout=0.5)
    x = torch.randn(5, 7, 2)
    layer(x)
    one = [(5, 2, 0.1), (5, 3, 0.5)]
    two = [(5, 6, 0.1), (5, 4, 0.5)]
    assert drawn == one + one + two + two
    drawn.clear()
    layer.eval()(x)
    assert drawn == []


def test_masks_come_from_torchs_generator_and_have_mean_one() -> None:
    like = torch.zeros(1)
    torch.manual_seed(5)
    first = module_under_test.sequence_mask(200, 100, 0.3, like=like)
    torch.manual_seed(5)
    again = module_under_test.sequence_mask(200, 100, 0.3, like=like)
    other = module_under_test.sequence_mask(200, 100, 0.3, like=like)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert sorted(first.unique().tolist()) == pytest.approx([0, 1 / 0.7])
    assert float(first.mean()) == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_eval_computes_as_if_there_were_no_dropout(kind: type[Recurrent]) -> None:
    dropping = made(kind, 3, [4, 5], dropout=0.5, recurrent_dropout=0.5)
    plain = made(kind, 3, [4, 5])
    x = torch.randn(4, 7, 3, dtype=torch.float64)
    assert not torch.allclose(dropping(x, LENGTHS)[0], plain(x, LENGTHS)[0])
    torch.testing.assert_close(dropping.eval()(x, LENGTHS)[0], plain(x, LENGTHS)[0], rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_a_sequence_read_in_two_parts_is_read_as_one(kind: type[Recurrent]) -> None:
    layer = made(kind, 3, [4, 5])
    x = torch.randn(2, 9, 3, dtype=torch.float64)
    whole, last = layer(x)
    first, between = layer(x[:, :4])
    second, final = layer(x[:, 4:], None, between)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, rtol=0, atol=1e-12)
    for found, expected in zip(final, last, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


def test_the_last_state_of_a_bidirectional_layer_joins_both_ends() -> None:
    layer = made(GRU, 3, [4, 5], bidirectional=True)
    x = torch.randn(4, 7, 3, dtype=torch.float64)
    outputs, last = layer(x, LENGTHS)
    layer.return_sequences = False
    vector, _ = layer(x, LENGTHS)
    forward = outputs[torch.arange(4), LENGTHS - 1, :5]
    torch.testing.assert_close(vector, torch.cat([forward, outputs[:, 0, 5:]], 1), rtol=0, atol=0)
    torch.testing.assert_close(vector, layer.last(last), rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_initial_weights_are_keras_s(kind: type[Recurrent]) -> None:
    torch.manual_seed(1)
    E, H = 40, 64
    layer = kind(E, H, bidirectional=True)
    for suffix in layer.suffixes(0):
        weights = Weights({name: value.detach() for name, value in layer.weights(suffix).items()})
        rows = weights.weight_ih.shape[0]
        limit = (6 / (E + rows)) ** 0.5
        assert float(weights.weight_ih.abs().max()) <= limit
        # uniform: the standard deviation is limit / sqrt(3)
        assert float(weights.weight_ih.std()) == pytest.approx(limit / 3**0.5, rel=0.03)
        product = weights.weight_hh.t() @ weights.weight_hh
        torch.testing.assert_close(product, torch.eye(H), rtol=0, atol=1e-5)
        bias = torch.zeros(rows)
        if kind is LSTM:
            bias[H : 2 * H] = 1
        assert torch.equal(weights.bias_ih, bias)
        assert ("bias_hh" in weights) == (kind is GRU)
        assert kind is not GRU or not weights.bias_hh.any()
    assert not torch.equal(layer.weight_hh_l0, layer.weight_hh_l0_reverse)


@pytest.mark.parametrize("kind", KINDS)
def test_initial_weights_may_be_torch_s(kind: type[Recurrent]) -> None:
    """All uniform within 1 / sqrt(H), biases too, as `nn.LSTM` begins."""
    torch.manual_seed(3)
    layer = kind(30, [64, 16], initial_weights="torch")
    for name, parameter in layer.named_parameters():
        bound = 64**-0.5 if name.endswith("l0") else 16**-0.5
        assert 0.9 * bound < parameter.abs().max() <= bound, name
        assert parameter.std().item() == pytest.approx(bound / 3**0.5, rel=0.2), name


def test_backends_and_activations_reach_the_kernels() -> None:
    x = torch.randn(2, 3, 2)
    with pytest.raises(BackendError, match="no relu in lstm"):
        LSTM(2, [3, 3], activation=["tanh", "relu"], backend="torch")(x)
    mixed = made(GRU, 2, [3, 4], activation=["relu", torch.sin])
    first = made(GRU, 2, 3, activation="relu")
    second = made(GRU, 3, 4, activation=torch.sin)
    state = mixed.state_dict()
    first.load_state_dict({k: v for k, v in state.items() if k.endswith("l0")})
    second.load_state_dict({k.replace("l1", "l0"): v for k, v in state.items() if k.endswith("l1")})
    torch.testing.assert_close(mixed(x.double())[0], second(first(x.double())[0])[0], rtol=0, atol=1e-12)


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="different numbers of layers"):
        LSTM(2, [3, 4], activation=["tanh"])
    with pytest.raises(ConfigError, match="different numbers of layers"):
        LSTM(2, [3, 4], layers=3)
    with pytest.raises(ConfigError, match="or none"):
        LSTM(2, [])
    with pytest.raises(ConfigError, match="1 or more"):
        LSTM(2, 0)
    with pytest.raises(ConfigError, match="no activation 'selu'"):
        LSTM(2, 3, activation="selu")
    with pytest.raises(ConfigError, match="no backend 'tpu'"):
        LSTM(2, 3, backend="tpu")
    with pytest.raises(ConfigError, match="no state_form 'keras'; use layers, torch"):
        LSTM(2, 3, state_form="keras")
    with pytest.raises(ConfigError, match="no initial_weights 'zeros'; use keras, torch"):
        LSTM(2, 3, initial_weights="zeros")
    with pytest.raises(ConfigError, match="recurrent_dropout is 1"):
        LSTM(2, 3, recurrent_dropout=1)


def test_shapes_that_do_not_fit_are_refused() -> None:
    layer = LSTM(2, 3)
    with pytest.raises(ValueError, match=r"x is \(4, 5, 3\), not \(B, T, 2\)"):
        layer(torch.zeros(4, 5, 3))
    with pytest.raises(ValueError, match="lengths run from 2 to 6, the input has 5 steps"):
        layer(torch.zeros(2, 5, 2), torch.tensor([6, 2]))
    with pytest.raises(ValueError, match="lengths run from -1 to 2"):
        layer(torch.zeros(2, 5, 2), torch.tensor([-1, 2]))
    with pytest.raises(ValueError, match=r"lengths is \(3,\), not \(2,\)"):
        layer(torch.zeros(2, 5, 2), torch.tensor([1, 2, 3]))
    h = torch.zeros(2, 3)
    for state in [(h[:1], h[:1]), (h, h[:1]), (h, h[:, :2]), (h,)]:
        with pytest.raises(ValueError, match="state has"):
            layer(torch.zeros(2, 5, 2), None, (state,))


def test_the_settings_show_in_print() -> None:
    assert str(LSTM(2, 3, dropout=0.1)) == "LSTM(2, 3, dropout=0.1)"
    assert str(GRU(2, [3, 4], bidirectional=True)) == "GRU(2, [3, 4], bidirectional=True)"
