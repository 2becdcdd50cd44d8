"""What programs written for ``torch.nn`` use: packed sequences, states, dictionaries, parametrizations."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call
from torch.nn.utils import parametrizations, parametrize, prune
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from recurra.errors import ConfigError
from recurra.layers import GRU, LSTM, Embedding, Recurrent, SimpleRNN
from recurra.layers.pooling import AttentionPooling

PAIRS: list[tuple[type[Recurrent], type[nn.RNNBase]]] = [(SimpleRNN, nn.RNN), (LSTM, nn.LSTM), (GRU, nn.GRU)]
KINDS = [kind for kind, _ in PAIRS]


class MinGRU(Recurrent):
    """A cell that torch.nn has not."""

    cell = "min_gru"


def made(kind: type[Recurrent], *args: Any, **settings: Any) -> Recurrent:
    """A float64 layer whose parameters are all random, biases too."""
    torch.manual_seed(0)
    layer = kind(*args, dtype=torch.float64, **settings)
    for parameter in layer.parameters():
        nn.init.normal_(parameter, std=0.5)
    return layer


def flat(states: Any) -> list[torch.Tensor]:
    """The tensors of states in either form."""
    if isinstance(states, torch.Tensor):
        return [states]
    return [part for each in states for part in flat(each)]


def assert_same(one: list[torch.Tensor], other: list[torch.Tensor], atol: float = 1e-12) -> None:
    for value, expected in zip(one, other, strict=True):
        torch.testing.assert_close(value, expected, rtol=0, atol=atol)


# padding through every entrance


@pytest.mark.parametrize("kind", [*KINDS, MinGRU])
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    padding=st.integers(0, 3),
    layers=st.integers(1, 2),
    bidirectional=st.booleans(),
    return_sequences=st.booleans(),
    with_state=st.booleans(),
)
def test_lengths_a_mask_and_a_packed_sequence_are_one(
    kind: type[Recurrent],
    lengths: list[int],
    padding: int,
    layers: int,
    bidirectional: bool,
    return_sequences: bool,
    with_state: bool,
) -> None:
    """Outputs, last states, all gradients, and those of each row alone."""
    layer = made(
        kind, 3, 4, layers=layers, bidirectional=bidirectional, return_sequences=return_sequences,
        state_form="torch", backend="reference",
    )  # fmt: skip
    B, T = len(lengths), max(lengths) + padding
    steps = torch.tensor(lengths)
    real = torch.arange(T) < steps[:, None]
    values = torch.randn(B, T, 3, dtype=torch.float64)
    parts = len(flat(layer(values)[1]))
    start = [torch.randn(layers * layer.directions, B, 4, dtype=torch.float64) for _ in range(parts)]
    upstream = torch.randn(B, T, layer.output_size, dtype=torch.float64)
    upstream = upstream if return_sequences else upstream[:, 0]

    def solve(way: str, rows: slice = slice(None)) -> list[torch.Tensor]:
        x = values.masked_fill(~real[:, :, None], 7.0)[rows].requires_grad_()
        leaves = [part[:, rows].clone().requires_grad_() for part in start] if with_state else []
        state = None if not with_state else tuple(leaves) if kind is LSTM else leaves[0]
        if way == "lengths":
            outputs, last = layer(x, steps[rows], state)
        elif way == "mask":
            outputs, last = layer(x, state=state, mask=real[rows])
        elif way == "alone":
            outputs, last = layer(x[:, : int(steps[rows])], state=state)
            if return_sequences:
                outputs = nn.functional.pad(outputs, (0, 0, 0, T - outputs.shape[1]))
        else:
            packed = pack_padded_sequence(x, steps[rows], batch_first=True, enforce_sorted=False)
            outputs, last = layer(packed, state=state)
            if return_sequences:
                outputs, found = pad_packed_sequence(outputs, batch_first=True, total_length=T)
                assert found.tolist() == lengths
        loss = (outputs * upstream[rows]).sum()
        loss = loss + sum((number + 1) * part.sum() for number, part in enumerate(flat(last)))
        gradients = torch.autograd.grad(loss, [x, *leaves, *layer.parameters()])
        return [outputs, *flat(last), *gradients]

    expected = solve("lengths")
    assert_same(solve("mask"), expected, atol=1e-11)
    assert_same(solve("packed"), expected, atol=1e-11)
    alone = [solve("alone", slice(row, row + 1)) for row in range(B)]
    parameters = len(list(layer.parameters()))
    for number, column in enumerate(zip(*alone, strict=True)):
        joined = sum(column) if number >= len(expected) - parameters else None
        if joined is None:
            of_state = 1 <= number <= parts or number > parts + 1
            joined = torch.cat(column, dim=1 if of_state else 0)
        torch.testing.assert_close(joined, expected[number], rtol=0, atol=1e-11)


@pytest.mark.parametrize("enforce_sorted", [True, False])
@pytest.mark.parametrize(("kind", "module_kind"), PAIRS)
def test_a_packed_sequence_comes_out_as_torch_s(
    kind: type[Recurrent], module_kind: Any, enforce_sorted: bool
) -> None:
    module = module_kind(3, 4, num_layers=2, bidirectional=True, batch_first=True, dtype=torch.float64)
    layer = kind.from_torch(module, state_form="torch")
    lengths = [5, 4, 4, 1] if enforce_sorted else [4, 1, 5, 4]
    packed = pack_padded_sequence(
        torch.randn(4, 5, 3, dtype=torch.float64), lengths, batch_first=True, enforce_sorted=enforce_sorted
    )
    start = torch.randn(4, 4, 4, dtype=torch.float64)
    state = (start, start.sin()) if kind is LSTM else start
    outputs, last = layer(packed, state=state)
    expected, expected_last = module(packed, state)
    assert isinstance(outputs, PackedSequence)
    assert torch.equal(outputs.batch_sizes, expected.batch_sizes)
    assert enforce_sorted == (outputs.sorted_indices is None)
    if not enforce_sorted:
        assert torch.equal(outputs.sorted_indices, expected.sorted_indices)
        assert torch.equal(outputs.unsorted_indices, expected.unsorted_indices)
    assert_same([outputs.data, *flat(last)], [expected.data, *flat(expected_last)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_without_steps_keeps_its_initial_state(kind: type[Recurrent]) -> None:
    layer = made(kind, 3, 4)
    x, mask = torch.randn(2, 3, 3, dtype=torch.float64), torch.tensor([[True, True, False], [False] * 3])
    start = tuple(torch.randn(2, 4, dtype=torch.float64) for _ in flat(layer(x)[1]))
    outputs, (last,) = layer(x, state=(start,), mask=mask)
    assert not outputs[1].any()
    assert_same([part[1] for part in last], [part[1] for part in start])


def test_lengths_of_any_integer_dtype_are_read() -> None:
    layer, x = made(GRU, 3, 4), torch.randn(2, 5, 3, dtype=torch.float64)
    expected = layer(x, torch.tensor([5, 2]))[0]
    for dtype in (torch.int32, torch.uint8):
        assert torch.equal(layer(x, torch.tensor([5, 2], dtype=dtype))[0], expected)


# the form of the state


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("kind", "module_kind"), PAIRS)
def test_a_layer_takes_the_place_of_its_module(
    kind: type[Recurrent], module_kind: Any, bidirectional: bool
) -> None:
    """A sequence read in two parts, the state handed on as torch programs do."""
    module = module_kind(
        3, 4, num_layers=2, bidirectional=bidirectional, batch_first=True, dtype=torch.float64
    )
    layer = kind.from_torch(module, state_form="torch")
    x = torch.randn(2, 6, 3, dtype=torch.float64)
    found = []
    for network in (layer, module):
        first, state = network(x[:, :4])
        state = tuple(part.detach() for part in state) if kind is LSTM else state.detach()
        second, state = network(x[:, 4:], **({"state": state} if network is layer else {"hx": state}))
        found.append([first, second, *flat(state)])
        assert isinstance(state, tuple) == (kind is LSTM)
    assert_same(*found)


@pytest.mark.parametrize("kind", KINDS)
def test_both_forms_of_the_initial_state_are_read(kind: type[Recurrent]) -> None:
    by_layer = made(kind, 3, 4, layers=2, bidirectional=True)
    by_torch = made(kind, 3, 4, layers=2, bidirectional=True, state_form="torch")
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    states, stacks = by_layer(x)[1], by_torch(x)[1]
    for part, whole in enumerate((stacks,) if kind is not LSTM else stacks):
        assert torch.equal(whole, torch.stack([state[part] for state in states]))
    results = [
        [outputs, *flat(last)]
        for network in (by_layer, by_torch)
        for state in (states, stacks)
        for outputs, last in [network(x.sin(), state=state)]
    ]
    assert_same(results[0], results[1])
    assert_same(results[2], results[3])
    assert torch.equal(results[0][0], results[2][0])


def test_layers_of_several_widths_have_no_torch_state() -> None:
    with pytest.raises(ConfigError, match="needs layers of one width"):
        GRU(3, [4, 5], state_form="torch")
    with pytest.raises(ValueError, match="the layers differ in width; give one tuple for each layer"):
        GRU(3, [4, 5])(torch.zeros(2, 5, 3), state=torch.zeros(2, 2, 4))


# dictionaries


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("kind", "module_kind"), PAIRS)
def test_dictionaries_go_to_torch_and_back(
    kind: type[Recurrent], module_kind: Any, bidirectional: bool
) -> None:
    """Also inside other modules, as a part of a larger dictionary."""
    torch.manual_seed(1)
    options = {"bidirectional": bidirectional, "dtype": torch.float64}
    module = nn.ModuleDict({"rnn": module_kind(3, 4, num_layers=2, batch_first=True, **options)})
    network = nn.ModuleDict({"rnn": kind(3, 4, layers=2, **options)})
    before = {name: value.clone() for name, value in module.state_dict().items()}
    assert str(network.load_state_dict(module.state_dict())) == "<All keys matched successfully>"
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    torch.testing.assert_close(network["rnn"](x)[0], module["rnn"](x)[0], rtol=0, atol=1e-12)

    weights = network["rnn"].torch_state_dict()
    assert list(weights) == list(module["rnn"].state_dict())
    other = module_kind(3, 4, num_layers=2, batch_first=True, **options)
    other.load_state_dict(weights)
    torch.testing.assert_close(other(x)[0], module["rnn"](x)[0], rtol=0, atol=1e-12)
    again = kind(3, 4, layers=2, **options)
    again.load_state_dict(weights)
    assert all(torch.equal(value, network["rnn"].state_dict()[n]) for n, value in again.state_dict().items())


def test_what_does_not_fit_a_dictionary_is_still_refused() -> None:
    layer = LSTM(3, 4)
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "bias_ih_l0"'):
        layer.load_state_dict(nn.LSTM(3, 4, bias=False).state_dict())
    with pytest.raises(RuntimeError, match=r'Unexpected key\(s\) in state_dict: "weight_ih_l1"'):
        layer.load_state_dict(nn.LSTM(3, 4, num_layers=2).state_dict())
    with pytest.raises(RuntimeError, match=r'Unexpected key.*"weight_hr_l0"'):
        layer.load_state_dict(nn.LSTM(3, 4, proj_size=2).state_dict())
    with pytest.raises(RuntimeError, match="size mismatch for weight_ih_l0"):
        layer.load_state_dict(nn.LSTM(3, 5).state_dict())
    wrong = nn.LSTM(3, 4).state_dict() | {"bias_hh_l0": torch.zeros(3)}
    with pytest.raises(RuntimeError, match=r'Unexpected key.*"bias_hh_l0"'):
        layer.load_state_dict(wrong)
    with pytest.raises(RuntimeError, match=r'Missing key.*"bias_hh_l0"'):
        GRU(3, 4).load_state_dict(SimpleRNN(3, 12).state_dict())
    result = layer.load_state_dict({"bias_hh_l0": torch.zeros(16)}, strict=False)
    assert result.unexpected_keys == ["bias_hh_l0"]


def test_a_cell_that_torch_has_not_keeps_to_its_own_dictionary() -> None:
    layer = MinGRU(3, 4, layers=2)
    again = MinGRU(3, 4, layers=2)
    again.load_state_dict(layer.state_dict())
    assert all(map(torch.equal, again.parameters(), layer.parameters()))
    with pytest.raises(RuntimeError, match=r'Unexpected key.*"bias_hh_l0"'):
        layer.load_state_dict({**layer.state_dict(), "bias_hh_l0": torch.zeros(8)})
    for call in (layer.torch_state_dict, layer.to_torch):
        with pytest.raises(ConfigError, match=r"torch\.nn has no minGRU"):
            call()
    with pytest.raises(ConfigError, match="minGRU can't be made from GRU"):
        MinGRU.from_torch(nn.GRU(3, 4))
    with pytest.raises(ConfigError, match="LSTM can't be made from GRU"):
        Recurrent.from_torch(nn.GRU(3, 4), cell="lstm")
    assert Recurrent.from_torch(nn.GRU(3, 4), cell="gru").cell == "gru"


# weights that are computed


class WeightDrop(nn.Module):
    """DropConnect on a weight (Merity et al. 2018), drawn anew at each forward pass in training."""

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return nn.functional.dropout(weight, 0.5, self.training)


def with_weights(layer: Recurrent, weights: dict[str, torch.Tensor]) -> Recurrent:
    """A plain layer of the same settings with these weights."""
    plain = type(layer)(layer.input_size, layer.units, bidirectional=layer.bidirectional, dtype=torch.float64)
    plain.load_state_dict(weights)
    return plain


@pytest.mark.parametrize("backend", ["auto", "reference", "torch"])
@pytest.mark.parametrize("kind", KINDS)
def test_weight_norm_trains_direction_and_length(kind: type[Recurrent], backend: str) -> None:
    """Against the formula ``g v / |v|`` of Salimans & Kingma 2016, differentiated by torch."""
    dtype = torch.float32 if backend == "auto" else torch.float64
    plain = made(kind, 3, [4, 5], bidirectional=True)
    layer = kind(3, [4, 5], bidirectional=True, backend=backend, dtype=dtype)
    layer.load_state_dict(plain.state_dict())
    parametrizations.weight_norm(layer, "weight_hh_l0")
    lengths, x = torch.tensor([5, 2]), torch.randn(2, 5, 3, dtype=torch.float64)
    original = layer.parametrizations["weight_hh_l0"]
    with torch.no_grad():
        original.original0.mul_(1.5)
    outputs, _ = layer(x.to(dtype), lengths)
    outputs.square().sum().backward()

    g, v = (part.detach().double().requires_grad_() for part in (original.original0, original.original1))
    weights = {**plain.state_dict(), "weight_hh_l0": g * v / v.norm(dim=1, keepdim=True)}
    expected, _ = functional_call(plain, weights, (x, lengths))
    expected.square().sum().backward()
    atol = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(outputs.double(), expected, rtol=0, atol=atol)
    torch.testing.assert_close(original.original0.grad.double(), g.grad, rtol=0, atol=10 * atol)
    torch.testing.assert_close(original.original1.grad.double(), v.grad, rtol=0, atol=10 * atol)


@pytest.mark.parametrize("kind", KINDS)
def test_recurrent_weights_may_be_kept_orthogonal(kind: type[Recurrent]) -> None:
    class Blocks(nn.Module):
        """Each gate's block orthogonal, by the Cayley map."""

        def forward(self, weight: torch.Tensor) -> torch.Tensor:
            eye = torch.eye(weight.shape[1], dtype=weight.dtype)
            skew = [block - block.T for block in weight.split(weight.shape[1])]
            return torch.cat([torch.linalg.solve(eye + part, eye - part) for part in skew])

    layer = made(kind, 3, 4)
    parametrize.register_parametrization(layer, "weight_hh_l0", Blocks())
    for block in layer.weight_hh_l0.split(4):
        torch.testing.assert_close(block @ block.T, torch.eye(4).double(), rtol=0, atol=1e-12)
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    expected = with_weights(layer, layer.torch_state_dict())(x)[0]
    torch.testing.assert_close(layer(x)[0], expected, rtol=0, atol=1e-12)
    square = made(SimpleRNN, 3, 4)
    parametrizations.orthogonal(square, "weight_hh_l0")
    product = square.weight_hh_l0 @ square.weight_hh_l0.T
    torch.testing.assert_close(product, torch.eye(4).double(), rtol=0, atol=1e-12)
    square(x)[0].sum().backward()
    assert square.parametrizations["weight_hh_l0"].original.grad.any()


