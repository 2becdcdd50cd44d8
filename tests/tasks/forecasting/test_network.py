"""The network of a forecaster compared with its layers applied one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from recurra.config import ModelConfig
from recurra.layers.summary import summarize
from recurra.tasks.forecasting.network import ForecastNetwork, forecast_loss, forecast_windows
from recurra.tasks.forecasting.windows import Windows

B, T, E, K = 5, 7, 3, 2


def inputs() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(11)
    return torch.randn(B, T, E), torch.randn(B, E), torch.randn(B)


@pytest.mark.parametrize("present", [True, False])
@pytest.mark.parametrize("pooling", ["last", "mean", "max", "attention"])
@pytest.mark.parametrize("cell", ["gru", "lstm", "simple_rnn"])
def test_forward_equals_recurrent_layers_pooling_and_head(cell: str, pooling: str, present: bool) -> None:
    x, now, last = inputs()
    config = ModelConfig.model_validate(
        {"cell": cell, "units": [4, 6], "bidirectional": True, "pooling": pooling, "backend": "reference"}
    )
    network = ForecastNetwork(config, E, K, present=present).eval()
    states, final = network.recurrent(x)
    if pooling == "last":
        vector = torch.cat([final[-2][0], final[-1][0]], dim=1)
    elif pooling == "attention":
        vector = network.pooling(states, torch.full((B,), T))  # type: ignore[misc]
    else:
        vector = states.mean(1) if pooling == "mean" else states.max(1).values
    if present:
        vector = torch.cat([vector, now], dim=1)
    expected = vector @ network.head.weight.T + network.head.bias
    torch.testing.assert_close(network(x, now, last), expected)


def test_a_residual_network_starts_as_persistence_and_adds_the_change() -> None:
    x, now, last = inputs()
    network = ForecastNetwork(ModelConfig(cell="gru", units=4), E, K, residual=True).eval()
    assert torch.equal(network(x, now, last), last[:, None].expand(B, K))
    torch.nn.init.ones_(network.head.weight)
    plain = ForecastNetwork(ModelConfig(cell="gru", units=4), E, K).eval()
    plain.load_state_dict(network.state_dict())
    torch.testing.assert_close(network(x, now, last), plain(x, now, last) + last[:, None])


@pytest.mark.parametrize("kind", ["mae", "mse"])
def test_the_loss_is_the_mean_error_of_the_batch(kind: str) -> None:
    network = ForecastNetwork(ModelConfig(cell="gru", units=4), 1, K).eval()
    x = np.random.default_rng(1).standard_normal(30).astype(np.float32)
    windows = Windows(x[:, None], x, x, np.arange(5, 25), np.arange(-5, 1), np.array([1, 3]), 8)
    found = forecast_windows(network, windows)
    losses = [forecast_loss(kind)(network, batch).item() * batch.size for batch in windows.epoch(1)]  # type: ignore[arg-type]
    plain = functional.l1_loss if kind == "mae" else functional.mse_loss
    expected = plain(torch.from_numpy(found), torch.from_numpy(windows.truth())).item()
    assert sum(losses) / len(windows.rows) == pytest.approx(expected, rel=1e-5)


def test_every_weight_is_in_one_layer_group_and_in_the_summary() -> None:
    config = ModelConfig(cell="lstm", units=4, layers=2, pooling="attention", head_dropout=0.2)
    network = ForecastNetwork(config, E, K)
    layer_groups = network.layer_groups()
    assert [len(group) for group in layer_groups] == [3, 3, 5]
    weights = [id(weight) for group in layer_groups for weight in group]
    assert sorted(weights) == sorted(id(weight) for weight in network.parameters())
    found = summarize(network)
    assert [row.name for row in found.rows] == ["lstm_1", "lstm_2", "pooling", "head_dropout", "head"]
    assert found.total == sum(row.parameters for row in found.rows)


def test_no_windows_give_no_forecasts_and_keep_the_mode() -> None:
    network = ForecastNetwork(ModelConfig(units=2), 1).train()
    x = np.zeros(3, np.float32)
    none = Windows(x[:, None], x, x, np.array([], np.int64), np.array([0]), np.array([1]), 2)
    assert forecast_windows(network, none).shape == (0, 0)
    assert network.training
