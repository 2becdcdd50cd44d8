"""Merged directions, dropout per layer, and layers as parts of `nn.Sequential`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import recurra
from recurra.errors import ConfigError

X = torch.randn(3, 6, 5, generator=torch.Generator().manual_seed(0))
LENGTHS = torch.tensor([6, 2, 4])
MERGES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "concat": lambda a, b: torch.cat([a, b], -1),
    "sum": torch.add,
    "mul": torch.mul,
    "ave": lambda a, b: torch.stack([a, b]).mean(0),
}


@pytest.mark.parametrize("mode", MERGES)
@pytest.mark.parametrize("sequences", [True, False])
def test_directions_are_merged_in_every_layer_as_two_layers_of_torch_are(mode: str, sequences: bool) -> None:
    torch.manual_seed(1)
    layer = recurra.GRU(5, 4, layers=2, bidirectional=True, merge_mode=mode, return_sequences=sequences)
    expected = X
    for depth in range(2):
        module = nn.GRU(expected.shape[2], 4, batch_first=True, bidirectional=True)
        values = {name: value for name, value in layer.state_dict().items() if f"_l{depth}" in name}
        module.load_state_dict({name.replace(f"_l{depth}", "_l0"): value for name, value in values.items()})
        packed = nn.utils.rnn.pack_padded_sequence(expected, LENGTHS, batch_first=True, enforce_sorted=False)
        outputs, h = module(packed)
        padded, _ = nn.utils.rnn.pad_packed_sequence(outputs, batch_first=True)
        expected = MERGES[mode](*padded.chunk(2, 2))
    result, _ = layer(X, LENGTHS)
    assert result.shape[-1] == layer.output_size == (8 if mode == "concat" else 4)
    torch.testing.assert_close(result, expected if sequences else MERGES[mode](*h))


def test_a_merged_layer_has_no_counterpart_in_torch() -> None:
    with pytest.raises(ConfigError, match="concatenates"):
        recurra.LSTM(3, 4, bidirectional=True, merge_mode="sum").to_torch()
    with pytest.raises(ConfigError, match="there is no merge_mode 'add'; use concat, sum, mul, ave"):
        recurra.LSTM(3, 4, bidirectional=True, merge_mode="add")  # type: ignore[arg-type]


def test_layers_without_states_form_a_sequential_network() -> None:
    torch.manual_seed(2)
    first = recurra.LSTM(5, 4, return_state=False)
    second = recurra.SimpleRNN(4, 3, return_sequences=False, return_state=False)
    network = nn.Sequential(first, second, nn.Linear(3, 1))
    result = network(X)
    assert result.shape == (3, 1)
    states, _ = first.to_torch()(X)
    _, h = second.to_torch()(states)
    torch.testing.assert_close(result, network[2](h[0]))
    result.sum().backward()
    assert all(weight.grad is not None for weight in network.parameters())


@pytest.mark.parametrize("name", ["dropout", "recurrent_dropout"])
def test_each_layer_has_its_own_dropout(name: str) -> None:
    torch.manual_seed(3)
    layer = recurra.LSTM(5, 4, layers=2, **{name: [0.0, 0.9]})
    one = recurra.LSTM(5, 4)
    one.load_state_dict({key: value for key, value in layer.state_dict().items() if "_l0" in key})
    _, states = layer(X)
    torch.testing.assert_close(states[0], one(X)[1][0])  # the first layer has none
    assert not torch.equal(states[1][0], layer.eval()(X)[1][1][0])


@pytest.mark.parametrize(
    ("given", "message"),
    [([0.1], "dropout has 1 entries for 2 layers"), ([0.1, 1.0], "dropout is 1.0")],
)
def test_a_dropout_that_does_not_fit_is_refused(given: list[float], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        recurra.GRU(5, 4, layers=2, dropout=given)