@pytest.mark.parametrize("kind", KINDS)
def test_weights_may_be_dropped(kind: type[Recurrent]) -> None:
    layer = made(kind, 3, 4)
    weights = layer.state_dict()
    parametrize.register_parametrization(layer, "weight_hh_l0", WeightDrop())
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    torch.manual_seed(4)
    outputs, _ = layer(x)
    outputs.sum().backward()
    torch.manual_seed(4)
    mask = nn.functional.dropout(torch.ones_like(weights["weight_hh_l0"]), 0.5)
    plain = with_weights(layer, {**weights, "weight_hh_l0": weights["weight_hh_l0"] * mask})
    expected, _ = plain(x)
    expected.sum().backward()
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-12)
    gradient = layer.parametrizations["weight_hh_l0"].original.grad
    torch.testing.assert_close(gradient, plain.weight_hh_l0.grad * mask, rtol=0, atol=1e-12)
    assert torch.equal(layer.eval()(x)[0], with_weights(layer, weights)(x)[0])


def test_pruned_weights_stay_out() -> None:
    layer = made(LSTM, 3, 4)
    weights = layer.state_dict()
    prune.l1_unstructured(layer, "weight_ih_l0", 0.5)
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    kept = weights["weight_ih_l0"] * layer.weight_ih_l0_mask
    assert int((kept == 0).sum()) == kept.numel() // 2
    assert torch.equal(layer(x)[0], with_weights(layer, {**weights, "weight_ih_l0": kept})(x)[0])


