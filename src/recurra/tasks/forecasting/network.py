"""The forecaster: a recurrent stack over rows of numbers, and a head that gives the values to come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from recurra.config import ModelConfig
from recurra.layers.network import LayerInfo, Network, layer_info_of, measuring, pooling_of, recurrent_stack
from recurra.tasks.forecasting.windows import WindowBatch, Windows

__all__ = ["ForecastNetwork", "forecast_loss", "forecast_windows"]


class ForecastNetwork(Network):
    """Windows of a series to the values that come after them.

    Args:
        config: the network's settings; ``embedding`` means nothing here.
        features: ``E``, inputs of a row.
        horizon: ``K``, how many values are forecast.
        residual: the head gives the change from the last known value, and begins at no change.
        present: the head sees the newest row beside what the layers below made of the window.
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
        self.recurrent = recurrent_stack(config, features, return_sequences=config.pooling != "last")
        self.pooling = pooling_of(config, self.recurrent.output_size)
        self.head_dropout = nn.Dropout(config.head_dropout)
        self.head = nn.Linear(self.recurrent.output_size + present * features, horizon)
        if residual:
            nn.init.zeros_(self.head.weight)
        else:
            nn.init.xavier_uniform_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def layer_groups(self) -> list[list[nn.Parameter]]:
        """The weights of each layer from the bottom up: recurrent layers, pooling and head."""
        pooling = [] if self.pooling is None else list(self.pooling.parameters())
        return [*self.recurrent.layer_groups(), [*pooling, *self.head.parameters()]]

    def layer_info(self) -> list[LayerInfo]:
        """The layers in the order of the data."""
        rows = list(layer_info_of(self.recurrent, last_alone=self.pooling is None))
        vector = (None, self.recurrent.output_size)
        if self.pooling is not None:
            name = type(self.pooling).__name__
            rows.append(LayerInfo("pooling", name, vector, list(self.pooling.parameters())))
        if self.head_dropout.p:
            rows.append(LayerInfo("head_dropout", "Dropout", vector))
        rows.append(LayerInfo("head", "Dense", (None, self.head.out_features), list(self.head.parameters())))
        return rows

    def forward(self, inputs: Tensor, present: Tensor, last: Tensor) -> Tensor:
        """Windows to forecasts ``(B, K)``.

        Args:
            inputs: ``(B, T, E)`` rows in the order in which they are read.
            present: ``(B, E)`` the newest row as it is.
            last: ``(B,)`` the last known target.
        """
        states, _ = self.recurrent(inputs)
        if self.pooling is not None:
            B, T = inputs.shape[:2]
            states = self.pooling(states, torch.full((B,), T, device=inputs.device))
        vector = self.head_dropout(states)
        found: Tensor = self.head(torch.cat([vector, present], dim=1) if self.present else vector)
        return found + last[:, None] if self.residual else found

    def on(self, batch: WindowBatch) -> Tensor:
        """The forecasts ``(B, K)`` of a batch, which is moved to the network's device."""
        device = self.head.weight.device
        found: Tensor = self(batch.inputs.to(device), batch.present.to(device), batch.last.to(device))
        return found


def forecast_loss(kind: Literal["mae", "mse"]) -> Callable[[ForecastNetwork, WindowBatch], Tensor]:
    """The mean error of a batch's forecasts, in deviations of the target (squared ones for ``mse``)."""
    error = {"mae": functional.l1_loss, "mse": functional.mse_loss}[kind]

    def loss(model: ForecastNetwork, batch: WindowBatch) -> Tensor:
        found = model.on(batch)
        return error(found, batch.targets.to(found.device))

    return loss


def forecast_windows(model: ForecastNetwork, windows: Windows) -> NDArray[np.float32]:
    """``(N, K)`` forecasts of all windows in their order, in deviations; windows must not be shuffled.

    Dropout is off while it runs; the model's mode is left as it was. Without windows it is ``(0, 0)``.
    """
    with measuring(model):
        found = [model.on(batch).float().cpu().numpy() for batch in windows.epoch(0)]
    return np.concatenate(found) if found else np.zeros((0, 0), np.float32)
