"""The forecasting network: recurrent layers over rows of numbers, and a head that computes the forecasts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recurra.config import ModelConfig
from recurra.layers import Dropout, Head
from recurra.layers.network import (
    LayerInfo,
    Network,
    layer_info_of,
    measuring,
    pooled,
    pooling_of,
    recurrent_stack,
)
from recurra.tasks.forecasting.windows import WindowBatch, Windows
from recurra.tasks.reporter import Tick

__all__ = ["ForecastNetwork", "forecast_loss", "forecast_windows"]


class ForecastNetwork(Network):
    """Maps windows of a series to the values that follow them.

    Args:
        config: the settings of the network; ``embedding`` is not used.
        features: ``E``, number of inputs of a row.
        horizon: ``K``, number of forecast values.
        residual: whether the head computes the change from the last known value; it is initialized to no
            change.
        present: whether the newest row is an additional input of the head.
    """

    def __init__(
        self,
        config: ModelConfig,
        features: int,
        horizon: int = 1,
        *,
        residual: bool = False,
        present: bool = False,
    ) -> None:
        super().__init__()
        self.residual = residual
        self.present = present
        self.recurrent = recurrent_stack(config, features, return_sequences=config.poolings != ["last"])
        self.pooling = pooling_of(config, self.recurrent.output_size)
        self.head_dropout = Dropout(config.head_dropout)
        self._width = len(config.poolings) * self.recurrent.output_size
        self.head = Head(self._width + present * features, horizon)
        if residual:
            nn.init.zeros_(self.head.weight)
        else:
            nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """Returns the weights of each layer, bottom layer first: recurrent layers, pooling and head."""
        pooling = [] if self.pooling is None else list(self.pooling.parameters())
        return [*self.recurrent.layer_groups(), [*pooling, *self.head.parameters()]]

    def layer_info(self) -> list[LayerInfo]:
        """Returns the layers in the order of the data."""
        rows = list(layer_info_of(self.recurrent, last_alone=self.pooling is None))
        vector = (None, self._width)
        if self.pooling is not None:
            name = type(self.pooling).__name__
            rows.append(LayerInfo("pooling", name, vector, list(self.pooling.parameters())))
        if self.head_dropout.p:
            rows.append(LayerInfo("head_dropout", "Dropout", vector))
        rows.append(LayerInfo("head", "Dense", (None, self.head.out_features), list(self.head.parameters())))
        return rows

    def forward(self, inputs: Tensor, present: Tensor, last: Tensor) -> Tensor:
        """Returns forecasts of shape (B, K).

        Args:
            inputs: rows in the order in which they are processed, of shape (B, T, E).
            present: the newest row, unchanged, of shape (B, E).
            last: the last known target, of shape (B,).
        """
        vector = self.head_dropout(pooled(self.recurrent, self.pooling, inputs, None))
        forecasts: Tensor = self.head(torch.cat([vector, present], dim=1) if self.present else vector)
        return forecasts + last[:, None] if self.residual else forecasts

    def on(self, batch: WindowBatch) -> Tensor:
        """Returns the forecasts (B, K) of a batch, which is moved to the device of the network."""
        device = self.head.weight.device
        forecasts: Tensor = self(batch.inputs.to(device), batch.present.to(device), batch.last.to(device))
        return forecasts


def forecast_loss(kind: Literal["mae", "mse"]) -> Callable[[ForecastNetwork, WindowBatch], Tensor]:
    """Returns the training loss: mean absolute or squared error in standard deviations of the target."""
    error = {"mae": functional.l1_loss, "mse": functional.mse_loss}[kind]

    def loss(model: ForecastNetwork, batch: WindowBatch) -> Tensor:
        forecasts = model.on(batch)
        return error(forecasts, batch.targets.to(forecasts.device))

    return loss


def forecast_windows(
    model: ForecastNetwork, windows: Windows, tick: Tick = lambda rows: None
) -> NDArray[np.float32]:
    """Returns forecasts of all windows in standard deviations, of shape (N, K); windows must not be shuffled.

    The model is in evaluation mode meanwhile. Without windows the shape is (0, 0). ``tick`` is called with
    the number of windows that are done.
    """
    parts = []
    with measuring(model):
        for batch in windows.epoch(0):
            parts.append(model.on(batch).float().cpu().numpy())
            tick(batch.size)
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)