def test_computed_weights_belong_to_their_layer_and_can_be_copied() -> None:
    layer = parametrizations.weight_norm(made(GRU, 3, [4, 5], bidirectional=True), "weight_hh_l1_reverse")
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    assert torch.equal(copy.deepcopy(layer)(x)[0], layer(x)[0])
    prune.identity(layer, "weight_ih_l0")
    layer.extra = nn.Linear(2, 2, bias=False)
    groups = layer.layer_groups()
    assert [len(group) for group in groups] == [8, 10]
    assert {id(weight) for group in groups for weight in group} == {id(p) for p in layer.parameters()}
    assert layer.torch_state_dict().keys() == made(GRU, 3, [4, 5], bidirectional=True).state_dict().keys()


def test_parameters_of_a_subclass_do_not_count_as_layers() -> None:
    class WithMore(LSTM):
        def __init__(self) -> None:
            super().__init__(3, 4, layers=2)
            self.head_l7 = nn.Linear(2, 2)
            self.inner = GRU(2, 2)

    assert [len(group) for group in WithMore().layer_groups()] == [3, 3 + 2 + 4]


def test_a_replica_for_data_parallel_computes_the_same() -> None:
    """``nn.DataParallel`` makes modules whose weights are attributes, not parameters."""
    layer, x = made(LSTM, 3, 4, layers=2, dropout=0.5).eval(), torch.randn(2, 5, 3, dtype=torch.float64)
    replica = layer._replicate_for_data_parallel()
    for name, parameter in layer.named_parameters():
        setattr(replica, name, parameter.clone())
    assert torch.equal(replica(x)[0], layer(x)[0])


# functions of the weights


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_is_a_function_of_its_weights(kind: type[Recurrent]) -> None:
    """With the default backend, kernels included: the gradient flows to the weights that are handed in."""
    layer, other = (kind(3, 4, layers=2, bidirectional=True) for _ in range(2))
    lengths, x = torch.tensor([5, 2]), torch.randn(2, 5, 3)
    weights = {name: value.detach().clone().requires_grad_() for name, value in other.named_parameters()}
    outputs, _ = functional_call(layer, weights, (x, lengths))
    expected, _ = other(x, lengths)
    assert torch.equal(outputs, expected)
    expected.square().sum().backward()
    gradients = torch.autograd.grad(outputs.square().sum(), list(weights.values()))
    assert_same(list(gradients), [parameter.grad for parameter in other.parameters()], atol=0)


# device and dtype


@pytest.mark.parametrize("kind", KINDS)
def test_device_and_dtype_are_given_as_in_torch(kind: type[Recurrent]) -> None:
    layer = kind(3, 4, layers=2, dtype=torch.float64, device="cpu")
    assert {parameter.dtype for parameter in layer.parameters()} == {torch.float64}
    assert layer(torch.randn(2, 5, 3, dtype=torch.float64))[0].dtype == torch.float64
    empty = kind(3, 4, layers=2, device="meta")
    assert {parameter.device.type for parameter in empty.parameters()} == {"meta"}
    filled = empty.to_empty(device="cpu")
    torch.manual_seed(3)
    filled.reset_parameters()
    torch.manual_seed(3)
    plain = kind(3, 4, layers=2)
    assert all(map(torch.equal, filled.parameters(), plain.parameters()))


def test_the_default_dtype_and_device_are_torch_s() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        layer, table, pooling = LSTM(3, 4), Embedding(5, 3), AttentionPooling(4)
        outputs, _ = layer(table(torch.tensor([[1, 2, 0]])), torch.tensor([2]))
        assert pooling(outputs, torch.tensor([2])).dtype == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    layer, table = LSTM(3, 4, backend="reference"), Embedding(5, 3, rows="touched")
    packed = pack_padded_sequence(
        torch.randn(2, 4, 3), torch.tensor([2, 4]), enforce_sorted=False, batch_first=True
    )
    with torch.device("meta"):
        assert next(GRU(3, 4).parameters()).is_meta
        outputs, _ = layer(packed)
        assert outputs.data.shape == (6, 4)
        fast = LSTM(3, 4, device="cpu")
        fast(packed)[0].data.sum().backward()
        assert fast.weight_hh_l0.grad.device.type == "cpu"
        assert table.lookup(packed.sorted_indices[None]).table.device.type == "cpu"
    assert Embedding(5, 3, device="meta", dtype=torch.bfloat16).weight.dtype == torch.bfloat16
    assert AttentionPooling(4, dtype=torch.float64).score.weight.dtype == torch.float64
